"""The drawing of a face with OpenCV.

One scene is drawn per image; both crops are cut from it. Colours are BGR throughout.
"""

import cv2
import numpy as np

from au_jax.data.synthetic_faces.anatomy import RIGID, Motion, depth, face_curves, project
from au_jax.data.synthetic_faces.painter import SHIFT, Painter
from au_jax.data.synthetic_faces.population import ImageSpec
from au_jax.similarity import similarity

_SCENE_MM = 380.0  # side of the scene
_HEAD_AT = np.array([0.5, 0.44])  # where in the scene the point between the eyes is
# The close-up's framing: pixels per millimetre as a share of its side, and what is at its centre.
_CLOSEUP_SCALE = 0.0052
_CLOSEUP_CENTRE = np.array([0.0, 31.0])


def render(spec: ImageSpec, size: int) -> dict[str, bytes]:
    """Draws both crops of an image: name -> JPEG bytes, size x size pixels."""
    rng = np.random.default_rng(spec.scene)
    noise = rng if spec.frame_noise is None else np.random.default_rng(spec.frame_noise)
    scene, to_scene = draw_scene(spec, round(2.1 * size), rng)
    crops = {
        "closeup": _closeup(scene, to_scene, spec, size, noise),
        "wide": _wide(scene, size, rng),
    }
    return {name: _photograph(crop, spec, noise) for name, crop in crops.items()}


def draw_scene(spec: ImageSpec, side: int, rng: np.random.Generator):
    """Draws head, shoulders and background.

    Returns:
      uint8 [side, side, 3] BGR, and the map from head millimetres [N, 3] to its pixels [N, 2].
    """
    scale = side / _SCENE_MM
    centre = side * _HEAD_AT + rng.normal(0, 0.015 * side, 2)

    def to_scene(points: np.ndarray) -> np.ndarray:
        return project(points, spec.angles, spec.distance) * scale + centre

    motion = Motion(spec)
    curves = face_curves(spec, motion)
    names = list(curves)
    pixels = to_scene(np.concatenate([curves[n].reshape(-1, 3) for n in names]))
    fixed = np.rint(pixels * 2**SHIFT).astype(np.int32)
    ends = np.cumsum([curves[n].size // 3 for n in names])[:-1]
    at = {
        n: part.reshape(*curves[n].shape[:-1], 2)
        for n, part in zip(names, np.split(fixed, ends), strict=True)
    }
    image = _background(side, rng)
    Painter(image, at, spec, motion, scale, centre, rng).paint()
    return image, to_scene


def _background(side: int, rng: np.random.Generator) -> np.ndarray:
    base = rng.uniform(40, 215) + rng.normal(0, 22, 3)
    cells = rng.integers(2, 7, 2)
    coarse = base + rng.normal(0, 28, (*cells, 1)) + rng.normal(0, 9, (*cells, 3))
    smooth = rng.random() < 0.7
    image = cv2.resize(
        coarse.clip(0, 255).astype(np.uint8),
        (side, side),
        interpolation=cv2.INTER_CUBIC if smooth else cv2.INTER_NEAREST,
    )
    for _ in range(rng.integers(0, 4)):
        corners = (rng.random((2, 2)) * side).astype(int)
        colour = (base + rng.normal(0, 40) + rng.normal(0, 15, 3)).clip(0, 255)
        cv2.rectangle(image, corners[0].tolist(), corners[1].tolist(), colour.tolist(), -1)
    return image


def _closeup(scene, to_scene, spec: ImageSpec, size: int, rng) -> np.ndarray:
    """Registered to the mean face by points that no expression moves, found with a small error."""
    person = spec.person
    eye, nose = (person.eye_distance, 1), (person.nose_width, person.nose_length)
    points = RIGID * np.array([eye] * 4 + [nose] * 3)
    measured = to_scene(np.concatenate([points, depth(points[:, 0], points[:, 1])[:, None]], -1))
    measured += rng.normal(0, 0.8 * scene.shape[0] / _SCENE_MM, measured.shape)
    mean = ((RIGID - _CLOSEUP_CENTRE) * _CLOSEUP_SCALE + 0.5) * size
    return cv2.warpAffine(
        scene, similarity(measured, mean), (size, size), borderMode=cv2.BORDER_REFLECT_101
    )


def _wide(scene, size: int, rng) -> np.ndarray:
    """The scene itself, a little off centre: not registered, so the head's pose shows."""
    side = scene.shape[0]
    length = int(side * rng.uniform(0.8, 1.0))
    top, left = rng.integers(0, side - length + 1, 2)
    part = scene[top : top + length, left : left + length]
    return cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA)


def _photograph(crop: np.ndarray, spec: ImageSpec, rng) -> bytes:
    """Blur, sensor noise and JPEG."""
    if spec.blur:
        crop = cv2.GaussianBlur(crop, (0, 0), spec.blur * crop.shape[0] / 104)
    if spec.noise:
        # Two bytes make a triangular distribution of standard deviation 0.41 x 255.
        grain = rng.integers(0, 256, (2, *crop.shape), np.uint8)
        spread = spec.noise / 104
        mixed = cv2.addWeighted(grain[0], spread, grain[1], spread, 0, dtype=cv2.CV_16S)
        crop = cv2.add(crop, mixed, dtype=cv2.CV_16S) - np.int16(255 * spread)
        crop = crop.clip(0, 255).astype(np.uint8)
    return cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, spec.jpeg_quality])[1].tobytes()
