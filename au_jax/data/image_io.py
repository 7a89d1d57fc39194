"""Images and video frames from a user's disk, where anything can be wrong with them."""

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

# Larger images are refused before they are decoded: 100 megapixels take 300 MB.
MOST_PIXELS = 100_000_000

# FFmpeg, in OpenCV, writes remarks on damaged videos onto the screen; the callers tell of them.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"


class BadImageError(Exception):
    """An image that cannot be used.

    Attributes:
      kind: "missing", "unreadable", "too large" or "not square".
    """

    def __init__(self, kind: str, reason: str):
        super().__init__(reason)
        self.kind = kind


def read_image(path: Path) -> tuple[np.ndarray, bytes]:
    """Decodes an image whole, turned upright by its EXIF tag.

    Returns:
      uint8 [H, W, 3] RGB, and the file's bytes.

    Raises:
      BadImageError: it is missing, unreadable, no image, cut off, or too large.
    """
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise BadImageError("missing", "there is no such file") from None
    except OSError as error:
        raise BadImageError("unreadable", f"cannot be opened ({error.strerror})") from error
    except ValueError as error:  # a path with a null character
        raise BadImageError("missing", f"is no file name ({error})") from error
    return decode(data), data


def decode(data: bytes) -> np.ndarray:
    """Decodes the bytes of an image file; see `read_image`."""
    _check_header(data)
    # A JPEG that ends as it should is decoded quickly. OpenCV fills what is missing of one that was
    # cut off with grey and says nothing, so all others go through Pillow, which raises.
    if data.startswith(_JPEG_START) and data.rstrip(b"\0").endswith(_JPEG_END):
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        if image is not None:
            return image
    try:
        with Image.open(io.BytesIO(data)) as opened:
            return np.array(_eight_bits(ImageOps.exif_transpose(opened)).convert("RGB"))
    except Exception as error:  # every format of Pillow raises its own
        raise BadImageError("unreadable", f"cannot be decoded ({_short(error)})") from error


def _eight_bits(image: Image.Image) -> Image.Image:
    """The image with grey levels of 16 bits made 8, which Pillow would cut off at 255."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.array(image).clip(0, 65535) >> 8).astype(np.uint8))


def _check_header(data: bytes) -> None:
    try:
        # Pillow warns of large images and refuses larger ones itself; here one limit decides.
        with _no_pixel_limit(), Image.open(io.BytesIO(data)) as opened:
            width, height = opened.size
    except Exception as error:
        raise BadImageError("unreadable", f"is no image ({_short(error)})") from error
    if width * height > MOST_PIXELS:
        reason = f"{width} x {height} pixels are more than {MOST_PIXELS // 10**6} megapixels"
        raise BadImageError("too large", reason)


@contextlib.contextmanager
def _no_pixel_limit() -> Iterator[None]:
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _short(error: Exception) -> str:
    return str(error).split(" <_io")[0] or type(error).__name__


class Video:
    """Frames of one video, read forwards and exactly: no seeking, which some codecs get wrong.

    Frames are turned upright by the rotation that the file notes.

    Attributes:
      decoded: how many frames were read or passed over.
      timestamp: seconds from the start at which the frame that was read last is shown.
    """

    def __init__(self, path: Path):
        """Opens the video.

        Raises:
          BadImageError: it is not there, or cannot be read as a video.
        """
        if not path.exists():
            raise BadImageError("missing", "there is no such file")
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise BadImageError("unreadable", "cannot be read as a video")
        self.decoded = 0
        self.timestamp = 0.0

    @property
    def length(self) -> int:
        """How many frames the file says it has; 0 where it does not say."""
        return max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    @property
    def rate(self) -> float:
        """Frames a second, their mean where it varies; 0 where the file does not say."""
        return max(0.0, self._capture.get(cv2.CAP_PROP_FPS))

    def frame(self, position: int) -> np.ndarray:
        """The frame at `position`, counted from 0 and never below the last one asked for.

        Returns:
          uint8 [H, W, 3], RGB.

        Raises:
          BadImageError: the video ends before it or cannot be decoded there.
        """
        while self.decoded < position:
            if not self._capture.grab():
                raise BadImageError("unreadable", f"the video ends at frame {self.decoded}")
            self.decoded += 1
        decoded, image = self._capture.read()
        if not decoded:
            raise BadImageError("unreadable", f"the video ends at frame {self.decoded}")
        self.decoded += 1
        self.timestamp = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    def close(self) -> None:
        self._capture.release()
