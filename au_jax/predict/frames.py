"""A stream of images out of photographs, videos, cameras and arrays, one after another."""

import dataclasses
import itertools
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from au_jax.data.image_io import BadImageError, Video, read_image
from au_jax.errors import UserError
from au_jax.predict.inputs import Input

# A video that gives less than this share of the frames that it says it has was cut off. The number
# in the file is an estimate in some formats.
_WHOLE = 0.95


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where an image comes from.

    Attributes:
      input: the name of the input.
      position: which of the inputs it is, from 0.
      frame: number within a video, from 0; 0 for a photograph.
      timestamp: seconds from the start of the video; NaN where it has none.
      moving: whether it is a frame of a video or of a camera.
      length: how many frames the input says it has; 0 where it does not say.
    """

    input: str
    position: int
    frame: int = 0
    timestamp: float = math.nan
    moving: bool = False
    length: int = 1

    @property
    def after(self) -> tuple[int, int]:
        """The place, input and frame, that reading goes on at behind this image."""
        return (self.position, self.frame + 1) if self.moving else (self.position + 1, 0)


@dataclasses.dataclass(frozen=True)
class Frame:
    """An image uint8 [H, W, 3], RGB, and its origin."""

    origin: Origin
    image: np.ndarray


@dataclasses.dataclass(frozen=True)
class Unusable:
    """An input that cannot be used, or not to its end, and why."""

    origin: Origin
    reason: str


def read(
    inputs: Sequence[Input], every: int = 1, place: tuple[int, int] = (0, 0)
) -> Iterator[Frame | Unusable]:
    """The images of all inputs, in order; what cannot be read is told and passed over.

    Args:
      inputs: see `inputs.resolve`.
      every: of a video the frames 0, every, 2 * every, ... are read.
      place: the input and the frame to begin with, see `Origin.after`.

    Raises:
      UserError: there is no such camera.
    """
    first, frame = place
    for position, entry in enumerate(inputs[first:], first):
        if entry.kind == "image":
            yield _photograph(entry, position)
        elif entry.kind == "video":
            yield from _video(entry, position, every, frame if position == first else 0)
        else:
            yield from _camera(entry, position, every)


def of_arrays(images: Iterable[np.ndarray], moving: bool, every: int = 1) -> Iterator[Frame]:
    """Images that are in memory already, or that a generator makes.

    Args:
      images: each uint8 [H, W, 3], RGB.
      moving: whether they are the frames of one video; else each is a photograph of its own.
      every: as in `read`.

    Raises:
      UserError: one of them is no such array.
    """
    for number, image in enumerate(images):
        whole = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.size > 0
        if not whole or image.shape[2:] != (3,):
            what = (
                f"{image.dtype} {list(image.shape)}"
                if isinstance(image, np.ndarray)
                else type(image)
            )
            raise UserError(f"image {number} is {what}; give arrays uint8 [height, width, 3], RGB")
        if moving and number % every == 0:
            yield Frame(Origin("frames", 0, number, moving=True, length=0), image)
        elif not moving:
            yield Frame(Origin(str(number), number), image)


def _photograph(entry: Input, position: int) -> Frame | Unusable:
    origin = Origin(entry.name, position)
    try:
        return Frame(origin, read_image(Path(entry.name))[0])
    except BadImageError as bad:
        return Unusable(origin, str(bad))


def _video(entry: Input, position: int, every: int, first: int) -> Iterator[Frame | Unusable]:
    end = Origin(entry.name, position)
    try:
        video = Video(Path(entry.name))
    except BadImageError as bad:
        yield Unusable(end, str(bad))
        return
    start = -(-first // every) * every
    number = start
    try:
        for number in itertools.count(start, every):
            image = video.frame(number)
            yield Frame(
                Origin(entry.name, position, number, video.timestamp, True, video.length), image
            )
    except BadImageError:
        if video.decoded == 0:
            yield Unusable(end, "holds no frame that can be decoded")
        elif video.decoded < _WHOLE * video.length:
            yield Unusable(
                end, f"ends at frame {video.decoded}, though it says it has {video.length}"
            )
    finally:
        video.close()


def _camera(entry: Input, position: int, every: int) -> Iterator[Frame]:
    camera = cv2.VideoCapture(int(entry.name))
    if not camera.isOpened():
        raise UserError(f"--input={entry.name}: there is no camera of this number; give a file")
    start = time.monotonic()
    try:
        for number in itertools.count():
            if not camera.grab():
                return
            if number % every == 0:
                seconds = time.monotonic() - start
                image = cv2.cvtColor(camera.retrieve()[1], cv2.COLOR_BGR2RGB)
                yield Frame(Origin(entry.name, position, number, seconds, True, 0), image)
    finally:
        camera.release()
