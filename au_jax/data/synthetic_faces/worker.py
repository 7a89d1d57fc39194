"""A child process that draws every n-th image of a split and writes the JPEGs to its pipe.

`python -m au_jax.data.synthetic_faces.worker SEED SPLIT COUNT FRAMES START STEP SIZE`. A program of
its own and no `multiprocessing` child: it imports neither jax nor the caller's main module, and
needs no pickle.
"""

import contextlib
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from typing import IO

import cv2

from au_jax.data.synthetic_faces.drawing import render
from au_jax.data.synthetic_faces.population import image_numbers, sample_spec

VIEWS = ("closeup", "wide")
_LENGTH = struct.Struct("<I")


def rendered(
    seed: int, split: str, count: int, size: int, workers: int, frames: int = 0
) -> Iterator[dict[str, bytes]]:
    """Yields the crops of a split's images in order, drawn by `workers` processes.

    With one worker the images are drawn right here. `count` and `frames` say which images there
    are, see `population.image_numbers`.

    Raises:
      RuntimeError: a child process ended early.
    """
    numbers = image_numbers(seed, split, count, frames)
    if workers == 1:
        for number in numbers:
            yield render(sample_spec(seed, split, number), size)
        return
    command = [sys.executable, "-m", __name__, str(seed), split, str(count), str(frames)]
    with contextlib.ExitStack() as stack:
        pipes = []
        for first in range(workers):
            span = [str(first), str(workers), str(size)]
            child = stack.enter_context(
                subprocess.Popen(
                    [*command, *span], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
                )
            )
            stack.callback(child.kill)  # runs before the wait of Popen's own exit
            assert child.stdout is not None
            pipes.append(child.stdout)
        for place in range(len(numbers)):
            yield {view: _read(pipes[place % workers]) for view in VIEWS}


def _read(pipe: IO[bytes]) -> bytes:
    head = pipe.read(_LENGTH.size)
    body = pipe.read(_LENGTH.unpack(head)[0]) if len(head) == _LENGTH.size else b""
    if not body:
        raise RuntimeError("a process that draws faces ended early; see its message above")
    return body


def main(seed: str, split: str, count: str, frames: str, start: str, step: str, size: str) -> None:
    """Draws every step-th image of a split from the start-th on; each JPEG follows its length."""
    cv2.setNumThreads(1)
    try:
        numbers = image_numbers(int(seed), split, int(count), int(frames))
        for number in numbers[int(start) :: int(step)]:
            crops = render(sample_spec(int(seed), split, number), int(size))
            for view in VIEWS:
                sys.stdout.buffer.write(_LENGTH.pack(len(crops[view])) + crops[view])
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # the parent has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main(*sys.argv[1:])
