"""Charts of a run as PNG images, in colours that the colour-blind tell apart.

Matplotlib is imported when the first chart is drawn; a report often has all of them already.
"""

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from au_jax.aus import ABSENT, EMOTIONS, MEANING, PRESENT, UNKNOWN
from au_jax.html.numbers import DASH
from au_jax.metrics import Reliability, mean_defined
from au_jax.report.curves import Curve
from au_jax.report.from_run import EpochScores, LabelCounts, LabelNoise
from au_jax.report.label_errors import LabelErrors
from au_jax.report.summaries import FIGURES, interval_of, of_au
from au_jax.report.track import Track
from au_jax.report.video_scores import VideoScores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

# Okabe and Ito, Color Universal Design (2008).
BLUE, VERMILLION, GREEN, ORANGE, PURPLE = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, VERMILLION)
_GREY, _PALE = "#666666", "#D8D8D8"
_SKY, _YELLOW = "#56B4E9", "#E3D000"  # a yellow darker than theirs, which white drowns
_OF_EMOTION = ("black", ORANGE, BLUE, _YELLOW, PURPLE, GREEN, VERMILLION, _SKY)
_DPI = 130
_STYLE: dict[Any, Any] = {
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _GREY,
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "grid.color": "#E6E6E6",
    "axes.axisbelow": True,
    "axes.titley": 1.0,  # to look for room for each title takes a third of the drawing
    "hatch.linewidth": 0.5,
    # A label of the config may hold a dollar sign.
    "text.parse_math": False,
}
# Of small panels. To set it of each of them once it is there takes a tenth of the drawing.
_SMALL: dict[Any, Any] = {"axes.grid": True, "xtick.labelsize": 7, "ytick.labelsize": 7}


def _styled(more: Mapping[Any, Any] | None = None) -> contextlib.AbstractContextManager[None]:
    import matplotlib

    return matplotlib.rc_context({**_STYLE, **(more or {})})


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_DPI)


def _patch(**look: Any) -> "Patch":
    from matplotlib.patches import Patch

    return Patch(**look)


def _whole_numbers(axes: "Axes", most: int) -> None:
    """Ticks at no more than `most` whole numbers along x."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(most, integer=True))


def _png(figure: "Figure", **options: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", **options)
    return buffer.getvalue()


def _cropped_png(figure: "Figure") -> bytes:
    """For labels of any length; takes twice as long, as it draws once more to find the edges."""
    return _png(figure, bbox_inches="tight", pad_inches=0.1)


def _title(au: str) -> str:
    return f"{au} {MEANING[au]}"


def _legend(figure: "Figure", handles: Sequence[Any], labels: Sequence[str], columns: int) -> None:
    """A legend above the panels, which reach up to the top of the figure."""
    figure.legend(
        handles,
        labels,
        frameon=False,
        handlelength=1.2,
        loc="lower left",
        bbox_to_anchor=(figure.axes[0].get_position().x0 - 0.01, 1.0),
        ncols=columns,
    )


def _fit(figure: "Figure", top: float, **options: float) -> None:
    """Leaves `top` inches above the panels, for their titles."""
    figure.subplots_adjust(top=1 - top / figure.get_figheight(), bottom=0, **options)


def _margins(figure: "Figure", top: float, **options: float) -> None:
    """Leaves room for tick labels and titles: `top` inches above the panels, fixed elsewhere."""
    width, height = figure.get_size_inches()
    figure.subplots_adjust(
        left=0.5 / width,
        right=1 - 0.3 / width,
        top=1 - top / height,
        bottom=0.42 / height,
        **options,
    )


def stage_scores(rows: Sequence[tuple[str, int, Mapping[str, Any]]], headline: str) -> bytes:
    """The headline figure of every selection, in the order of the table.

    Args:
      rows: (label, depth, {split: {"as_printed": SUMMARY | None, "honest": SUMMARY}}).
      headline: final_score or f1.
    """
    splits = list(dict.fromkeys(split for _, _, parts in rows for split in parts))
    scored = [part["honest"] for _, _, parts in rows for part in parts.values()]
    intervals = any(interval_of(honest, headline) for honest in scored)
    with _styled():
        figure = _figure(7.5, 0.05 + 0.36 * len(rows))
        axes = figure.subplots()
        step = 0.5 / max(1, len(splits))
        for number, split in enumerate(splits):
            colour = SERIES[number % len(SERIES)]
            shift = (number - (len(splits) - 1) / 2) * step
            for row, (_, _, parts) in enumerate(rows):
                if split not in parts:
                    continue
                honest, printed = parts[split]["honest"], parts[split]["as_printed"]
                if honest[headline] is None:
                    continue
                ends = interval_of(honest, headline)
                if ends:
                    axes.plot(ends, [row + shift] * 2, color=colour, lw=1.6, alpha=0.6)
                axes.plot(honest[headline], row + shift, "o", color=colour, ms=5)
                if printed and printed[headline] != honest[headline]:
                    axes.plot(printed[headline], row + shift, "D", mfc="white", mec=colour, ms=4.5)
        axes.set_yticks(
            range(len(rows)),
            ["      " * depth + ("↳ " if depth else "") + label for label, depth, _ in rows],
            ha="left",
        )
        longest = max(len(label) + 5 * depth for label, depth, _ in rows)
        axes.tick_params("y", length=0, pad=10 + 4.7 * longest)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel(FIGURES[headline])
        axes.grid(axis="x")
        marks = [
            axes.plot([], [], "o-"[: 1 + intervals], color=SERIES[n % len(SERIES)], ms=5, lw=1.6)[0]
            for n in range(len(splits))
        ]
        hollow = axes.plot([], [], "D", mfc="white", mec=_GREY, ms=4.5)[0]
        _fit(figure, 0.05)
        named = [f"{split}, 95 % interval" if intervals else split for split in splits]
        _legend(figure, [*marks, hollow], [*named, "as printed"], len(splits) + 1)
        return _cropped_png(figure)


def per_au(stages: Sequence[tuple[str, Mapping[str, Any]]], headline: str) -> bytes:
    """Bars of the headline figure of each AU, several stages side by side (Magdeburg, Fig. 2).

    Args:
      stages: (label, SUMMARY), at most as many as `SERIES`. headline: final_score or f1.
    """
    names = [au for au in MEANING if any(au in summary["au"] for _, summary in stages)]
    # In two columns, the first one opening with the mean of all AUs.
    entries: list[str | None] = [None, *names]
    half = -(-len(entries) // 2) if len(entries) > 9 else len(entries)
    columns = [entries[i : i + half] for i in range(0, len(entries), half)]
    thick = 0.8 / len(stages)
    with _styled():
        height = 0.05 + half * (0.145 * len(stages) + 0.12)
        figure = _figure(5.2 * len(columns), height)
        panels = figure.subplots(1, len(columns), squeeze=False)[0]
        _fit(figure, 0.05, wspace=0.62)
        for axes, column in zip(panels, columns, strict=True):
            for number, (_, summary) in enumerate(stages):
                at = np.arange(len(column)) + (number - (len(stages) - 1) / 2) * thick
                values = [_figure_of(summary, au, headline) for au in column]
                axes.barh(
                    at, [v or 0 for v in values], thick * 0.92, color=SERIES[number % len(SERIES)]
                )
                for y, value in zip(at, values, strict=True):
                    shown = DASH if value is None else f"{value:.3f}"
                    axes.text((value or 0) + 0.01, y, shown, va="center", fontsize=6.5)
            axes.set_yticks(
                range(len(column)),
                ["mean of the AUs" if au is None else _title(au) for au in column],
            )
            axes.tick_params("y", length=0)
            axes.set_ylim(half - 0.4, -0.6)
            axes.set_xlim(0, 1)
            axes.set_xlabel(FIGURES[headline].removeprefix("mean "))
            axes.grid(axis="x")
        bars = [_patch(color=SERIES[n % len(SERIES)]) for n in range(len(stages))]
        _legend(figure, bars, [label for label, _ in stages], 1)
        return _cropped_png(figure)


def _figure_of(summary: Mapping[str, Any], au: str | None, headline: str) -> float | None:
    """The headline figure of one AU, or of all for None; None where it is not defined."""
    if au is None:
        return summary[headline]
    figures = summary["au"].get(au)
    return of_au(figures, headline) if figures else None


def epochs(scores: EpochScores) -> bytes:
    """The final score of each AU over the epochs, the best epoch starred (TAL, Fig. 2)."""
    columns, panels = 5, 1 + len(scores.aus)
    rows = -(-panels // columns)
    with _styled(_SMALL):
        figure = _figure(11, 0.5 + 1.3 * rows)
        grid = figure.subplots(rows, columns, squeeze=False)
        _margins(figure, top=0.45, hspace=0.55, wspace=0.28)
        for axes in grid.flat[panels:]:
            axes.remove()
        defined = ~np.isnan(scores.mean)
        best = int(np.nanargmax(scores.mean)) if defined.any() else 0
        _epoch_panel(grid.flat[0], "mean of the AUs", scores.epochs, scores.mean, best)
        for a, au in enumerate(scores.aus):
            _epoch_panel(
                grid.flat[a + 1], _title(au), scores.epochs, scores.scores[:, a], scores.best[a]
            )
        lowest = max(0, panels - columns)  # the first panel that has none below it
        for axes in grid.flat[:lowest]:
            axes.set_xticks([])  # every tick takes time, and those below say the same
        for axes in grid.flat[lowest:panels]:
            axes.set_xlabel("epoch", labelpad=1)
        return _png(figure)


def _epoch_panel(
    axes: "Axes", title: str, numbers: Sequence[int], values: np.ndarray, best: int
) -> None:
    _whole_numbers(axes, 5)
    if np.isnan(values).all():
        axes.set_title(f"{title}\n{DASH} not defined: no positives", loc="left", fontsize=7.5)
        axes.set_yticks([])
        axes.set_xlim(numbers[0] - 0.5, numbers[-1] + 0.5)
        return
    axes.plot(numbers, values, color=BLUE, lw=1.2, marker="." if len(numbers) < 30 else None)
    axes.plot(numbers[best], values[best], "*", color="black", ms=9, zorder=3)
    axes.set_title(
        f"{title}\n★ {values[best]:.3f} at {numbers[best]}, last {values[-1]:.3f}",
        loc="left",
        fontsize=7.5,
    )
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    # A scale of its own for each AU, but never so fine that noise looks like a trend.
    margin = max(0.12 * (high - low), (0.05 - (high - low)) / 2)
    axes.set_ylim(low - margin, high + margin)
    axes.set_xlim(numbers[0] - 0.5, numbers[-1] + 0.5)
    axes.locator_params(axis="y", nbins=4)


def curves(lines: Sequence[Mapping[str, float]]) -> bytes:
    """Losses, validation score, learning rate, speed and what else one training stage logged.

    Each panel is over the epochs; one that would be empty is left out.

    Args:
      lines: of metrics.jsonl.
    """
    score = "/final_score"
    elsewhere = ("epoch", "step", "loss", "learning_rate", "images_per_second", "input_wait")
    logged = list(dict.fromkeys(name for line in lines for name in line))
    losses = [name for name in logged if name.startswith("loss_")]
    scores = [name for name in logged if name.endswith(score)]
    others = [
        name
        for name in logged
        if name not in (*elsewhere, *losses) and not name.endswith((score, "/f1", "/accuracy"))
    ]
    panels = {
        "training loss": {
            "loss": "whole" if losses else "",
            **{name: name.removeprefix("loss_").replace("_", " ") for name in losses},
        },
        "final score, all AUs": {name: name.removesuffix(score) for name in scores},
        "other figures": {name: name.replace("_", " ") for name in others},
        "learning rate": {"learning_rate": ""},
        "images per second": {"images_per_second": ""},
        "time waiting for input": {"input_wait": ""} if "input_wait" in logged else {},
    }
    panels = {title: names for title, names in panels.items() if names}
    numbers = [line["epoch"] for line in lines]
    with _styled(_SMALL):
        figure = _figure(11, 2.0)
        grid = figure.subplots(1, len(panels))
        _margins(figure, top=0.3, wspace=0.32)
        for axes, (title, names) in zip(grid, panels.items(), strict=True):
            for number, (name, label) in enumerate(names.items()):
                values = [line.get(name, np.nan) for line in lines]
                colour = SERIES[number % len(SERIES)]
                dot = "." if len(numbers) < 30 else None
                axes.plot(numbers, values, color=colour, lw=1.2, marker=dot, label=label)
            if len(names) > 1 or title == "other figures":
                axes.legend(frameon=False, fontsize=7)
            axes.set_title(title, loc="left", fontsize=8.5)
            axes.set_xlabel("epoch", labelpad=1)
            _whole_numbers(axes, 5)
        for axes, title in zip(grid, panels, strict=True):
            if title in ("learning rate", "images per second"):
                axes.set_ylim(bottom=0)
            elif title == "time waiting for input":
                axes.set_ylim(0, 1)
        return _png(figure)


def reliability(aus: Sequence[str], splits: Mapping[str, Reliability]) -> bytes:
    """The reliability diagram of each AU: share present over probability (Guo et al., Fig. 1).

    Args:
      aus: names [A].
      splits: {split: counts of the AUs}.
    """
    columns = 6
    rows = -(-len(aus) // columns)
    with _styled():
        figure = _figure(11, 0.5 + 1.75 * rows)
        grid = figure.subplots(rows, columns, squeeze=False)
        _margins(figure, top=0.55, hspace=0.45, wspace=0.3)
        for axes in grid.flat[len(aus) :]:
            axes.remove()
        for a, axes in enumerate(grid.flat[: len(aus)]):
            axes.plot([0, 1], [0, 1], color=_GREY, lw=0.7, ls="--")
            for number, counts in enumerate(splits.values()):
                some = counts.count[a] > 0
                line = counts.probability[a][some], counts.present[a][some]
                # A dot's area grows with the faces in its bin, so that few of them look like few.
                size = 3 + 40 * counts.count[a][some] / max(1, counts.count[a].sum())
                colour = SERIES[number % len(SERIES)]
                axes.plot(*line, color=colour, lw=0.8, alpha=0.6)
                axes.scatter(*line, s=size, color=colour)
            errors = ", ".join(_show_error(counts.ece[a]) for counts in splits.values())
            axes.set_title(f"{_title(aus[a])}\nECE {errors}", loc="left", fontsize=7)
            axes.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
            axes.tick_params(labelsize=6.5)
            axes.grid()
        marks = [_patch(color=SERIES[n % len(SERIES)]) for n in range(len(splits))]
        # Within the figure, which then needs not be drawn twice.
        figure.legend(marks, list(splits), frameon=False, loc="upper left", ncols=len(splits))
        return _png(figure)


def _show_error(error: float) -> str:
    return DASH if np.isnan(error) else f"{error:.3f}"


def curve(drawn: Curve, headline: str) -> bytes:
    """The headline figure over a setting, a line for each choice (EmoCo, Fig. 4), with intervals.

    Args:
      headline: final_score or f1.
    """
    from matplotlib.transforms import ScaledTranslation

    with _styled():
        figure = _figure(7.5, 3.4)
        axes = figure.subplots()
        _fit(figure, 0.05)
        if drawn.logarithmic:
            axes.set_xscale("log")
        marks = []
        for number, points in enumerate(drawn.lines.values()):
            # Side by side, as intervals at one place would hide each other.
            aside = 5 * (number - (len(drawn.lines) - 1) / 2) / 72
            place = axes.transData + ScaledTranslation(aside, 0, figure.dpi_scale_trans)
            colour = SERIES[number % len(SERIES)]
            style = "-" if number < len(SERIES) else "--"
            for point in points:
                if point.interval:
                    ends = [point.at, point.at], point.interval
                    axes.plot(*ends, "_-", color=colour, lw=1.2, ms=5, alpha=0.6, transform=place)
                    axes.update_datalim(np.transpose(ends))
            at = [point.at for point in points]
            values = np.array([point.value for point in points], np.float64)  # None becomes NaN
            look: dict[str, Any] = {"color": colour, "lw": 1.4, "ms": 5, "transform": place}
            marks += axes.plot(at, values, f"o{style}", **look)
            axes.update_datalim(np.column_stack((at, values)))
        axes.autoscale_view()  # lines that are moved aside are no part of its own limits
        if drawn.logarithmic:
            axes.set_xticks(drawn.places, [f"{place:g}" for place in drawn.places])
            axes.set_xticks([], minor=True)
        axes.set_xlabel(drawn.title)
        axes.set_ylabel(FIGURES[headline])
        axes.grid()
        _legend(figure, marks, list(drawn.lines), 1)
        return _cropped_png(figure)


def video(scores: VideoScores) -> bytes:
    """Raw and smoothed score of each AU over the frames, on the frames where it is present."""
    with _styled():
        figure = _figure(7.5, 1.5 * len(scores.aus))
        grid = figure.subplots(len(scores.aus), squeeze=False, sharex=True)[:, 0]
        _fit(figure, 0.25, hspace=0.35)
        for a, axes in enumerate(grid):
            labels = scores.labels[:, a]
            pale: dict[str, Any] = {"edgecolor": _PALE, "lw": 0}
            for label, look in ((PRESENT, {}), (UNKNOWN, {"hatch": "////", "facecolor": "white"})):
                spans = _spans(labels == label, scores.frames[0])
                axes.broken_barh(spans, (0, 1), **{"facecolor": _PALE, **pale, **look})
            dot = "." if len(scores.frames) < 200 else None
            axes.plot(scores.frames, scores.raw[:, a], color=ORANGE, lw=0.9, marker=dot, ms=2)
            axes.plot(scores.frames, scores.smoothed[:, a], color=BLUE, lw=1.5, marker=dot, ms=2)
            axes.axhline(scores.thresholds[a], color=_GREY, lw=0.7, ls="--")
            axes.set_title(_title(scores.aus[a]), loc="left", fontsize=8.5)
            axes.set_ylim(0, 1)
            axes.set_xlim(scores.frames[0] - 0.5, scores.frames[-1] + 0.5)
        grid[-1].set_xlabel("frame")
        raw, smoothed, threshold = grid[0].lines
        present = _patch(facecolor=_PALE)
        unknown = _patch(facecolor="white", edgecolor=_PALE, hatch="////")
        names = ("raw", "smoothed", "threshold", "present", "unknown or missing")
        _legend(figure, (raw, smoothed, threshold, present, unknown), names, 5)
        return _cropped_png(figure)


def tracks(
    times: np.ndarray, aus: Sequence[str], thresholds: np.ndarray, tracks: Sequence[Track]
) -> bytes:
    """The probability of each AU over the time of a video, a line for each face.

    Args:
      times: float64 [bins], seconds.
      aus: names [A].
      thresholds: float64 [A].
      tracks: of at most as many faces as `SERIES`.
    """
    columns = 2 if len(aus) > 1 else 1
    height = -(-len(aus) // columns)
    at = np.repeat(times, 2)
    dot = "." if len(times) < 100 else None
    with _styled():
        figure = _figure(5.5 * columns, 1.05 * height)
        grid = figure.subplots(height, columns, squeeze=False, sharex=True)
        _fit(figure, 0.25, hspace=0.5, wspace=0.12)
        for axes in grid.flat[len(aus) :]:
            axes.remove()
        for a, axes in enumerate(grid.flat[: len(aus)]):
            for number, track in enumerate(tracks):
                ends = np.stack([track.low[:, a], track.high[:, a]], 1).ravel()
                axes.plot(at, ends, color=SERIES[number], lw=0.9, marker=dot, ms=3)
            axes.axhline(thresholds[a], color=_GREY, lw=0.7, ls="--")
            axes.set_title(_title(aus[a]), loc="left", fontsize=8)
            axes.set(ylim=(0, 1), yticks=(0, 0.5, 1))
            axes.tick_params(labelsize=7)
        for axes in grid.flat[max(0, len(aus) - columns) : len(aus)]:
            axes.tick_params("x", labelbottom=True)
            axes.set_xlabel("seconds", labelpad=1)
        lines = list(grid.flat[0].lines)
        names = [*(f"face {track.face}" for track in tracks), "threshold"]
        _legend(figure, lines, names, len(names))
        return _cropped_png(figure)


def _spans(where: np.ndarray, first: int) -> list[tuple[float, int]]:
    """The (left end, width) of each run of frames in `where`, bool [F] from the frame `first`."""
    ends = np.flatnonzero(np.diff(np.concatenate([[False], where, [False]])))
    return [(first + start - 0.5, end - start) for start, end in ends.reshape(-1, 2).tolist()]


def feature_map(arrays: Mapping[str, np.ndarray], au: str) -> bytes:
    """A map of features, coloured by emotion and by an AU within each emotion (EmoCo, Fig. 5).

    Args:
      arrays: points float32 [n, 2], emotion int8 [n], present int8 [n], see `StageFolder.map`.
    """
    points, emotion, present = arrays["points"], arrays["emotion"], arrays["present"]
    colours = np.array([*_OF_EMOTION, _PALE])[emotion]  # unknown is -1, the last one
    dot: dict[str, Any] = {"s": 7, "lw": 0}
    with _styled():
        figure = _figure(11, 4.6)
        left, right = figure.subplots(1, 2)
        _fit(figure, 0.25, wspace=0.06)
        # Those that are not known lie below the others.
        order = np.argsort(emotion >= 0, kind="stable")
        left.scatter(*points[order].T, c=colours[order], alpha=0.8, **dot)
        for label, alpha in ((UNKNOWN, 1.0), (ABSENT, 0.22), (PRESENT, 1.0)):
            rows = present == label
            shown = _PALE if label == UNKNOWN else colours[rows]
            right.scatter(*points[rows].T, c=shown, alpha=alpha, **dot)
        left.set_title("emotion", loc="left")
        right.set_title(f"{_title(au)}: full colour present, faint absent", loc="left")
        for axes in (left, right):
            axes.set(xticks=[], yticks=[])
        codes = [*range(len(EMOTIONS)), UNKNOWN]
        named = [code for code in codes if (emotion == code).any()]
        marks = [
            left.plot([], [], "o", ms=5, color=(*_OF_EMOTION, _PALE)[code])[0] for code in named
        ]
        names = [(*EMOTIONS, "unknown")[code] for code in named]
        _legend(figure, marks, names, len(named))
        return _cropped_png(figure)


def label_noise(noise: LabelNoise, lines: Sequence[Mapping[str, float]]) -> bytes:
    """How right noisy labels are over the epochs, and of each AU before and after refinement.

    Args:
      lines: of metrics.jsonl, with what small-loss selection kept and how much of it is right.
    """
    logged = {
        "labels_right": ("labels learned from", GREEN),
        "selected_right": ("of them selected", PURPLE),
    }
    with _styled():
        figure = _figure(11, 3.4)
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.4))
        _margins(figure, top=0.3, wspace=0.35)
        left.axhline(100 * mean_defined(noise.given), color=_GREY, ls="--", label="given")
        left.plot(
            noise.epochs,
            100 * mean_defined(noise.refined),
            ".-",
            color=BLUE,
            label="refined (1[p > 0.5])",
        )
        numbers = [line["epoch"] for line in lines]
        for name, (label, colour) in logged.items():
            if any(name in line for line in lines):
                values = [100 * line.get(name, np.nan) for line in lines]
                left.plot(numbers, values, ".-", color=colour, label=label)
        left.set_title("right labels, %, all AUs", loc="left", fontsize=8.5)
        left.set_xlabel("epoch", labelpad=1)
        _whole_numbers(left, 5)
        left.legend(frameon=False, fontsize=7)
        left.grid()
        at = np.arange(len(noise.aus))
        right.bar(at - 0.2, 100 * noise.given, 0.4, color=_PALE, label="given")
        right.bar(at + 0.2, 100 * noise.refined[-1], 0.4, color=BLUE, label="refined, last epoch")
        right.set_xticks(at, noise.aus, rotation=45)
        right.set_ylim(50, 100)
        right.set_title("right labels of each AU, %", loc="left", fontsize=8.5)
        right.legend(frameon=False, fontsize=7, ncols=2)
        return _cropped_png(figure)


def label_errors(errors: LabelErrors) -> bytes:
    """How often labels are missed and invented, which AUs are confused, and what conditions do."""
    count = len(errors.aus)
    with _styled():
        figure = _figure(12, 0.9 + 0.22 * count)
        widths = (8, len(errors.others), len(errors.conditions))
        bars, confused, under = figure.subplots(1, 3, sharey=True, width_ratios=widths)
        figure.subplots_adjust(wspace=0.05)
        at = np.arange(count)
        bars.barh(at - 0.2, 100 * errors.missed, 0.38, color=BLUE, label="missed, of present")
        bars.barh(at + 0.2, 100 * errors.invented, 0.38, color=ORANGE, label="invented, of absent")
        bars.set_yticks(at, [_title(au) for au in errors.aus])
        bars.set_title("wrong labels, %", loc="left", fontsize=8.5)
        bars.legend(frameon=False, fontsize=7, loc="upper center", bbox_to_anchor=(0.4, -0.08))
        points = 100 * (errors.wrong_under - errors.wrong_else).T
        _heat(confused, 100 * errors.confused, errors.others, "invented more where, points")
        _heat(under, points, errors.conditions, "wrong more where, points")
        return _cropped_png(figure)


def _heat(axes: "Axes", values: np.ndarray, columns: Sequence[str], title: str) -> None:
    """A heat map around 0 with its whole numbers in it."""
    most = max(1.0, float(np.nanmax(np.abs(values), initial=0)))
    axes.imshow(values, cmap="PuOr_r", vmin=-most, vmax=most, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value) and abs(value) >= 1:
            colour = "white" if abs(value) > 0.6 * most else "black"
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=6, c=colour)
    axes.set_xticks(range(len(columns)), columns, rotation=90)
    axes.tick_params(length=0)
    axes.set_title(title, loc="left", fontsize=8.5)


def labels(sets: Sequence[LabelCounts]) -> bytes:
    """Shares of present, absent and unknown labels of each AU, one panel for each set."""
    names = [au for au in MEANING if any(au in counts.of for counts in sets)]
    rows = -(-len(sets) // 5)
    columns = -(-len(sets) // rows)
    with _styled():
        lines = 2 + max(counts.title.count("\n") for counts in sets)
        panel, gap = 0.19 * (len(names) + 0.2), 0.3 + 0.14 * lines
        figure = _figure(2.3 * columns, rows * (panel + gap))
        grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
        _fit(figure, gap, wspace=0.12, hspace=(gap + 0.3) / panel)
        for axes in grid.flat[len(sets) :]:
            axes.remove()
        for axes, counts in zip(grid.flat, sets, strict=False):
            for row, au in enumerate(names):
                if au in counts.of:
                    _label_bar(axes, row, counts.of[au], counts.rows)
            axes.set_title(f"{counts.title}\n{counts.rows} faces", loc="left", fontsize=8)
            axes.set_xlim(0, 100)
            axes.set_xticks([0, 25, 50, 75], ["0", "25", "50", "75 %"])
            axes.set_yticks(range(len(names)), [_title(au) for au in names])
            axes.tick_params("y", length=0)
            axes.set_ylim(len(names) - 0.4, -0.6)
        patches = [
            _patch(fc=BLUE),
            _patch(fc=_PALE),
            _patch(fc="white", ec=_GREY, hatch="/////", lw=0.5),
        ]
        _legend(figure, patches, ["present (number printed)", "absent", "unknown"], 3)
        return _cropped_png(figure)


def _label_bar(axes: "Axes", row: int, counts: tuple[int, int, int], total: int) -> None:
    present, absent, unknown = (100 * c / max(1, total) for c in counts)
    axes.barh(row, present, 0.76, color=BLUE)
    axes.barh(row, absent, 0.76, left=present, color=_PALE)
    if unknown:
        axes.barh(
            row, unknown, 0.76, left=present + absent, fc="white", ec=_GREY, hatch="/////", lw=0.5
        )
    if counts[0] + counts[1]:
        inside = present > 75
        axes.text(
            present + (-1.5 if inside else 1.5),
            row,
            str(counts[0]),
            va="center",
            ha="right" if inside else "left",
            color="white" if inside else "black",
            fontsize=6.5,
        )


def two_losses(ours: Sequence[float], theirs: Sequence[float], parted: int | None) -> bytes:
    """The losses of one training in JAX and in PyTorch over its steps, and their difference.

    Args:
      ours, theirs: at each step, of JAX and of PyTorch.
      parted: the first step, from 1, whose losses differ by more than 1e-3 of them, if any does.
    """
    steps = np.arange(1, len(ours) + 1)
    relative = np.abs(np.subtract(ours, theirs)) / np.maximum(np.abs(theirs), 1e-12)
    with _styled():
        figure = _figure(11, 2.4)
        losses, difference = figure.subplots(1, 2)
        _margins(figure, top=0.3, wspace=0.2)
        losses.plot(steps, ours, color=BLUE, lw=2.4, alpha=0.6, label="JAX")
        losses.plot(steps, theirs, color=VERMILLION, lw=1.2, ls="--", label="PyTorch")
        losses.legend(frameon=False)
        losses.set_title("training loss", loc="left", fontsize=8.5)
        difference.semilogy(steps, np.maximum(relative, 1e-9), color=_GREY, lw=1.2, marker=".")
        difference.axhline(1e-3, color=ORANGE, lw=1)
        # Powers of ten are set as formulas otherwise, which the style leaves as text.
        difference.yaxis.set_major_formatter(lambda value, _: f"{value:.0e}")
        difference.set_title("relative difference of the losses", loc="left", fontsize=8.5)
        for axes in (losses, difference):
            if parted is not None:
                axes.axvline(parted, color=ORANGE, lw=1)
            axes.set_xlabel("step", labelpad=1)
            _whole_numbers(axes, 8)
            axes.grid(axis="y")
        return _png(figure)
