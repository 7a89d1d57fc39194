"""The population of the rendered faces: who is in a picture, what the face does, how it is taken.

All of it is a pure function of (look, seed, split, number), for a frame of a clip of (look, seed,
split, clip, frame): whichever process asks, and in whatever order, gets the same.
"""

import dataclasses
import functools

import numpy as np

from au_jax import aus
from au_jax.data.made_splits import CLIP_SPLITS, IMAGES_PER_PERSON, MOST_FRAMES, generator
from au_jax.data.rendered_faces import expressions
from au_jax.data.rendered_faces.looks import LOOKS, Look
from au_jax.data.rendered_faces.scene import (
    COLUMN,
    NUMBERS,
    PRESENT_FROM,
    Defects,
    Glasses,
    Light,
    Person,
    Scene,
    View,
)
from au_jax.data.synthetic_faces import time_course

# Grey levels (sRGB) of skins from the lightest to the darkest, and of hairs, irises and make-up.
_LIGHT_SKIN, _DARK_SKIN = np.array([240.0, 206, 187]), np.array([90.0, 60, 45])
_HAIRS = np.array(
    [
        [28, 22, 20], [45, 32, 25], [70, 46, 30], [105, 70, 42], [150, 110, 65], [190, 150, 100],
        [130, 60, 35], [120, 118, 115], [200, 198, 195],
    ]
)  # fmt: skip
_HAIR_RATE = {
    "light": np.array([0.26, 0.22, 0.16, 0.1, 0.05, 0.04, 0.03, 0.08, 0.06]),
    "dark": np.array([0.6, 0.2, 0.05, 0.01, 0.0, 0.0, 0.0, 0.1, 0.04]),
}
_GREY_HAIR = 110.0  # grey levels from which hair is an older person's, more often than not
_IRISES = np.array(
    [[62, 38, 22], [45, 28, 18], [85, 60, 32], [75, 90, 60], [80, 110, 140], [100, 125, 150]]
)
_IRIS_RATE = {
    "light": np.array([0.34, 0.3, 0.12, 0.1, 0.08, 0.06]),
    "dark": np.array([0.4, 0.55, 0.05, 0.0, 0.0, 0.0]),
}
# Weights of blendshapes in a resting face: mean and standard deviation, below 0 is 0.
_REST = {
    "browDown": (0.0, 0.12),
    "browInnerUp": (0.0, 0.10),
    "browOuterUp": (0.0, 0.12),
    "mouthFrown": (0.03, 0.12),
    "mouthSmile": (0.03, 0.08),
    "eyeSquint": (0.08, 0.14),
    "eyeBlink": (0.05, 0.06),
    "eyeWide": (0.0, 0.10),
    "mouthPress": (0.0, 0.10),
    "mouthPucker": (0.0, 0.08),
    "mouthRollUpper": (0.0, 0.08),
    "mouthRollLower": (0.0, 0.08),
    "jawOpen": (0.0, 0.012),
    "mouthLowerDown": (0.0, 0.03),
}
# How a head drifts in a clip (`time_course.drift`): pitch, yaw, roll in degrees, gaze, 0 to 1.
_DRIFT = np.array([2.5, 4.5, 2.5, 0.2, 0.12])
_MOVING_SHARE = 0.5  # of the defects' strength in clips, whose cameras are better


def sample_scene(look: str, seed: int, split: str, number: int) -> Scene:
    """The picture `number` of a split.

    Args:
      look: a key of `looks.LOOKS`.
      number: a person has `IMAGES_PER_PERSON` still pictures in a row, or one clip, whose frames
        are `MOST_FRAMES * clip + frame`.
    """
    if split in CLIP_SPLITS:
        return _sample_frame(look, seed, split, *divmod(number, MOST_FRAMES))
    person = sample_person(look, seed, split, number // IMAGES_PER_PERSON)
    return _sample_still(LOOKS[look], person, generator(seed, split, number, 1))


@functools.lru_cache(maxsize=4)  # the pictures of a person follow each other
def sample_person(look: str, seed: int, split: str, number: int) -> Person:
    """The person `number` of a split."""
    of, rng = LOOKS[look], generator(seed, split, number, 0)
    darkness = float(rng.beta(*of.darkness))
    skin = _LIGHT_SKIN + darkness * (_DARK_SKIN - _LIGHT_SKIN)
    skin += rng.normal(0, of.skin_spread) + rng.normal(0, 0.45 * of.skin_spread) * _hue(0.3)
    complexion = "light" if darkness < 0.55 else "dark"
    hair = _HAIRS[rng.choice(len(_HAIRS), p=_HAIR_RATE[complexion])] * rng.uniform(0.75, 1.25)
    age = float(rng.beta(1.2, 2.0) if hair.mean() < _GREY_HAIR else rng.beta(3, 1.5))
    bearded = bool(rng.random() < 0.5)  # those who may have a beard wear no make-up, and less hair
    beard, moustache, stubble = _facial_hair(rng) if bearded else (0.0, 0.0, 0.0)
    make_up = 0.0
    if not bearded and rng.random() < of.make_up:
        make_up = float(rng.uniform(0.3, 1))
    skin = np.clip(skin, 40, 250)
    lips = linear(skin) * (0.86, 0.5, 0.5)
    if make_up and rng.random() < 0.7:
        lips = 0.4 * lips + 0.6 * linear(rng.uniform((110, 15, 30), (200, 80, 100)))
    length = rng.choice(
        ["bald", "short", "long"], p=[0.12, 0.78, 0.10] if bearded else [0.01, 0.29, 0.70]
    )
    white = rng.uniform(185, 235)
    return Person(
        subject=f"{look}-{seed}-{split}-{number:05d}",
        seed=int(rng.integers(2**31)),
        identity=rng.normal(0, of.identity, 60).astype(np.float32),
        rest={
            name: max(0.0, float(rng.normal(mean, spread)))
            for name, (mean, spread) in _REST.items()
        },
        gain=rng.uniform(0.8, 1.12, len(NUMBERS)),
        asymmetry=float(np.clip(rng.normal(0, 0.05), -0.1, 0.1)),
        age=age,
        freckles=float(rng.uniform(0.2, 1) * (rng.random() < 0.15)),
        redness=float(rng.uniform(0.05, 0.6)),
        shine=float(rng.uniform(*of.shine)),
        skin=linear(skin),
        hair=linear(np.clip(hair, 8, 240)),
        # Make-up draws brows darker, fuller and denser.
        brows=linear(np.clip(hair * rng.uniform(0.45, 0.85) * (1 - 0.5 * make_up), 12, 150)),
        iris=linear(_IRISES[rng.choice(len(_IRISES), p=_IRIS_RATE[complexion])]),
        teeth=linear(white * np.array([1, 0.96, rng.uniform(0.8, 0.93)])),
        lips=lips,
        lips_strength=float(rng.uniform(0.35, 0.9)),
        brow_thickness=float(rng.uniform(0.3, 0.52) if bearded else rng.uniform(0.2, 0.38))
        + 0.1 * make_up,
        brow_strength=min(float(rng.uniform(0.5, 0.95)) + 0.3 * make_up, 1.0),
        beard=beard,
        moustache=moustache,
        stubble=stubble,
        make_up=make_up,
        shadow=linear(rng.uniform(40, 140, 3)),
        hair_length=str(length),
        hairline=float(rng.uniform(8.6, 11.2)),
        hair_volume=0.0
        if length == "bald"
        else float(rng.uniform(1.5, 2.6) if rng.random() < 0.2 else rng.uniform(0.3, 1.6)),
        fringe=float(rng.uniform(0.3, 1) * (rng.random() < (0.1 if bearded else 0.35))),
        glasses=_glasses(rng, of) if rng.random() < of.glasses else None,
        clothes=linear(
            (0.5 * rng.uniform(15, 235, 3) + 0.5 * rng.uniform(15, 235)) * rng.uniform(0.5, 1)
        ),
        lashes=min(float(rng.uniform(0.25, 1)) + 0.3 * make_up, 1.0),
    )


def linear(grey_levels) -> np.ndarray:
    """Linear RGB, 0 to 1, of grey levels of a screen, 0 to 255: float64 of the same shape."""
    return np.power(np.clip(np.asarray(grey_levels, float), 1, 255) / 255, 2.2)


def _hue(green: float) -> np.ndarray:
    """What is added to red, green and blue where a colour gets colder."""
    return np.array([-0.2, green, 1.0])


def _facial_hair(rng: np.random.Generator) -> tuple[float, float, float]:
    """Densities of beard, moustache and stubble."""
    kind = rng.choice(["none", "stubble", "full", "moustache"], p=[0.48, 0.26, 0.18, 0.08])
    beard = rng.uniform(0.55, 0.9) if kind == "full" else 0.0
    moustache = rng.uniform(0.4, 0.8) if kind in ("full", "moustache") else 0.0
    stubble = rng.uniform(0.1, 0.5) if kind != "none" else 0.0
    return float(beard), float(moustache), float(stubble)


def _glasses(rng: np.random.Generator, look: Look) -> Glasses:
    tinted = rng.random() < look.tinted
    return Glasses(
        shape=str(rng.choice(["round", "square"])),
        width=float(rng.uniform(1.6, 2.1)),
        height=float(rng.uniform(1.15, 1.75)),
        thickness=float(rng.uniform(0.08, 0.35)),
        colour=linear(rng.uniform(5, 70) + rng.uniform(0, 90, 3) * (rng.random() < 0.4)),
        tint=float(rng.uniform(0.6, 0.97) if tinted else rng.uniform(0, 0.12)),
    )


def _sample_still(look: Look, person: Person, rng: np.random.Generator) -> Scene:
    intensity, emotion = expressions.sample(rng)
    return Scene(
        person=person,
        intensity=intensity,
        gaze=np.clip(rng.normal(0, (0.35, 0.3)), -1, 1),
        view=_view(rng, look),
        light=_light(rng, look),
        defects=_defects(rng, look),
        backdrop=_kind(rng, look.backdrops),
        occluder=_kind(rng, look.occluders),
        emotion=emotion,
        seed=int(rng.integers(2**31)),
    )


def _kind(rng: np.random.Generator, weights: dict[str, float]) -> str:
    share = np.array(list(weights.values()))
    return str(rng.choice(list(weights), p=share / share.sum()))


def _view(rng: np.random.Generator, look: Look) -> View:
    largest = np.array(look.largest)
    angles = rng.normal(0, look.angles)
    if rng.random() < look.turned:
        angles = rng.uniform(-largest, largest) * (1, 1, 0.6)
    # The corner of all three limits would show no face.
    pitch, yaw, roll = np.clip(angles, -largest, largest).tolist()
    pitch *= 1 - 0.5 * max(0.0, abs(yaw) - 30) / 30
    return View(
        pitch=pitch,
        yaw=yaw,
        roll=roll,
        centre=np.array([0.5, 0.52]) + rng.normal(0, look.off_centre, 2).clip(-0.09, 0.09),
        width=float(rng.uniform(*look.width)),
        distance=float(rng.uniform(*look.distance)),
    )


def _light(rng: np.random.Generator, look: Look) -> Light:
    key, ambient = rng.uniform(*look.key), rng.uniform(*look.ambient)

    def colour(strength: float) -> np.ndarray:
        tint = 1 + rng.normal(0, look.tint) * np.array([1, 0.15, -1])
        if rng.random() < look.coloured:
            tint = tint * rng.uniform(0.3, 1.5, 3)
        return (strength * tint).clip(0.005)

    return Light(
        key=_towards(rng.uniform(-1, 1) * look.azimuth, rng.uniform(*look.elevation)),
        key_colour=colour(key),
        fill=_towards(rng.uniform(-140, 140), rng.uniform(-20, 50)),
        fill_colour=colour(rng.uniform(*look.fill)),
        above=colour(ambient * rng.uniform(0.9, 1.5)),
        below=colour(ambient * rng.uniform(0.4, 1)),
        shadow=float(rng.uniform(*look.shadow)),
        wrap=float(rng.uniform(*look.wrap)),
        exposure=float(rng.uniform(*look.exposure) * _metered(ambient + 0.5 * key)),
        gamma=float(rng.uniform(*look.gamma)),
    )


def _metered(light: float) -> float:
    """The exposure that a camera would choose, in part, for so much light."""
    return float(np.clip(0.75 / light, 0.8, 1.6))


def _towards(azimuth: float, elevation: float) -> np.ndarray:
    """The unit vector to a lamp; azimuth from the camera to the right, elevation up, degrees."""
    a, e = np.deg2rad([azimuth, elevation])
    return np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])


def _defects(rng: np.random.Generator, look: Look) -> Defects:
    def now_and_then(share: float, values: tuple[float, float], otherwise: float) -> float:
        value = float(rng.uniform(*values))
        return value if rng.random() < share else otherwise

    return Defects(
        blur=now_and_then(look.blurred, look.blur, 0.0),
        motion=now_and_then(look.moved, look.motion, 0.0),
        downscale=now_and_then(look.downscaled, look.downscale, 1.0),
        noise=now_and_then(look.noisy, look.noise, 0.0),
        grey=bool(rng.random() < look.grey),
        jpeg=int(rng.integers(look.jpeg[0], look.jpeg[1] + 1)),
    )


def _sample_frame(look: str, seed: int, split: str, clip: int, frame: int) -> Scene:
    """A frame of a clip of one person with one emotion under one light, before one camera."""
    person = sample_person(look, seed, split, clip)
    still = _sample_still(LOOKS[look], person, generator(seed, split, clip, 1))
    emotion = max(still.emotion, aus.EMOTIONS.index("neutral"))
    moved = time_course.drift(generator(seed, split, clip, 4), _DRIFT, frame)
    prototype = expressions.PROTOTYPES[aus.EMOTIONS[emotion]]
    together = np.isin(NUMBERS, prototype)
    apex, shown = time_course.at_frame(
        generator(seed, split, clip, 5),
        lambda rng: (expressions.sample_of(rng, emotion), together),
        frame,
    )
    strength = apex * shown
    if apex[COLUMN[25]] >= PRESENT_FROM:  # the lips part no later than the jaw drops
        jaw = min(strength[COLUMN[26]], apex[COLUMN[25]])
        strength[COLUMN[25]] = max(strength[COLUMN[25]], jaw)
    if not (strength[together] >= PRESENT_FROM).any():
        emotion = aus.EMOTIONS.index("neutral")
    largest = LOOKS[look].largest
    pitch, yaw, roll = np.clip(
        np.array([still.view.pitch, still.view.yaw, still.view.roll]) + moved[:3],
        np.negative(largest),
        largest,
    ).tolist()
    defects = dataclasses.replace(
        still.defects,
        blur=_MOVING_SHARE * still.defects.blur,
        motion=0.0,
        noise=_MOVING_SHARE * still.defects.noise,
    )
    return dataclasses.replace(
        still,
        intensity=np.repeat(strength[:, None], 2, 1),
        gaze=np.clip(still.gaze + moved[3:], -1, 1),
        view=dataclasses.replace(still.view, pitch=pitch, yaw=yaw, roll=roll),
        defects=defects,
        emotion=emotion,
    )
