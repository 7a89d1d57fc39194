"""The population of the drawn faces: who is in an image, what the face does, how it was taken.

All of it is a pure function of (seed, split, image number), for a frame of a video of (seed, split,
video, frame). No figure here is fitted to real
faces: the rates are ours, chosen in the spirit of EmotioNet's (few AUs are frequent, most are rare)
with every AU frequent enough to be learnt from some 1,500 faces.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from au_jax import aus
from au_jax.data import head_aus
from au_jax.data.made_splits import CLIP_SPLITS, IMAGES_PER_PERSON, MOST_FRAMES, generator
from au_jax.data.synthetic_faces import time_course

AUS = aus.EMOTIONET
# How many videos lack frames, and which share of theirs: no face was found, or they were dropped.
_VIDEOS_WITH_GAPS, _LOST_FRAMES = 0.3, 0.12
# How a head drifts in a video (`time_course.drift`): pitch, yaw, roll in degrees, gaze in mm.
_DRIFT = np.array([2.5, 4.0, 2.5, 0.6, 0.3])
# The largest angles of a head: pitch, yaw, roll.
_LARGEST_ANGLES = np.array([30.0, 46.0, 30.0])

# An AU counts as present from this intensity on (of 0 to 5), as DISFA's users do.
PRESENT_FROM = 2

# Where AU12 stands in label arrays: COLUMN[12].
COLUMN = {int(au[2:]): i for i, au in enumerate(AUS)}
_HEAD = aus.positions(AUS, aus.POSE)

# How often each emotion is shown, in the order of `aus.EMOTIONS`.
_EMOTION_RATE = np.array([0.22, 0.27, 0.10, 0.09, 0.09, 0.09, 0.09, 0.05])
# Chance of each AU under each emotion, after the EMFACS prototypes (Ekman et al., 2002).
_PROTOTYPES: dict[str, dict[int, float]] = {
    "neutral": {},
    "happy": {12: 0.95, 6: 0.72, 25: 0.6, 26: 0.08},
    "sad": {1: 0.6, 4: 0.5, 15: 0.7, 17: 0.4, 24: 0.1, 43: 0.15},
    "surprise": {1: 0.85, 2: 0.85, 5: 0.6, 25: 0.8, 26: 0.65},
    "fear": {1: 0.65, 2: 0.45, 4: 0.5, 5: 0.5, 20: 0.55, 25: 0.6, 26: 0.2},
    "disgust": {4: 0.25, 6: 0.1, 9: 0.6, 10: 0.65, 15: 0.1, 17: 0.3, 25: 0.25},
    "anger": {4: 0.85, 5: 0.3, 9: 0.12, 10: 0.2, 17: 0.3, 24: 0.45, 25: 0.15},
    "contempt": {12: 0.75, 17: 0.15, 24: 0.25},
}
# Chance that an AU is shown without an emotion (talking, thinking, blinking).
_SPONTANEOUS = {
    1: 0.04, 2: 0.045, 4: 0.04, 5: 0.03, 6: 0.05, 9: 0.02, 10: 0.04, 12: 0.05, 15: 0.035, 17: 0.05,
    18: 0.07, 20: 0.025, 24: 0.05, 25: 0.13, 26: 0.05, 28: 0.065, 43: 0.055,
}  # fmt: skip
# The first AU keeps the others out: the lips cannot be sucked in and parted, and so on. Where both
# were drawn the first, rarer one stays.
_EXCLUDES = {
    28: (10, 12, 18, 20, 24, 25, 26),
    18: (10, 12, 15, 20, 24, 26),
    24: (20, 25, 26),
    20: (12,),
    15: (12,),
    43: (5,),
    26: (17,),
}


def _table() -> np.ndarray:
    chance = np.zeros((len(aus.EMOTIONS), len(AUS)))
    for row, emotion in enumerate(aus.EMOTIONS):
        for number, p in _SPONTANEOUS.items():
            shown = _PROTOTYPES[emotion].get(number, 0.0)
            chance[row, COLUMN[number]] = shown + p - shown * p
    return chance


_CHANCE = _table()
# Which AUs are part of each emotion: bool [emotions, A].
_OF_EMOTION = np.array(
    [[int(au[2:]) in _PROTOTYPES[emotion] for au in AUS] for emotion in aus.EMOTIONS]
)


@dataclasses.dataclass(frozen=True)
class Person:
    """Identity. Lengths are factors of the mean face's, or millimetres where said."""

    subject: str
    face_width: float
    jaw_width: float
    chin_length: float
    eye_distance: float
    eye_size: float
    eye_tilt: float  # mm, outer corner up
    brow_height: float  # mm, up
    brow_arch: float
    brow_thickness: float
    nose_width: float
    nose_length: float
    mouth_width: float
    mouth_height: float  # mm, up
    lip_thickness: float
    corner_rest: float  # mm, up: a resting face may look happy or sad
    hairline: float  # mm, up
    age: float  # 0 to 1: resting folds
    expressiveness: float
    skin: np.ndarray  # float [3] BGR
    hair: np.ndarray
    iris: np.ndarray
    lips: np.ndarray
    hair_style: str  # bald, short, long, fringe
    beard: str  # none, stubble, moustache, full
    glasses: bool
    make_up: float  # 0 to 1


@dataclasses.dataclass(frozen=True)
class ImageSpec:
    """What one image shows: a person, what the face does, and how it was taken.

    Attributes:
      activation: float [A], 0 to 5, of each AU; the head's AUs follow from `angles`.
      asymmetry: float [2, A], factor of the activation on the image's left and right half.
      emotion: position in `aus.EMOTIONS`.
      angles: pitch, yaw, roll in degrees; signs as in `records.Record.pose`.
      light: unit vector to the light (x right, y down, z to the camera).
      scene: seed of what has no bearing on labels: background, clothes, noise.
      frame_noise: seed of what differs between the frames of one scene, sensor noise and the error
        of registration; None in a still image, where the scene's seed gives them.
    """

    person: Person
    activation: np.ndarray
    asymmetry: np.ndarray
    emotion: int
    angles: np.ndarray
    gaze: np.ndarray  # mm right, mm down
    distance: float  # camera to head, mm
    light: np.ndarray
    ambient: float
    occluder: str  # none, hand, bar, scarf, sunglasses
    blur: float  # sigma, pixels at 104 px
    noise: float  # grey levels
    jpeg_quality: int
    scene: int
    frame_noise: int | None = None

    def intensity(self) -> np.ndarray:
        """Returns int8 [A], 0 to 5."""
        return np.rint(self.activation).astype(np.int8)

    def labels(self) -> np.ndarray:
        """Returns int8 [A], 1 present or 0 absent."""
        return (self.intensity() >= PRESENT_FROM).astype(np.int8)


def image_numbers(seed: int, split: str, count: int, frames: int = 0) -> Sequence[int]:
    """The numbers of a split's images, ascending.

    Args:
      count: how many images, or videos where the split is one of clips.
      frames: of each video, those included that it lacks; the first one is always there.
    """
    if split not in CLIP_SPLITS:
        return range(count)
    return [
        video * MOST_FRAMES + frame
        for video in range(count)
        for frame in _kept_frames(seed, split, video, frames)
    ]


def _kept_frames(seed: int, split: str, video: int, frames: int) -> list[int]:
    rng = generator(seed, split, video, 7)
    if rng.random() >= _VIDEOS_WITH_GAPS:
        return list(range(frames))
    lost = rng.random(frames) < _LOST_FRAMES
    lost[0] = False
    return np.flatnonzero(~lost).tolist()


def sample_person(seed: int, split: str, number: int) -> Person:
    """The person `number` of a split."""
    rng = generator(seed, split, number, 0)

    def factor(spread: float) -> float:
        return float(np.exp(np.clip(rng.normal(0, spread), -2 * spread, 2 * spread)))

    def mm(spread: float) -> float:
        return float(np.clip(rng.normal(0, spread), -2 * spread, 2 * spread))

    darkness = rng.beta(1.1, 1.6)
    light_skin, dark_skin = np.array([178.0, 200, 238]), np.array([52.0, 78, 122])
    skin = light_skin + darkness * (dark_skin - light_skin) + rng.normal(0, 5, 3)
    hairs = np.array([[25, 25, 30], [30, 45, 75], [60, 95, 150], [110, 165, 205], [170, 170, 175]])
    age = rng.beta(1.3, 2.2)
    weights = np.array([0.4, 0.28, 0.14, 0.08, 0.1]) * (1, 1, 1 - darkness, 1 - darkness, 2 * age)
    hair = hairs[rng.choice(5, p=weights / weights.sum())] + rng.normal(0, 6, 3)
    irises = np.array([[25, 35, 60], [40, 75, 105], [130, 105, 70], [95, 115, 85]])
    make_up = float(rng.random() < 0.3) * rng.uniform(0.4, 1)
    rosy = skin * (0.72, 0.66, 0.86)
    lips = rosy + make_up * (np.array([70.0, 40, 175]) - rosy) * 0.7
    beard = "none"
    if make_up == 0:
        beard = str(rng.choice(["none", "stubble", "moustache", "full"], p=[0.72, 0.12, 0.06, 0.1]))
    return Person(
        subject=f"{split}-{number:04d}",
        face_width=factor(0.04),
        jaw_width=factor(0.05),
        chin_length=factor(0.07),
        eye_distance=factor(0.04),
        eye_size=factor(0.1),
        eye_tilt=mm(1.2),
        brow_height=mm(2.4),
        brow_arch=factor(0.3),
        brow_thickness=factor(0.22),
        nose_width=factor(0.1),
        nose_length=factor(0.06),
        mouth_width=factor(0.08),
        mouth_height=mm(1.5),
        lip_thickness=factor(0.22),
        corner_rest=mm(1.6),
        hairline=mm(4.0),
        age=float(age),
        expressiveness=float(rng.uniform(0.7, 1.1)),
        skin=np.clip(skin, 25, 245),
        hair=np.clip(hair, 10, 240),
        iris=irises[rng.choice(4, p=[0.5, 0.2, 0.18, 0.12])] + rng.normal(0, 6, 3),
        lips=np.clip(lips, 20, 240),
        hair_style=str(rng.choice(["bald", "short", "long", "fringe"], p=[0.1, 0.42, 0.33, 0.15])),
        beard=beard,
        glasses=bool(rng.random() < 0.12),
        make_up=float(make_up),
    )


def _sample_activation(rng: np.random.Generator, emotion: int) -> np.ndarray:
    """Activations of the expression AUs, float [A]; the head's stay 0."""
    present = rng.random(len(AUS)) < _CHANCE[emotion]
    strong = rng.uniform(1.55, 5.0, len(AUS))
    slight = rng.uniform(0.2, 1.45, len(AUS)) * (rng.random(len(AUS)) < 0.35)
    slight[len(aus.EXPRESSION) :] = 0
    a = np.where(present, strong, slight)
    for first, others in _EXCLUDES.items():
        if a[COLUMN[first]] >= 1.5:
            a[[COLUMN[n] for n in others]] = 0
    # A dropped jaw parts the lips, nearly always; strongly parted lips come with other AUs' pull.
    if a[COLUMN[26]] >= 1.5 and a[COLUMN[25]] < 1.5 and rng.random() < 0.93:
        a[COLUMN[25]] = rng.uniform(1.7, 4)
    return a


def _sample_angle(rng: np.random.Generator, turned: float, small: float, large: float) -> float:
    if rng.random() < turned:
        return rng.uniform(-large, large)
    return float(np.clip(rng.normal(0, small), -large, large))


def _with_head(activation: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Adds the activations of AU51 to AU56, which follow from the angles."""
    a = activation.copy()
    a[_HEAD] = head_aus.steps(*angles)
    return a


def sample_spec(seed: int, split: str, number: int) -> ImageSpec:
    """The image `number` of a split.

    A person has `IMAGES_PER_PERSON` still images in a row, or one video.
    """
    if split in CLIP_SPLITS:
        return _sample_frame(seed, split, *divmod(number, MOST_FRAMES))
    return _sample_image(seed, split, number, number // IMAGES_PER_PERSON)


def _sample_frame(seed: int, split: str, video: int, frame: int) -> ImageSpec:
    """A frame of a video of one person with one emotion under one light, before one camera."""
    still = _sample_image(seed, split, video, video)
    moved = time_course.drift(generator(seed, split, video, 4), _DRIFT, frame)
    angles = (still.angles + moved[:3]).clip(-_LARGEST_ANGLES, _LARGEST_ANGLES)
    activation = _activation_at(generator(seed, split, video, 5), still.emotion, frame)
    noise = generator(seed, split, video * MOST_FRAMES + frame, 6)
    spec = dataclasses.replace(
        still,
        activation=_with_head(activation, angles),
        angles=angles,
        gaze=(still.gaze + moved[3:]).clip(-3.5, 3.5),
        frame_noise=int(noise.integers(2**31)),
    )
    if not spec.labels()[_OF_EMOTION[spec.emotion]].any():
        return dataclasses.replace(spec, emotion=aus.EMOTIONS.index("neutral"))
    return spec


def _activation_at(rng: np.random.Generator, emotion: int, frame: int) -> np.ndarray:
    """Activations of the expression AUs at a frame of a video: float [A].

    Episodes follow each other, and each is drawn like the expression of a still image, so AUs that
    keep each other out do so in videos too.
    """
    apex, shown = time_course.at_frame(
        rng, lambda rng: (_sample_activation(rng, emotion), _OF_EMOTION[emotion]), frame
    )
    a = apex * shown
    if apex[COLUMN[25]] >= 1.5:  # the lips part no later than the jaw drops
        a[COLUMN[25]] = max(a[COLUMN[25]], min(a[COLUMN[26]], apex[COLUMN[25]]))
    return a


def _sample_image(seed: int, split: str, number: int, person_number: int) -> ImageSpec:
    person = sample_person(seed, split, person_number)
    rng = generator(seed, split, number, 1)
    emotion = int(rng.choice(len(aus.EMOTIONS), p=_EMOTION_RATE))
    angles = np.array(
        [
            _sample_angle(rng, 0.35, 5.0, _LARGEST_ANGLES[0]),
            _sample_angle(rng, 0.40, 6.0, _LARGEST_ANGLES[1]),
            _sample_angle(rng, 0.30, 5.0, _LARGEST_ANGLES[2]),
        ]
    )
    activation = _with_head(_sample_activation(rng, emotion), angles)
    asymmetry = np.clip(rng.normal(1, 0.08, (2, len(AUS))), 0.75, 1.25)
    if aus.EMOTIONS[emotion] == "contempt":  # one-sided
        asymmetry[rng.integers(2), COLUMN[12]] = 0.15
    light = np.array([rng.normal(0, 0.7), rng.normal(-0.35, 0.4), 1.0])
    return ImageSpec(
        person=person,
        activation=activation,
        asymmetry=asymmetry,
        emotion=emotion,
        angles=angles,
        gaze=np.clip(rng.normal(0, (2.0, 0.9)), -3.5, 3.5),
        distance=rng.uniform(650, 1300),
        light=light / np.linalg.norm(light),
        ambient=rng.uniform(0.35, 0.8),
        occluder=str(
            rng.choice(
                ["none", "hand", "bar", "scarf", "sunglasses"], p=[0.86, 0.06, 0.03, 0.02, 0.03]
            )
        ),
        blur=float(rng.uniform(0.4, 1.2)) * float(rng.random() < 0.3),
        noise=float(rng.choice([0.0, 4.0, 9.0], p=[0.35, 0.4, 0.25])),
        jpeg_quality=int(rng.integers(60, 95)),
        scene=int(rng.integers(2**31)),
    )
