"""The log of a run: lines on the terminal, a progress bar, metrics.jsonl, TensorBoard events."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import jax
from tqdm import tqdm

# Seconds between two lines of progress where there is no terminal to redraw one on.
_LINE_SECONDS = 20.0


def say(message: str) -> None:
    """Prints one line, from the first process only, without breaking a progress bar."""
    if jax.process_index() == 0:
        tqdm.write(message, file=sys.stdout)
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
        lines = read_metrics(path)[:epochs_done]
        self._file = open(path, "w")  # noqa: SIM115
        for line in lines:
            self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        # The import is slow where PyTorch is installed, which it imports too.
        from tensorboardX import SummaryWriter

        self._events = SummaryWriter(str(folder), purge_step=epochs_done + 1)

    def write(self, epoch: int, figures: Mapping[str, float]) -> None:
        """Appends the figures of one epoch."""
        if not self._writes:
            return
        self._file.write(json.dumps({"epoch": epoch, **figures}) + "\n")
        self._file.flush()
        for name, value in figures.items():
            self._events.add_scalar(name, value, epoch)

    def __enter__(self) -> "EpochLog":
        return self

    def __exit__(self, *_: object) -> None:
        if self._writes:
            self._file.close()
            self._events.close()


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The whole lines of a metrics.jsonl file, one for each epoch; [] where there is no file."""
    if not path.exists():
        return []
    lines = []
    for line in path.read_text().splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:  # A kill cut this line off; its epoch is run again.
            break
    return lines
