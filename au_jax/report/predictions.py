"""The page of `--mode=predict --report`: what a table of faces and AUs says, in one HTML file."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from au_jax import html
from au_jax.aus import MEANING
from au_jax.html.numbers import DASH
from au_jax.report import charts
from au_jax.report.track import Track

_LISTED = 100  # rows of the table of a curve, at most


@dataclasses.dataclass
class Totals:
    """Sums over faces, to which faces are added.

    Attributes:
      aus: names [A].
      faces: their number.
      present: int64 [A], faces in which each AU is present.
      probability: float64 [A], the sum of the probabilities.
    """

    aus: Sequence[str]
    faces: int = 0
    present: np.ndarray = dataclasses.field(init=False)
    probability: np.ndarray = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.present = np.zeros(len(self.aus), np.int64)
        self.probability = np.zeros(len(self.aus))

    def add(self, probabilities: np.ndarray, present: np.ndarray) -> None:
        """Adds a face: float64 [A] and bool [A]."""
        self.faces += 1
        self.present += present
        self.probability += probabilities

    def rows(self) -> list[tuple[str, ...]]:
        """A row of the page's table for each AU."""
        faces = max(1, self.faces)
        return [
            (
                f"{au} {MEANING[au]}",
                f"{self.present[a]}",
                f"{100 * self.present[a] / faces:.1f} %" if self.faces else DASH,
                f"{self.probability[a] / faces:.3f}" if self.faces else DASH,
            )
            for a, au in enumerate(self.aus)
        ]


@dataclasses.dataclass(frozen=True)
class VideoPage:
    """What the page shows of one video.

    Attributes:
      name: its path.
      frames: that were looked at. faceless: those of them without a face.
      totals: over its faces.
      width: frames in a bin.
      times: float64 [bins], seconds at which the bins begin.
      tracks: those with the most frames, by their numbers.
      other_tracks: how many more there are.
      stills: frames of it.
    """

    name: str
    frames: int
    faceless: int
    totals: Totals
    width: int
    times: np.ndarray
    tracks: Sequence[Track]
    other_tracks: int
    stills: Sequence[html.Figure]


def render(
    about: Mapping[str, Any],
    totals: Totals,
    thresholds: np.ndarray,
    videos: Sequence[VideoPage],
    other_videos: int,
    photographs: Sequence[html.Figure],
    other_photographs: int,
) -> str:
    """The text of the page.

    Args:
      about: "run", "selection" ("" for an exported model) and "table", names; "tally", the counts
        in words; "unusable", pairs of an input and the reason; "baseline", whether the table has
        columns of that kind.
      totals: over all faces.
      thresholds: float64 [A], of the AUs of `totals`.
      videos: those that are shown. other_videos: how many are not.
      photographs: those that are shown. other_photographs: how many are not.
    """
    rows = [
        (*row, f"{threshold:.3f}") for row, threshold in zip(totals.rows(), thresholds, strict=True)
    ]
    return html.render(
        "predictions.html",
        title=f"{about['table']}: action units",
        about=about,
        rows=rows,
        videos=[_video(video, thresholds) for video in videos],
        other_videos=other_videos,
        photographs=photographs,
        other_photographs=other_photographs,
    )


def _video(video: VideoPage, thresholds: np.ndarray) -> dict[str, Any]:
    aus = video.totals.aus
    thinned = ""
    if video.width > 1:
        thinned = (
            f" For each {video.width} frames in a row the least and the greatest probability are "
            "drawn, and shorter gaps do not show."
        )
    chart = html.Figure(
        charts.tracks(video.times, aus, thresholds, video.tracks),
        f"probability of each AU over the time of {video.name}, a line for each face",
        "Probability of each AU over the time in seconds; dashed: the threshold from which on it "
        f"counts as present. A line is broken where the face was not found.{thinned}",
    )
    return {
        "video": video,
        "chart": chart if video.tracks else None,
        "tables": [
            (f"Face {track.face}: {track.frames} frames", *_table(track, video.times, aus))
            for track in video.tracks
        ],
    }


def _table(
    track: Track, times: np.ndarray, aus: Sequence[str]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The head and the rows of a track's curves, several bins in a row where there are many."""
    step = -(-len(times) // _LISTED)
    rows = []
    for start in range(0, len(times), step):
        part = slice(start, start + step)
        seen = ~np.isnan(track.low[part, 0])
        if seen.any():
            low, high = track.low[part][seen].min(0), track.high[part][seen].max(0)
            cells = (_range(*ends) for ends in zip(low, high, strict=True))
            rows.append((f"{times[start]:.2f} s", *cells))
    return ("from", *aus), rows


def _range(low: float, high: float) -> str:
    first, last = f"{low:.2f}", f"{high:.2f}"
    return first if first == last else f"{first}{DASH}{last}"
