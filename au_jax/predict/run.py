"""The course of `--mode=predict`: from photographs and videos to a table of faces and AUs."""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from au_jax import log, sharding
from au_jax.ensemble import predictor as ensemble
from au_jax.ensemble import selection
from au_jax.ensemble.predictor import Predictor
from au_jax.errors import UserError
from au_jax.predict import frames, inputs, neutral_level, pages, parquet, rows
from au_jax.predict import overlay as drawing
from au_jax.predict.answers import Answers, Step, batch_of
from au_jax.predict.face_crops import FaceCrops, make_finders
from au_jax.predict.frames import Frame, Unusable
from au_jax.predict.inputs import Input
from au_jax.predict.partial_table import PartialTable
from au_jax.predict.pipeline import in_threads
from au_jax.process import cores

_OTHER = "its name is neither an image's nor a video's"
_REASONS = 100  # that are kept; the rest of what cannot be used is counted


def predict(
    workdir: Path,
    given: Sequence[str],
    output: Path,
    stage: str | None = None,
    every: int = 1,
    faces: str = "largest",
    overlay: Path | None = None,
    report: Path | None = None,
    baseline: bool = False,
) -> None:
    """Predicts the AUs of all faces, or goes on where a killed call stopped.

    Args:
      workdir: the folder of a finished run.
      given: photographs, videos, folders, patterns, or a camera; see `inputs.resolve`.
      output: the table, a new file that ends in .csv or .parquet; `rows` has its columns.
      stage: the stage whose selection predicts; by default the last one that can.
      every: of a video the frames 0, every, 2 * every, ... are looked at.
      faces: "largest" or "all", of each image.
      overlay: a folder for copies of the images and videos with what the table says, if any.
      report: a page .html that shows what the table says, if any.
      baseline: whether the table has columns of AUs above each person's own level, see
        `neutral_level`.

    Raises:
      UserError: a flag or file does not fit, an input is not there, or the run is not finished.
    """
    if output.suffix not in (".csv", ".parquet"):
        raise UserError(f"--output={output} ends neither in .csv nor in .parquet")
    if output.suffix == ".parquet":
        parquet.check(output)
    if every < 1:
        raise UserError(f"--every={every} is below 1; 1 looks at every frame of a video")
    entries, others = inputs.resolve(given)
    kinds = {entry.kind for entry in entries}
    for flag, path in (("overlay", overlay), ("report", report)):
        if path and "camera" in kinds:
            raise UserError(f"--{flag} draws on files, and what a camera showed is not kept")
    if baseline and kinds == {"image"}:
        raise UserError("--baseline follows faces through videos, and --input has none")
    if report:
        pages.check(report)
    if overlay:
        drawing.check(overlay)
    predictor = ensemble.load(workdir, stage)
    threads = face_threads()
    looking = FaceCrops(predictor.crops, make_finders(predictor.crops, faces, threads))
    command = _command(workdir, predictor, entries, every, faces)
    table = PartialTable(output, command, rows.columns(predictor.aus))
    for other in others:
        log.say(f"{other}: {_OTHER}")
    log.say(f"{len(entries)} inputs, on {sharding.describe(sharding.make_mesh(1))}")
    tally, state = Tally(), table.state
    if state:
        tally = Tally(**state["tally"])
        log.say(f"{table.path} is gone on with; so far {tally}")
    size = batch_size(entries)
    answers = Answers(predictor, size, state and state["answers"])
    place = tuple(state["place"]) if state else (0, 0)
    stream = frames.read(entries, every, place)
    done = tally.images + tally.unusable
    camera = entries[0].kind == "camera"
    with (
        _ended_by_ctrl_c(stream) if camera else contextlib.nullcontext(stream) as read,
        log.progress("predict", done + len(entries) - place[0], "image", done) as bar,
        contextlib.closing(in_threads(read, looking.look, threads, ahead=2 * size)) as images,
    ):
        progress = _Progress(bar, every)
        for step in answers.steps(images, size):
            progress.show(step)
            tally.count(step)
            place = max((origin.after for origin in step.origins), default=place)
            kept = {"place": place, "answers": answers.state(), "tally": vars(tally)}
            table.append([rows.cells(row) for row in step.rows], kept)
    if overlay:
        drawing.write(table.path, entries, every, overlay)
    if report:
        about = {
            "run": workdir.resolve().name,
            "selection": ensemble.stage_name(workdir, stage),
            "table": output.name,
            "tally": str(tally),
            "unusable": [*tally.reasons.items(), *((other, _OTHER) for other in others)],
            "baseline": baseline,
        }
        thresholds = predictor.over_time.thresholds
        pages.write(report, table.path, entries, predictor.aus, thresholds, about)
    table.finish(neutral_level.add_columns if baseline else None)
    log.say(f"{output}: {tally}")


@dataclasses.dataclass
class Tally:
    """Counts of what was done; its text is the last line of the mode.

    Attributes:
      images: photographs and frames that were looked at. faces: in them. faceless: those of the
        images without any. unusable: inputs that could not be used, or not to their end.
      reasons: {input: why} of the first of these.
    """

    images: int = 0
    faces: int = 0
    faceless: int = 0
    unusable: int = 0
    reasons: dict[str, str] = dataclasses.field(default_factory=dict)

    def count(self, step: Step) -> None:
        self.images += len(step.looked)
        self.faces += sum(len(image.faces) for image in step.looked)
        self.faceless += sum(not image.faces for image in step.looked)
        self.unusable += len(step.unusable)
        for item in step.unusable[: max(0, _REASONS - len(self.reasons))]:
            self.reasons[item.origin.input] = item.reason

    def __str__(self) -> str:
        return (
            f"{self.images} images, {self.faces} faces in them, {self.faceless} images without a "
            f"face, {self.unusable} inputs that cannot be used or not to their end"
        )


def face_threads() -> int:
    """How many threads look for faces."""
    return min(8, cores.usable())


def batch_size(entries: Sequence[Input]) -> int:
    """Images that go through the networks together: a camera's one by one, as they come."""
    kinds = {entry.kind for entry in entries}
    if "camera" in kinds:
        return 1
    return batch_of(0 if "video" in kinds else len(entries))


def _command(
    workdir: Path, predictor: Predictor, entries: Sequence[Input], every: int, faces: str
) -> dict[str, Any]:
    """What the rows follow from, so that unfinished work is not gone on with by another command."""
    return {
        "--workdir": str(workdir.resolve()),
        "selection": _digest(selection.to_json(predictor.over_time)),
        "list of inputs": _digest([dataclasses.astuple(entry) for entry in entries]),
        "--every": every,
        "--faces": faces,
        # What a camera showed does not come again, so nothing goes on with it.
        "session of the camera": time.time() if entries[0].kind == "camera" else 0,
    }


def _digest(value: Any) -> str:
    return hashlib.blake2b(json.dumps(value).encode(), digest_size=16).hexdigest()


class _Progress:
    """The bar; a video counts as many images as it has frames, once it is open."""

    def __init__(self, bar: tqdm, every: int):
        self._bar, self._every, self._open = bar, every, -1

    def show(self, step: Step) -> None:
        """Moves the bar on, and tells which inputs cannot be used."""
        for image in step.looked:
            origin = image.origin
            if origin.moving and origin.position != self._open:
                self._open = origin.position
                left = origin.length - origin.frame
                self._bar.total += max(0, -(-left // self._every) - 1)
        for unusable in step.unusable:
            log.say(f"{unusable.origin.input}: {unusable.reason}")
        self._bar.update(len(step.looked) + len(step.unusable))


@contextlib.contextmanager
def _ended_by_ctrl_c(stream: Iterator[Frame | Unusable]) -> Iterator[Iterator[Frame | Unusable]]:
    """The stream of a camera, which Ctrl-C ends while all that came before is still worked on."""
    stop = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        yield itertools.takewhile(lambda _: not stop.is_set(), stream)
    finally:
        signal.signal(signal.SIGINT, before)
