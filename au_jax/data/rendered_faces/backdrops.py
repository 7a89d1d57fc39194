"""Backgrounds of rendered faces: a backdrop of one of several kinds, shoulders, and long hair."""

from collections.abc import Callable

import cv2
import numpy as np

from au_jax.data.rendered_faces.population import linear
from au_jax.data.rendered_faces.scene import Scene

_FACE_WIDTH = 14.7  # cm
# The backdrop is drawn coarsely, as what is far behind is out of focus.
_COARSE = 4
# The outline of the shoulders, cm from the middle of the face, half of it: x to the right, y up.
_SHOULDERS = np.array([[6.0, -9.5], [13, -12], [17, -14.5], [19, -40]])
_SUBPIXELS = 3  # bits: OpenCV draws outlines at eighths of a pixel


def brightness(scene: Scene) -> float:
    """About the light that falls on a surface that looks into the camera."""
    light = scene.light
    return float(np.mean(light.above + light.below) / 2 + 0.4 * np.mean(light.key_colour))


def backdrop(scene: Scene, side: int, turn: np.ndarray) -> np.ndarray:
    """What is behind the scene's face: float32 [side, side, 3], linear RGB.

    Args:
      turn: float [3, 3], of long hair, from the head's directions to the camera's.
    """
    rng = np.random.default_rng([scene.seed, 0])
    coarse = BACKDROPS[scene.backdrop](rng, side // _COARSE)
    picture = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR).clip(0, 1.2)
    _draw_shoulders(picture, scene, rng)
    if scene.person.hair_length == "long":
        _draw_long_hair(picture, scene, turn, rng)
    return picture


def _colour(rng: np.random.Generator) -> np.ndarray:
    """Of things in a room: mostly greyish."""
    grey, hue = rng.uniform(15, 235), rng.normal(0, 16, 3)
    if rng.random() < 0.25:
        hue = 0.6 * (rng.uniform(10, 245, 3) - grey)
    return linear(grey + hue)


def _slope(rng: np.random.Generator, side: int) -> np.ndarray:
    """A plane that rises in a random direction, -1 to 1 from one corner to the other."""
    angle = rng.uniform(0, 2 * np.pi)
    x, y = np.meshgrid(*(np.linspace(-0.7, 0.7, side),) * 2)
    return (x * np.cos(angle) + y * np.sin(angle)).astype(np.float32)


def _gradient(rng: np.random.Generator, side: int) -> np.ndarray:
    share = np.clip(0.5 + rng.uniform(0.3, 1.5) * _slope(rng, side), 0, 1)[..., None]
    return (share * _colour(rng) + (1 - share) * _colour(rng)).astype(np.float32)


def _noise(rng: np.random.Generator, side: int) -> np.ndarray:
    picture = _gradient(rng, side)
    for cells in (int(rng.integers(3, 8)), int(rng.integers(8, 30))):
        grey = rng.random((cells, cells, 1), dtype=np.float32)
        spots = 0.7 * grey + 0.3 * rng.random((cells, cells, 3), dtype=np.float32)
        spots = cv2.resize(spots, (side, side), interpolation=cv2.INTER_CUBIC)
        picture = picture * (0.4 + 1.1 * spots).clip(0.1)
    return picture


def _rectangles(rng: np.random.Generator, side: int) -> np.ndarray:
    picture = _gradient(rng, side)
    for _ in range(rng.integers(3, 16)):
        corner, extent = rng.integers(-10, side, 2), rng.integers(4, side, 2)
        cv2.rectangle(
            picture, corner.tolist(), (corner + extent).tolist(), _colour(rng).tolist(), -1
        )
    return cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 6))


def _bokeh(rng: np.random.Generator, side: int) -> np.ndarray:
    picture = 0.5 * _gradient(rng, side)
    for _ in range(rng.integers(8, 40)):
        disc = picture.copy()
        centre, radius = rng.integers(0, side, 2), int(rng.integers(2, max(3, side // 9)))
        cv2.circle(disc, centre.tolist(), radius, (1.4 * _colour(rng)).tolist(), -1, cv2.LINE_AA)
        cv2.addWeighted(picture, 0.5, disc, 0.5, 0, picture)
    return cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 2.5))


def _stripes(rng: np.random.Generator, side: int) -> np.ndarray:
    wave = np.sin(rng.uniform(10, 60) * _slope(rng, side) + rng.uniform(0, 6))
    if rng.random() < 0.5:
        wave = np.sign(wave)
    picture = _gradient(rng, side) * (0.85 + 0.35 * wave[..., None])
    return cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 4))


def _two_tone(rng: np.random.Generator, side: int) -> np.ndarray:
    first, second = _gradient(rng, side), _gradient(rng, side)
    picture = np.where((_slope(rng, side) > rng.uniform(-0.4, 0.4))[..., None], first, second)
    return cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 8))


BACKDROPS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "gradient": _gradient,
    "noise": _noise,
    "rectangles": _rectangles,
    "bokeh": _bokeh,
    "stripes": _stripes,
    "two-tone": _two_tone,
}


def soft_mask(outline: np.ndarray, side: int, softness: float) -> np.ndarray:
    """1 within an outline and 0 outside, with an edge `softness` pixels wide: float32 [S, S, 1]."""
    mask = np.zeros((side, side), np.float32)
    points = np.rint(outline * 2**_SUBPIXELS).astype(np.int32)
    cv2.fillPoly(mask, [points], 1.0, cv2.LINE_8, _SUBPIXELS)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), softness))[..., None]


def _place(scene: Scene, side: int) -> tuple[np.ndarray, float]:
    """The middle of the face in pixels, and the pixels of a centimetre."""
    return scene.view.centre * side, scene.view.width * side / _FACE_WIDTH


def _draw_shoulders(picture: np.ndarray, scene: Scene, rng: np.random.Generator) -> None:
    side = len(picture)
    centre, pixels = _place(scene, side)
    wide = _SHOULDERS * (rng.uniform(0.85, 1.15), 1)
    outline = np.concatenate([wide, wide[::-1] * (-1, 1)])
    tilt = np.deg2rad(-0.15 * scene.view.roll)  # as `face_render.BODY` has the neck
    turn = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
    points = centre + pixels * (outline @ turn) * (1, -1)
    mask = soft_mask(points, side, 0.8)
    folds = cv2.resize(
        rng.uniform(0.8, 1.15, (6, 9)).astype(np.float32),
        (side, side),
        interpolation=cv2.INTER_CUBIC,
    )
    cloth = (0.9 * brightness(scene) * folds[..., None] * scene.person.clothes).astype(np.float32)
    if rng.random() < 0.25:  # a pattern
        wave = np.sin(rng.uniform(20, 90) * _slope(rng, side))[..., None]
        cloth = cloth * (1 + 0.4 * np.sign(wave))
    picture += mask * (cloth - picture)


def _draw_long_hair(
    picture: np.ndarray, scene: Scene, turn: np.ndarray, rng: np.random.Generator
) -> None:
    side = len(picture)
    centre, pixels = _place(scene, side)
    person = np.random.default_rng([scene.person.seed, 1])  # the same length in all pictures
    width, length = person.uniform(8.0, 10.0), person.uniform(6, 16)
    arc = np.linspace(0, np.pi, 14)
    top = np.stack([width * np.cos(arc), 4.5 + (width + 0.5) * np.sin(arc)], 1)
    down = np.array(
        [
            [-1.05 * width, -2],
            [-1.1 * width, -0.7 * length],
            [-0.9 * width, -length],
            [-4, -length - 0.6],
        ]
    )
    outline = np.concatenate([top, down, down[::-1] * (-1, 1)])
    solid = np.column_stack([outline, np.full(len(outline), -2.5)]) @ turn.T
    points = centre + 0.93 * pixels * solid[:, :2] * (1, -1)
    mask = soft_mask(points, side, 0.005 * side)
    strands = cv2.resize(
        rng.uniform(0.5, 1.4, (3, 90)).astype(np.float32),
        (side, side),
        interpolation=cv2.INTER_CUBIC,
    )
    hair = 0.75 * brightness(scene) * strands[..., None] * scene.person.hair
    picture += mask * (hair.astype(np.float32) - picture)
