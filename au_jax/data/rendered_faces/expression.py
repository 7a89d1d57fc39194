"""Facial expressions of a mesh: AU intensities to blendshape weights, weights to vertices."""

import functools

import numpy as np

from au_jax.data.rendered_faces.face_kit import SIDED, FaceKit
from au_jax.data.rendered_faces.scene import COLUMN, NUMBERS, PRESENT_FROM, Person, Scene

# AU -> blendshapes (without their side) and their weights at intensity 5.
SHAPES: dict[int, tuple[tuple[str, float], ...]] = {
    1: (("browInnerUp", 1.1),),
    2: (("browOuterUp", 0.9),),
    4: (("browDown", 1.5),),
    5: (("eyeWide", 1.2),),
    6: (("cheekRaiser", 0.8), ("cheekSquint", 0.9)),
    7: (("eyeSquint", 1.4), ("eyeBlink", 0.22)),
    9: (("noseSneer", 1.0),),
    10: (("mouthUpperUp", 0.9),),
    12: (("mouthSmile", 1.0),),
    14: (("mouthDimple", 1.4),),
    15: (("mouthFrown", 1.15),),
    17: (("mouthShrugLower", 0.9), ("mouthShrugUpper", 0.2)),
    18: (("mouthPucker", 1.25),),
    20: (("mouthStretch", 1.0),),
    23: (("mouthPress", 0.4), ("mouthRollUpper", 0.5), ("mouthRollLower", 0.5)),
    24: (
        *(("mouthPress", 1.4), ("mouthShrugLower", 0.3)),
        *(("mouthRollUpper", 0.35), ("mouthRollLower", 0.35)),
    ),
    25: (("mouthLowerDown", 0.6), ("mouthUpperUp", 0.15), ("jawOpen", 0.06)),
    26: (("jawOpen", 0.9),),
    28: (
        *(("mouthRollLower", 1.05), ("mouthRollUpper", 0.95)),
        *(("mouthShrugLower", 0.25), ("mouthPress", 0.35)),
    ),
    43: (("eyeBlink", 1.9),),  # lids that are as good as closed wherever it counts as present
}
SIDES = ("R", "L")  # the person's own, in the order of `Scene.intensity`
CLOSED = 0.92  # how much of the jaw's drop the lips make up for while they stay closed
# From the first intensity of AU25 the lips begin to part, from the second nothing closes them.
PARTING = (1.5, PRESENT_FROM)
OVERLAP = 0.1  # cm: by how much more than their gap closed lips are brought together
RECESS = 0.6  # cm: how far an eye goes back behind lids that are closed
# Of the upper and the lower lid's edge, landmarks of the person's own right and left eye.
UPPER_LID, LOWER_LID = ((37, 38), (43, 44)), ((41, 40), (47, 46))


def lips_closed(scene: Scene) -> float:
    """How far the lips are kept closed: 1 without AU25, 0 where it is present."""
    start, end = PARTING
    return float(np.clip((end - scene.strength()[COLUMN[25]]) / (end - start), 0, 1))


def activation(person: Person, intensity: np.ndarray) -> np.ndarray:
    """How far each AU goes on each side, about 0 to 1: float64 [N, 2].

    Intensity / 5, times the person's gain, times 1 -+ the asymmetry on the own right and left.
    """
    sides = 1 + person.asymmetry * np.array([-1.0, 1.0])
    return np.asarray(intensity) / 5 * np.asarray(person.gain)[:, None] * sides


def weights(scene: Scene) -> dict[str, float]:
    """The weight of each blendshape that a scene uses.

    A shape without sides takes the mean of the two. A jaw that drops while the lips are not parted
    (AU26 without AU25, see `lips_closed`) drops behind closed lips, by `mouthClose`.
    """
    found: dict[str, float] = {}

    def add(stem: str, right: float, left: float) -> None:
        if stem in SIDED:
            for side, weight in zip(SIDES, (right, left), strict=True):
                found[f"{stem}_{side}"] = found.get(f"{stem}_{side}", 0.0) + weight
        else:
            found[stem] = found.get(stem, 0.0) + (right + left) / 2

    person = scene.person
    for stem, weight in person.rest.items():
        add(stem, weight * (1 - person.asymmetry), weight * (1 + person.asymmetry))
    active = activation(person, scene.intensity)
    for number, (right, left) in zip(NUMBERS, active, strict=True):
        for stem, weight in SHAPES[number]:
            add(stem, weight * right, weight * left)

    if scene.strength()[COLUMN[26]] > 0:
        close = CLOSED * lips_closed(scene) * found["jawOpen"]
        found["mouthClose"] = found.get("mouthClose", 0.0) + close
    left, up = (float(value) for value in scene.gaze)
    found["eyeLookOut_L"] = found["eyeLookIn_R"] = max(left, 0.0)
    found["eyeLookOut_R"] = found["eyeLookIn_L"] = max(-left, 0.0)
    for side in SIDES:
        found[f"eyeLookUp_{side}"], found[f"eyeLookDown_{side}"] = max(up, 0.0), max(-up, 0.0)
        found[f"eyeBlink_{side}"] = min(found[f"eyeBlink_{side}"], 1.0)
    return {name: weight for name, weight in found.items() if weight != 0}


@functools.lru_cache(maxsize=2)
def corrugator(kit: FaceKit) -> np.ndarray:
    """What `browDown` lacks of AU4: brow heads move together, down and forward.

    Returns:
      float32 [2, V, 3], cm, of the person's own right and left side at full activation.
    """
    x, y, z = kit.neutral.T
    pull = np.stack([-0.38 * np.clip(x, -1, 1), np.full_like(x, -0.22), np.full_like(x, 0.12)], 1)
    sides = []
    for side in (-1, 1):
        bell = np.exp(-(((x - side * 1.4) / 1.7) ** 2) - ((y - 5.9) / 1.1) ** 2) * (z > 3)
        sides.append(bell[:, None] * pull)
    return np.stack(sides).astype(np.float32)


def closing(kit: FaceKit, vertices: np.ndarray) -> np.ndarray:
    """Offsets that bring parted lips together.

    Many people's shapes of identity leave a gap between the lips, and cheeks or nose that rise lift
    the upper lip: teeth would show, as with AU25. Each lip goes half of the way over what the gap
    exceeds that of the mean head.

    Args:
      vertices: float32 [V, 3], cm, in the head's coordinates.

    Returns:
      float32 [V, 3], cm.
    """
    upper, lower = kit.landmarks[[60, 61, 62, 63, 64]], kit.landmarks[[60, 67, 66, 65, 64]]
    gap = vertices[upper, 1] - vertices[lower, 1] - kit.neutral[upper, 1] + kit.neutral[lower, 1]
    parting = (kit.neutral[upper] + kit.neutral[lower]) / 2
    parting[[1, 3], 0] *= 1.6  # lips part over most of their width
    x, y, z = kit.neutral.T
    way = np.interp(x, parting[:, 0], np.maximum(gap + OVERLAP, 0), 0, 0) / 2
    below = np.interp(x, parting[:, 0], parting[:, 1]) - y
    near = np.exp(-((below / 0.9) ** 2)) * np.clip((z - 8.5) / 1.5, 0, 1)
    offsets = np.zeros_like(vertices)
    offsets[:, 1] = np.sign(below) * way * near * kit.of("face", "socket")
    return offsets


def opening(kit: FaceKit, vertices: np.ndarray) -> np.ndarray:
    """How far the eyes are open: [2], cm, the person's own right and left; below 0 lids overlap."""
    heights = vertices[kit.landmarks, 1]
    return (heights[np.array(UPPER_LID)] - heights[np.array(LOWER_LID)]).mean(1)


@functools.lru_cache(maxsize=2)
def blink_reach(kit: FaceKit) -> np.ndarray:
    """By how much each `eyeBlink` closes the eye of the mean head: [2], cm."""
    vertices = kit.neutral.copy()
    for side in SIDES:
        _add(kit, vertices, f"eyeBlink_{side}", 1.0)
    return opening(kit, kit.neutral) - opening(kit, vertices)


def _add(kit: FaceKit, vertices: np.ndarray, name: str, weight: float) -> None:
    number = kit.names.index(name)
    vertices[kit.moved[number]] += np.float32(weight) * kit.offsets[number]


def move(kit: FaceKit, shape: np.ndarray, scene: Scene) -> np.ndarray:
    """The vertices of a person's face with a scene's expression.

    Args:
      shape: float32 [V, 3], the person's face without expression, cm.

    Returns:
      float32 [V, 3], cm.
    """
    vertices = shape.copy()
    asked = weights(scene)
    blink = np.array([asked.pop(f"eyeBlink_{side}", 0.0) for side in SIDES])
    for name, weight in asked.items():
        _add(kit, vertices, name, weight)
    # A blink closes its share of what this person's eye is open, however large it is and however
    # other shapes widen or narrow it; lids that these let overlap are brought back to each other.
    gap = opening(kit, vertices)
    shut = np.where(gap > 0, blink, 1.0)
    for side, weight in zip(SIDES, shut * gap / blink_reach(kit), strict=True):
        _add(kit, vertices, f"eyeBlink_{side}", weight)
    # Eyes that stand far out would show through their lids.
    eyes = kit.of("eye")
    own_left = kit.neutral[eyes, 0] > 0
    vertices[eyes, 2] -= RECESS * shut[own_left.astype(int)]
    active = activation(scene.person, scene.intensity)[COLUMN[4]].astype(np.float32)
    if active.any():
        vertices += np.tensordot(active, corrugator(kit), 1)
    closed = lips_closed(scene)
    if closed > 0:
        vertices += np.float32(closed) * closing(kit, vertices)
    return vertices
