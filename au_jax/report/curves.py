"""Curves of a run: the headline figure of selections over a setting in which they differ."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from au_jax.report import over_seeds
from au_jax.report.summaries import FIGURES, interval_of

_WIDE = 20  # the factor between the ends of an x axis above which it is logarithmic


@dataclasses.dataclass(frozen=True)
class Point:
    """One selection of a curve.

    Attributes:
      at: its place on the x axis.
      value: the headline figure; None where it is not defined.
      interval: the ends of its 95 % interval, where it has one.
    """

    at: float
    value: float | None
    interval: Sequence[float] | None


@dataclasses.dataclass(frozen=True)
class Curve:
    """The lines of one chart.

    Attributes:
      title: what the x axis says.
      lines: {name: its points from left to right}.
    """

    title: str
    lines: Mapping[str, Sequence[Point]]

    @property
    def places(self) -> list[float]:
        """The places that any point stands at, ascending."""
        return sorted({point.at for points in self.lines.values() for point in points})

    @property
    def logarithmic(self) -> bool:
        """Whether the places are above 0 and span more than a factor of 20."""
        first, last = self.places[0], self.places[-1]
        return first > 0 and last > _WIDE * first


def curves(results: Mapping[str, Any], split: str) -> list[Curve]:
    """The curves whose points have an honest figure on `split`, as the config names them.

    Of a recipe that ran from several seeds, a point is the mean over the seeds, with their
    t-interval; else its interval is that over subjects.

    Args:
      results: the contents of results.json.
    """
    config, headline = results["config"], results["config"]["headline"]
    charts: dict[str, dict[str, list[Point]]] = {}
    for name, stage in results["stages"].items():
        title = config.get(f"stages.{name}.curve")
        if not title or split not in stage["split"]:
            continue
        line = config.get(f"stages.{name}.line") or FIGURES[headline]
        honest = stage["split"][split]["honest"]
        value, interval = honest[headline], interval_of(honest, headline)
        if name in results["seeds"]:
            over = results["seeds"][name][split][headline]
            value, interval = over["mean"], over_seeds.interval(over)
        point = Point(config.get(f"stages.{name}.at", 0.0), value, interval)
        charts.setdefault(title, {}).setdefault(line, []).append(point)
    return [
        Curve(title, {line: sorted(of, key=lambda point: point.at) for line, of in lines.items()})
        for title, lines in charts.items()
    ]
