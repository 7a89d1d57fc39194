"""Images and video frames from a user's disk, where anything can be wrong with them."""

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from PIL import Image, ImageOps

from au_jax.data.file_kind import IMAGES, VIDEOS, kind_of
from au_jax.files import regular_file

# Larger images are refused before they are decoded: 100 megapixels take 300 MB.
MOST_PIXELS = 100_000_000
_MOST_BYTES = 10**9

# Pillow knows many more formats, among them PostScript, for which it starts another program. Of an
# animation or a document of several pages the first picture is taken.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
_ORIENTATION = 0x0112  # the EXIF tag

# FFmpeg, in OpenCV, writes remarks on damaged videos onto the screen; the callers tell of them.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


class BadImageError(Exception):
    """An image that cannot be used.

    Attributes:
      kind: "missing", "unreadable", "too large", "not square" or "outside".
    """

    def __init__(self, kind: str, reason: str):
        super().__init__(reason)
        self.kind = kind


def read_image(path: Path) -> tuple[np.ndarray, bytes]:
    """Decodes an image whole, turned upright by its EXIF tag.

    Returns:
      uint8 [H, W, 3] RGB, and the file's bytes.

    Raises:
      BadImageError: it is missing, no regular file, no image of a known format by its contents,
        damaged, cut off, or too large.
    """
    if _size(path) > _MOST_BYTES:
        raise BadImageError("too large", f"the file has more than {_MOST_BYTES // 10**6} MB")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadImageError("unreadable", f"cannot be opened ({error.strerror})") from error
    return decode(data), data


def _size(path: Path) -> int:
    try:
        return regular_file.size(path)
    except (FileNotFoundError, NotADirectoryError):
        raise BadImageError("missing", "there is no such file") from None
    except OSError as error:
        raise BadImageError("unreadable", f"cannot be opened ({error.strerror})") from error
    except ValueError as error:  # a path with a null character
        raise BadImageError("missing", f"is no file name ({error})") from error


def decode(data: bytes) -> np.ndarray:
    """Decodes the bytes of an image file; see `read_image`."""
    try:
        # Pillow warns of large images and refuses larger ones itself; here one limit decides.
        with _no_pixel_limit(), Image.open(io.BytesIO(data), formats=_FORMATS) as opened:
            _check_pixels(*opened.size)
            return _jpeg(data, opened) if opened.format == "JPEG" else _other(opened)
    except BadImageError:
        raise
    except Image.UnidentifiedImageError as error:
        raise BadImageError("unreadable", f"is no image ({IMAGES})") from error
    except Exception as error:  # every format of Pillow raises its own
        raise BadImageError("unreadable", f"cannot be decoded ({_short(error)})") from error


def _jpeg(data: bytes, opened: Image.Image) -> np.ndarray:
    """Decodes a JPEG strictly: whatever libjpeg warns of, such as missing data, is an error.

    OpenCV and Pillow fill with grey, or with shifted pixels, what was lost in the middle of a file,
    and say nothing.
    """
    if opened.mode == "CMYK":
        simplejpeg.decode_jpeg(data, "CMYK")  # it checks the data, and knows no colours of print
        return _other(opened)
    pixels = simplejpeg.decode_jpeg(data)
    with contextlib.suppress(Exception):  # EXIF data may be broken without harm to the picture
        turned = Image.fromarray(pixels)
        turned.getexif()[_ORIENTATION] = opened.getexif().get(_ORIENTATION, 1)
        return np.array(ImageOps.exif_transpose(turned))
    return pixels


def _other(opened: Image.Image) -> np.ndarray:
    """Decodes an image by Pillow, with levels of 16 bits made 8, which it would cut off at 255."""
    upright = ImageOps.exif_transpose(opened)
    if upright.mode == "F" or (upright.mode == "I" and opened.format != "PNG"):
        reason = "its levels are floating-point or 32-bit numbers, of which none is known as white"
        raise BadImageError("unreadable", f"{reason}; save it with 8 or 16 bits")
    if upright.mode.startswith("I"):
        upright = Image.fromarray((np.array(upright).clip(0, 65535) >> 8).astype(np.uint8))
    return np.array(upright.convert("RGB"))


def _check_pixels(width: int, height: int) -> None:
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


def is_text(path: Path) -> bool:
    """Whether a path is valid UTF-8, as OpenCV needs it."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text.split(" <_io")[0] or type(error).__name__


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
          BadImageError: it is not there, no regular file, no video by its contents, cannot be
            read as one, has too large frames, or a name that is no text, of which OpenCV dies.
        """
        _size(path)
        if not is_text(path):
            raise BadImageError("unreadable", "has a name that is no valid text; rename it")
        try:
            with open(path, "rb") as file:
                kind = kind_of(file.read(12))
        except OSError as error:
            raise BadImageError("unreadable", f"cannot be opened ({error.strerror})") from error
        if kind != "video":
            raise BadImageError("unreadable", f"cannot be read as a video ({VIDEOS})")
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise BadImageError("unreadable", "cannot be read as a video")
        sides = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        _check_pixels(*(max(0, int(self._capture.get(side))) for side in sides))
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
