"""The project's cover image: a drawn face, the probabilities of its AUs, and a run's scores.

python -m au_jax.report.cover RUN OUTPUT.png
"""

import dataclasses
import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from au_jax import aus, metrics
from au_jax.data.synthetic_faces.drawing import render
from au_jax.data.synthetic_faces.population import ImageSpec, sample_spec
from au_jax.errors import UserError
from au_jax.files import atomic_files, file_forms
from au_jax.report.charts import BLUE, ORANGE
from au_jax.report.summaries import FIGURES, interval_of
from au_jax.run_dir import RunFolder

_INCHES, _DPI = (12.0, 4.2), 160
_SIDE = 592  # pixels of the drawn face
_SEVERAL = 4  # AUs that the face shows at least, where there is such a face
_TEXT, _SOFT, _PALE = "#24292f", "#6e7781", "#d0d7de"
_STYLE: dict[Any, Any] = {"font.size": 8.5, "text.color": _TEXT, "text.parse_math": False}


def draw(run: RunFolder, output: Path) -> None:
    """Draws the last selection of a finished run on `synthetic_faces` as a PNG of 1920 x 672 px.

    Its scores stand beside those of the other selections that decide on as many AUs. The face is
    the one of `best_told`: an example of what a run says, not of how well it does.

    Raises:
      UserError: `run` has no report, or no selection scored on drawn faces of the split "test".
    """
    results = atomic_files.read_json(run.report / "results.json", file_forms.Results)
    scored = {
        name: stage["split"]["test"]["honest"]
        for name, stage in results["stages"].items()
        if stage["outcome"] == "selection" and "test" in stage["split"]
    }
    if results["data"] != "synthetic_faces" or not scored:
        raise UserError(
            f"{run.path} has no selection scored on drawn faces of the split test; name the folder "
            "of a finished run on synthetic_faces"
        )
    last = list(scored)[-1]
    rows = {
        results["config"][f"stages.{name}.label"]: summary
        for name, summary in scored.items()
        if len(summary["au"]) == len(scored[last]["au"])
    }
    decided = run.stage(last).read_decided("test")
    seed = results["config"]["data.synthetic.seed"]
    faces = [_sampled(key, seed) for key in decided["keys"].tolist()]
    shown = best_told(decided, np.array([face.occluder == "none" for face in faces]))
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=_INCHES, dpi=_DPI, facecolor="white")
        _face(figure, faces[shown])
        _bars(figure, decided, shown)
        _scores(figure, rows, results["config"]["headline"])
        _save(figure, output)


def best_told(decided: Mapping[str, np.ndarray], uncovered: np.ndarray) -> int:
    """The uncovered face whose AUs are told best (F1), of those that look ahead and show several.

    Args:
      decided: keys str [N], aus str [A], labels int8 [N, A], probabilities [N, A] and thresholds
        [A] or [N, A] (`StageFolder.decided`).
      uncovered: bool [N], whether nothing hides a part of the face.
    """
    said = metrics.decide(decided["probabilities"], decided["thresholds"])
    present = decided["labels"] == 1
    count = present.sum(1)
    f1 = 2 * (said & present).sum(1) / np.maximum(said.sum(1) + count, 1)
    turned = present[:, np.isin(decided["aus"], aus.group(decided["aus"].tolist(), "pose"))].any(1)
    return int(np.argmax(f1 + (count >= _SEVERAL) + uncovered - turned))


def _sampled(key: str, seed: int) -> ImageSpec:
    """What the record `synthetic_faces/SPLIT/NUMBER/...` shows."""
    _, split, number, *_ = key.split("/")
    return sample_spec(seed, split, int(number))


def _face(figure: Figure, face: ImageSpec) -> None:
    """The face drawn anew: larger than its record, and sharp."""
    sharp = dataclasses.replace(face, blur=0.0, noise=0.0, jpeg_quality=95)
    axes = figure.add_axes((0.018, 0.06, 0.308, 0.88))
    axes.imshow(Image.open(io.BytesIO(render(sharp, _SIDE)["closeup"])))
    axes.set_axis_off()


def _bars(figure: Figure, decided: Mapping[str, np.ndarray], row: int) -> None:
    """A bar for each AU, in colour from its threshold (a tick) upwards; a dot where it is true."""
    axes = figure.add_axes((0.487, 0.06, 0.175, 0.755))
    names, probabilities = decided["aus"].tolist(), decided["probabilities"][row]
    thresholds = np.broadcast_to(decided["thresholds"], decided["labels"].shape)[row]
    present, true = metrics.decide(probabilities, thresholds), decided["labels"][row] == 1
    rows = np.arange(len(names))
    axes.barh(rows, np.ones(len(names)), 0.66, color="#f0f2f4")
    axes.barh(rows, probabilities, 0.66, color=np.where(present, BLUE, "#b6bec7"))
    axes.vlines(thresholds, rows - 0.42, rows + 0.42, color=_TEXT, lw=1)
    axes.plot(np.full(true.sum(), 1.05), rows[true], "o", color=_TEXT, ms=4, clip_on=False)
    for y, (au, is_present) in enumerate(zip(names, present, strict=True)):
        style: dict[str, Any] = {"fontsize": 7.4, "va": "center", "color": _SOFT}
        if is_present:
            style |= {"color": _TEXT, "weight": "bold"}
        axes.text(-0.78, y, au, **style)
        axes.text(-0.6, y, aus.MEANING[au], **style)
    axes.set(xlim=(0, 1), ylim=(len(names) - 0.4, -0.6))
    axes.set_axis_off()
    marks = "blue: present, from its threshold (|) upwards; dot: drawn into the face"
    _title(axes, -0.78, "Probability of each action unit", marks)


def _scores(figure: Figure, rows: Mapping[str, Mapping[str, Any]], headline: str) -> None:
    """The headline figure of each {label: SUMMARY} of `rows`; the last one stands out."""
    axes = figure.add_axes((0.715, 0.1, 0.263, 0.715))
    place: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "fontsize": 7.4}
    for row, (label, summary) in enumerate(rows.items()):
        colour = ORANGE if row == len(rows) - 1 else BLUE
        ends = interval_of(summary, headline)
        if ends:
            axes.plot(ends, [row, row], color=colour, lw=2.2, alpha=0.45)
        axes.plot(summary[headline], row, "o", color=colour, ms=6)
        axes.text(0, row - 0.3, label, **place)
        axes.text(1, row - 0.3, f"{summary[headline]:.3f}", ha="right", **place)
    axes.set(ylim=(len(rows) - 0.5, -0.75), yticks=[])
    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.spines["bottom"].set_color(_PALE)
    axes.grid(axis="x", color="#eaeef2")
    axes.tick_params(labelsize=7.4, colors=_SOFT, length=0)
    title = FIGURES[headline][0].upper() + FIGURES[headline][1:]
    _title(axes, 0, f"{title} on unseen persons", "rows of the report, with 95 % intervals")


def _title(axes: Axes, left: float, title: str, below: str) -> None:
    """Two lines above the panel, from `left` in shares of its width."""
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate(title, (left, 1), (0, 22), fontsize=10.5, weight="bold", **place)
    axes.annotate(below, (left, 1), (0, 9), fontsize=7.6, color=_SOFT, **place)


def _save(figure: Figure, output: Path) -> None:
    """Writes a PNG of 256 colours, a third as large as one of all colours."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    image = Image.open(buffer).convert("RGB")
    # MAXCOVERAGE keeps colours that few pixels have; k-means then moves it to the many.
    image = image.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=4, dither=Image.Dither.NONE)
    with atomic_files.replacing(output) as temporary:
        image.save(temporary, "png", optimize=True)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        draw(RunFolder(Path(sys.argv[1])), Path(sys.argv[2]))
    except UserError as error:
        sys.exit(str(error))
