"""What a run says while it works: lines, a progress bar, metrics.jsonl and TensorBoard events."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import jax
from tqdm import tqdm

_LINE_SECONDS = 20.0  # between two progress lines where there is no terminal to redraw


def say(message: str) -> None:
    """Prints one line, from the first process only, without breaking a progress bar."""
    if jax.process_index() == 0:
        tqdm.write(message, file=sys.stdout)
        sys.stdout.flush()


def progress(what: str, total: int, unit: str, done: int = 0) -> tqdm:
    """A progress bar with rate and time left; on a log file it is renewed every 20 seconds."""
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
        """Goes on after epoch `epochs_done`; later lines, of a run that was killed, are dropped."""
        self._writes = jax.process_index() == 0
        if not self._writes:
            return
        folder.mkdir(parents=True, exist_ok=True)
        lines = read_metrics(path)[:epochs_done]
        self._file = open(path, "w")  # noqa: SIM115
        for line in lines:
            self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        from tensorboardX import SummaryWriter  # it imports PyTorch where that is installed

        self._events = SummaryWriter(str(folder), purge_step=epochs_done + 1)

    def write(self, epoch: int, figures: Mapping[str, float]) -> None:
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
        except ValueError:  # the line that a kill cut off is written again
            break
    return lines
