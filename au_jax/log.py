"""The log of a run: lines on the terminal, a progress bar, metrics.jsonl, TensorBoard events."""

import errno
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from tqdm import tqdm

from au_jax.errors import spelled_out

# Seconds between two lines of progress where there is no terminal to redraw one on.
_LINE_SECONDS = 20.0


def say(message: str) -> None:
    """Prints one line, from the first process only, without breaking a progress bar."""
    if jax.process_index() == 0:
        # The name of a file may be no valid text, which not every terminal takes.
        tqdm.write(spelled_out(message), file=sys.stdout)
        sys.stdout.flush()


def progress(what: str, total: int, unit: str, done: int = 0) -> tqdm:
    """A progress bar with rate and time left; in a log file it is a new line every 20 seconds.

    Args:
      what: the words in front of the bar.
      total: how many units there are.
      unit: what is counted, such as "step".
      done: how many units are done already.
    """
    return tqdm(
        total=total,
        initial=done,
        desc=what,
        unit=unit,
        dynamic_ncols=True,
        leave=False,
        mininterval=0.2 if sys.stderr.isatty() else _LINE_SECONDS,
        disable=jax.process_index() != 0,
    )


class EpochLog:
    """Appends the figures of every epoch to `metrics.jsonl` and to TensorBoard events."""

    def __init__(self, folder: Path, path: Path, epochs_done: int):
        """Goes on after epoch `epochs_done`; later epochs, of a run that was killed, are dropped.

        Args:
          folder: where the TensorBoard events lie.
          path: the metrics.jsonl file.
          epochs_done: the number of epochs whose figures are kept.
        """
        self._writes = jax.process_index() == 0
        if not self._writes:
            return
        folder.mkdir(parents=True, exist_ok=True)
        lines, size = _whole_lines(path, epochs_done)
        if len(lines) < epochs_done:
            lacking = f"{epochs_done - len(lines)} of {epochs_done} epochs"
            say(f"  {path} lacks the figures of {lacking}, which charts leave out")
        # Unbuffered, so that a full disk is found by the write that it stops.
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115
        self._file.truncate(size)
        # The import is slow where PyTorch is installed, which it imports too.
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.summary import scalar

        # Not a SummaryWriter, whose thread dies of a full disk and lets whoever writes wait for it.
        self._events = EventsWriter(str(folder / "events"))
        self._event, self._scalar = Event, scalar
        started = SessionLog(status=SessionLog.START)  # drops what was written of later epochs
        self._tell(epochs_done + 1, session_log=started)
        self._events.flush()

    def write(self, epoch: int, figures: Mapping[str, float]) -> None:
        """Appends the figures of one epoch."""
        if not self._writes:
            return
        line = (json.dumps({"epoch": epoch, **figures}) + "\n").encode()
        if self._file.write(line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._file.name)
        for name, value in figures.items():
            self._tell(epoch, summary=self._scalar(name, value))
        self._events.flush()

    def _tell(self, epoch: int, **content: Any) -> None:
        self._events.write_event(self._event(wall_time=time.time(), step=epoch, **content))

    def __enter__(self) -> "EpochLog":
        return self

    def __exit__(self, *_: object) -> None:
        if self._writes:
            self._file.close()
            self._events.close()


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The whole lines of a metrics.jsonl file, one for each epoch; [] where there is no file."""
    return _whole_lines(path)[0]


def _whole_lines(path: Path, most: int | None = None) -> tuple[list[dict[str, float]], int]:
    """The first lines that are whole, up to epoch `most`, and the bytes that they take."""
    lines: list[dict[str, float]] = []
    size = 0
    for line in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
        try:
            figures = json.loads(line)
        except ValueError:  # A kill cut this line off; its epoch is run again.
            break
        if not line.endswith(b"\n") or not _are_figures(figures):
            break
        if most is not None and figures["epoch"] > most:
            break
        lines.append(figures)
        size += len(line)
    return lines, size


def _are_figures(line: Any) -> bool:
    numbers = isinstance(line, dict) and all(type(v) in (int, float) for v in line.values())
    return numbers and {"epoch", "step", "loss", "learning_rate"} <= line.keys()
