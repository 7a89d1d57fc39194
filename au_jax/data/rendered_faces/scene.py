"""Description of a rendered picture: person, expression, light, camera, surroundings.

Coordinates are ICT-FaceKit's: centimetres, x to the person's own left, y up, z out of the face. A
picture is [size, size], its x to the right (a face that looks into the camera has its own left
there), its y down. Colours are linear RGB, 0 to 1, unless said otherwise.
"""

import dataclasses

import numpy as np

# The AUs that the shapes can show, intensity 0 to 5 each; the order of `Scene.intensity`.
NUMBERS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 18, 20, 23, 24, 25, 26, 28, 43)
COLUMN = {number: column for column, number in enumerate(NUMBERS)}
PRESENT_FROM = 2.0  # the intensity from which an AU counts as present


@dataclasses.dataclass(frozen=True)
class Glasses:
    """A pair of glasses.

    Attributes:
      shape: "round" or "square". width, height: of a glass, times the eye's width.
      thickness: of the frame, cm. colour: float [3]. tint: how dark the glass is, 0 to 1.
    """

    shape: str
    width: float
    height: float
    thickness: float
    colour: np.ndarray
    tint: float


@dataclasses.dataclass(frozen=True)
class Person:
    """What stays the same in all pictures of a person.

    Attributes:
      subject: text id.
      seed: of the fine texture of the skin, the hairs and the hair's outline.
      identity: float32 [60], standard normal weights of the shapes of identity, scaled by the look.
      rest: blendshape name without its side -> its weight in the resting face.
      gain: float [N], how far an intensity of 5 goes, about 1, of each of `NUMBERS`.
      asymmetry: how much stronger an expression is on the person's own left, about -0.1 to 0.1.
      age: 0 young to 1 old (wrinkles, bags). freckles, redness, shine: 0 to 1.
      skin, hair, brows, iris, teeth, lips: float [3]. lips_strength: how red the lips are, 0 to 1.
      brow_thickness: half the height of a brow, cm. brow_strength: 0 to 1.
      beard, moustache, stubble, lashes: density, 0 to 1.
      make_up: eye liner and shadow, 0 to 1; shadow: the shadow's colour, float [3].
      hair_length: "bald", "short" or "long". hairline: y of the hairline at the middle, cm.
      hair_volume: how far hair stands off the skull, cm.
      fringe: how far hair falls over the forehead, 0 to 1.
      glasses: or None. clothes: float [3].
    """

    subject: str
    seed: int
    identity: np.ndarray
    rest: dict[str, float]
    gain: np.ndarray
    asymmetry: float
    age: float
    freckles: float
    redness: float
    shine: float
    skin: np.ndarray
    hair: np.ndarray
    brows: np.ndarray
    iris: np.ndarray
    teeth: np.ndarray
    lips: np.ndarray
    lips_strength: float
    brow_thickness: float
    brow_strength: float
    beard: float
    moustache: float
    stubble: float
    lashes: float
    make_up: float
    shadow: np.ndarray
    hair_length: str
    hairline: float
    hair_volume: float
    fringe: float
    glasses: Glasses | None
    clothes: np.ndarray


@dataclasses.dataclass(frozen=True)
class View:
    """Where the head is and how it is turned.

    Attributes:
      pitch, yaw, roll: degrees, signs as in `records.Record.pose`.
      centre: float [2], x and y of the face's centre in shares of the picture's side.
      width: of the face (14.7 cm) in shares of the picture's side.
      distance: of the camera from the face, cm.
    """

    pitch: float
    yaw: float
    roll: float
    centre: np.ndarray
    width: float
    distance: float


@dataclasses.dataclass(frozen=True)
class Light:
    """Two lamps and the light of the surroundings.

    Attributes:
      key, fill: float [3], unit vectors towards the lamps, in coordinates of the camera (x to the
        picture's right, y up, z to the camera). key_colour, fill_colour: float [3].
      above, below: float [3], colours of the surroundings' light from above and from below.
      shadow: how dark the key lamp's shadow is, 0 to 1.
      wrap: how far the key lamp's light reaches round the edge, 0 (hard) to 0.5 (soft).
      exposure: about 1. gamma: of the picture, about 2.2.
    """

    key: np.ndarray
    key_colour: np.ndarray
    fill: np.ndarray
    fill_colour: np.ndarray
    above: np.ndarray
    below: np.ndarray
    shadow: float
    wrap: float
    exposure: float
    gamma: float


@dataclasses.dataclass(frozen=True)
class Defects:
    """What camera and storage do to the picture, in the order of application.

    Attributes:
      blur: standard deviation, pixels; 0: none. motion: length of a motion blur, pixels; 0: none.
      downscale: side to which it is made smaller and back, in shares of its own; 1: not.
      noise: standard deviation, 0 to 1. grey: whether it is grey. jpeg: quality, 1 to 100.
    """

    blur: float = 0.0
    motion: float = 0.0
    downscale: float = 1.0
    noise: float = 0.0
    grey: bool = False
    jpeg: int = 95


@dataclasses.dataclass(frozen=True)
class Scene:
    """One picture.

    Attributes:
      person: whom it shows.
      intensity: float [N, 2], 0 to 5, of each of `NUMBERS`, on the person's own right and left.
      gaze: float [2], where the eyes look, -1 to 1: to the person's own left, and up.
      view, light, defects: see there.
      backdrop: the kind of background, see `backdrops`.
      occluder: what hides part of the face, see `occluders`; "none".
      emotion: position in `aus.EMOTIONS`, -1 none.
      seed: of what is drawn behind and before the face, and of the noise.
    """

    person: Person
    intensity: np.ndarray
    gaze: np.ndarray
    view: View
    light: Light
    defects: Defects
    backdrop: str
    occluder: str
    emotion: int
    seed: int

    def strength(self) -> np.ndarray:
        """The intensity of the stronger side: float [N]."""
        return self.intensity.max(1)
