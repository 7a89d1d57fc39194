"""A model's look at one uploaded picture or video, bounded in what it reads and keeps."""

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

from au_jax.data.image_io import BadImageError, Video
from au_jax.errors import UserError
from au_jax.predict import frames
from au_jax.predict.answers import Row, batch_of
from au_jax.predict.frames import Frame, Unusable
from au_jax.predict.inputs import Input
from au_jax.predict.model import Model
from au_jax.serve import upload
from au_jax.serve.seen import Image, Seen
from au_jax.serve.upload import Limits

# Pixels of the longer side of what is kept to be shown.
_PICTURE_SIDE, _FRAME_SIDE = 1280, 640


def look(
    model: Model,
    path: Path,
    limits: Limits,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Seen:
    """Finds all faces of an upload and asks the networks about them.

    Args:
      progress: told how many images of how many are done.

    Raises:
      UserError: the file is of no known kind, above a limit, or cannot be read at all.
    """
    kind = upload.check(path, limits)
    every, total = _frames_to_read(path, limits) if kind == "video" else (1, 1)
    images: list[Image] = []
    rows: list[Row] = []
    remark = ""
    stream = itertools.islice(frames.read([Input(str(path), kind)], every), limits.frames)
    shown = _shown(stream, path.name, limits, images)
    done = 0
    progress(done, total)
    batch = batch_of(0 if kind == "video" else 1)
    with contextlib.closing(model.steps(shown, batch, faces="all")) as steps:
        for step in steps:
            rows += step.rows
            done += len(step.looked)
            progress(min(done, total), total)
            for unusable in step.unusable:
                remark = f"{path.name} {unusable.reason}"
    if not rows:
        raise UserError(f"{remark}; give another file")
    by_image = itertools.groupby(rows, lambda row: row.answer.origin.frame)
    together = [list(of_image) for _, of_image in by_image]
    return Seen(path.name, model.aus, images, together, every, remark and f"{remark}.")


def _frames_to_read(path: Path, limits: Limits) -> tuple[int, int]:
    """The distance of the frames of a video that are looked at, and how many these are.

    Raises:
      UserError: it cannot be read as a video, or is longer than it may be.
    """
    try:
        video = Video(path)
    except BadImageError as bad:
        raise UserError(f"{path.name} {bad}; give another file") from bad
    with contextlib.closing(video):
        length, rate = video.length, video.rate
        if length and rate:
            _check_seconds(path.name, length / rate, limits)
        elif not length:  # as in a browser's recordings
            with contextlib.suppress(BadImageError):
                for position in itertools.count():
                    video.frame(position)
                    _check_seconds(path.name, video.timestamp, limits)
            length = video.decoded
    every = max(1, -(-length // limits.frames))
    return every, max(1, -(-length // every))


def _check_seconds(name: str, seconds: float, limits: Limits) -> None:
    if seconds > limits.seconds:
        raise UserError(f"{name} is longer than {limits.seconds} seconds; give a shorter video")


def _shown(
    stream: Iterator[Frame | Unusable], name: str, limits: Limits, images: list[Image]
) -> Iterator[Frame | Unusable]:
    """The stream under the name of the upload; what is to be shown of it is added to `images`.

    Raises:
      UserError: a frame has more pixels, or comes later, than it may.
    """
    for item in stream:
        origin = dataclasses.replace(item.origin, input=name)
        if isinstance(item, Frame):
            height, width = item.image.shape[:2]
            if origin.moving and height * width > limits.frame_pixels:
                raise UserError(
                    f"{name} has frames of {width} x {height} pixels, more than "
                    f"{limits.frame_pixels / 10**6:g} megapixels; give a smaller video"
                )
            if origin.moving:
                _check_seconds(name, origin.timestamp, limits)
            images.append(Image.of(item, _FRAME_SIDE if origin.moving else _PICTURE_SIDE))
        yield dataclasses.replace(item, origin=origin)
