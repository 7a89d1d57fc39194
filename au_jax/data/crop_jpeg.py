"""Crops as a prepared data set stores them: JPEGs, which lose a little, of one quality."""

import cv2
import numpy as np

JPEG_QUALITY = 95


def encode(image: np.ndarray, quality: int = JPEG_QUALITY) -> bytes:
    """JPEG bytes of uint8 [H, W, 3], RGB."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def decode(jpeg: bytes, side: int = 0) -> np.ndarray | None:
    """The image uint8 [H, W, 3], RGB; None where the bytes are no whole JPEG.

    Args:
      jpeg: the bytes of the file.
      side: pixels that the image is resized to, a square; 0 leaves it as stored.
    """
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
    if image is None:
        return None
    if side and image.shape[:2] != (side, side):
        image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(image, np.uint8)


def as_stored(image: np.ndarray, side: int) -> np.ndarray:
    """The crop as networks see it that train on a data set which stores it.

    Args:
      image: uint8 [H, W, 3], RGB.
      side: pixels that the data set's images are resized to as they are read.

    Returns:
      uint8 [side, side, 3].
    """
    stored = decode(encode(image), side)
    assert stored is not None
    return stored
