"""A camera: from light on a sensor to the JPEG file of a picture, with the defects of both."""

import cv2
import numpy as np

from au_jax.data import crop_jpeg
from au_jax.data.rendered_faces.scene import Defects, Light

# How strongly a bright light is held back, and the gain that makes up for it, as film does.
_SHOULDER, _GAIN = 0.18, 1.12


def expose(light: np.ndarray, size: int, setting: Light) -> np.ndarray:
    """The picture before its defects: float32 [size, size, 3] RGB, 0 to 1, as a screen shows it.

    Args:
      light: float32 [S, S, 3], linear RGB, S a multiple of `size`.
      setting: its exposure and gamma.
    """
    small = cv2.resize(light, (size, size), interpolation=cv2.INTER_AREA)
    exposed = np.maximum(small * np.float32(setting.exposure), 0)
    toned = _GAIN * exposed / (1 + _SHOULDER * exposed)
    return np.power(np.minimum(toned, 1), np.float32(1 / setting.gamma))


def photograph(
    light: np.ndarray, size: int, setting: Light, defects: Defects, rng: np.random.Generator
) -> tuple[np.ndarray, bytes]:
    """Takes the picture and stores it.

    Args:
      light, size, setting: see `expose`.
      rng: of the noise, and of the direction of a motion.

    Returns:
      uint8 [size, size, 3] RGB, as it is read back from the file, and the file's bytes.
    """
    picture = degrade(expose(light, size, setting), defects, rng)
    grey_levels = np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8)
    data = crop_jpeg.encode(grey_levels, defects.jpeg)
    image = crop_jpeg.decode(data)
    assert image is not None
    return image, data


def degrade(picture: np.ndarray, defects: Defects, rng: np.random.Generator) -> np.ndarray:
    """The picture with its defects, float32 [H, W, 3]; values may leave 0 to 1 by the noise."""
    if defects.blur:
        picture = cv2.GaussianBlur(picture, (0, 0), defects.blur)
    if defects.motion:
        picture = cv2.filter2D(
            picture,
            -1,
            _streak(defects.motion, rng.uniform(0, np.pi)),
            borderType=cv2.BORDER_REPLICATE,
        )
    if defects.downscale < 1:
        height, width = picture.shape[:2]
        share = defects.downscale
        small = cv2.resize(picture, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
        picture = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    if defects.noise:
        # Sensors err in brightness more than in colour.
        brightness = rng.standard_normal((*picture.shape[:2], 1), dtype=np.float32)
        colour = rng.standard_normal(picture.shape, dtype=np.float32)
        picture = picture + np.float32(defects.noise) * (0.85 * brightness + 0.4 * colour)
    if defects.grey:
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        picture = np.repeat(grey[..., None], 3, 2)
    return picture


def _streak(length: float, angle: float) -> np.ndarray:
    """The kernel of a motion blur: float32 [K, K], its sum 1."""
    half = int(np.ceil(length / 2))
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    end = 0.5 * length * np.array([np.cos(angle), np.sin(angle)])
    first, last = (np.round(16 * (half + sign * end)).astype(int).tolist() for sign in (-1, 1))
    cv2.line(kernel, first, last, 1.0, 1, cv2.LINE_8, 4)
    return kernel / kernel.sum()
