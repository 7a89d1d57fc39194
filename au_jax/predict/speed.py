"""Prediction speed on a video: frames per second of each part, and end to end."""

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np

from au_jax import log, sharding
from au_jax.ensemble import predictor as ensemble
from au_jax.ensemble.predictor import Predictor
from au_jax.errors import UserError
from au_jax.predict import frames
from au_jax.predict.answers import Answers, batch_of
from au_jax.predict.face_crops import FaceCrops, Looked, make_finders
from au_jax.predict.frames import Frame, Unusable
from au_jax.predict.inputs import VIDEO_SUFFIXES, Input
from au_jax.predict.pipeline import in_threads
from au_jax.predict.run import face_threads

Result = TypeVar("Result")
_MOST_FRAMES = 300  # of the video that are measured with


def is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES


def show(workdir: Path, video: Path) -> None:
    """Measures on the first frames of a video, and prints the figures.

    Raises:
      UserError: the video cannot be read or shows no face, or `workdir` is no finished run.
    """
    predictor = ensemble.load(workdir)
    figures = measure(predictor, video)
    parts = ", ".join(f"{name} {rate:.1f}" for name, rate in figures.items())
    slowest = min(list(figures)[:-1], key=lambda name: figures[name])
    log.say(
        f"frames/s of {video.name} on {face_threads()} cores and "
        f"{sharding.describe(sharding.make_mesh(1))}: {parts}; what limits it is {slowest}"
    )


def _first(entry: Input) -> Iterator[Frame | Unusable]:
    return itertools.islice(frames.read([entry]), _MOST_FRAMES)


def _timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """The seconds that `work` takes, and what it returns."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def measure(predictor: Predictor, video: Path) -> dict[str, float]:
    """Frames per second of each part alone on its threads, and end to end.

    Returns:
      "decoding" (one thread), "finding faces and cutting" (one thread for each core), "the
      networks" (in full batches), "end to end".

    Raises:
      UserError: the video cannot be read or shows no face.
    """
    entry = Input(str(video), "video")
    threads, batch = face_threads(), batch_of(0)
    looking = FaceCrops(
        predictor.crops, make_finders(predictor.crops, faces="largest", count=threads)
    )

    few = list(itertools.islice(_first(entry), 2 * batch))  # as many as fit into the memory
    if isinstance(few[0], Unusable):
        raise UserError(f"--raw={video}: {few[0].reason}; give another video")
    seconds, count = _timed(lambda: sum(isinstance(item, Frame) for item in _first(entry)))
    rates = {"decoding": count / seconds}
    seconds, looked = _timed(lambda: list(in_threads(iter(few), looking.look, threads, 2 * batch)))
    rates["finding faces and cutting"] = len(few) / seconds
    crops = [of for item in looked if isinstance(item, Looked) for of in item.crops]
    if not crops:
        raise UserError(f"--raw={video} shows no face in its first frames; give another video")
    full = {c: np.stack([crops[i % len(crops)][c] for i in range(batch)]) for c in predictor.crops}
    predictor.member_logits(full, batch=batch)  # compiled now
    seconds, _ = _timed(lambda: [predictor.member_logits(full, batch=batch) for _ in range(3)])
    rates["the networks"] = 3 * batch / seconds

    def whole() -> int:
        seen = in_threads(_first(entry), looking.look, threads, 2 * batch)
        return sum(len(step.looked) for step in Answers(predictor, batch).steps(seen, batch))

    seconds, count = _timed(whole)
    rates["end to end"] = count / seconds
    return rates
