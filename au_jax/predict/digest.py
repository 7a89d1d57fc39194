"""Counts, curves and stills of a table of predictions, gathered in two passes, a row at a time.

What is kept of a video does not grow with its length, but for the number of frames of each track.
"""

import collections
import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from au_jax.predict import rows
from au_jax.predict.rows import Cells
from au_jax.report.predictions import Totals
from au_jax.report.track import Track

# What is shown at most: videos, and of each of them tracks, frames evenly spread over it, frames in
# which an AU is likeliest, and points of a curve.
_VIDEOS, _TRACKS, _SPREAD, _PEAKS, _POINTS = 12, 4, 6, 6, 1500
_PHOTOGRAPHS = 60


class Overview:
    """The counts over a whole table, and of each of its first videos: the first pass.

    Attributes:
      moving: the names of those inputs that are videos.
      totals: over all faces.
      photographs: their number.
      videos: {name as the table has it: its counts}.
      other_videos: how many more there are.
    """

    def __init__(self, table: Path, aus: Sequence[str], moving: Collection[str]):
        """Reads a table.

        Args:
          table: in CSV, with columns for `aus`.
          moving: the names of those inputs that are videos.
        """
        self.moving = moving
        self.totals = Totals(aus)
        self.photographs = 0
        self.videos: dict[str, VideoCounts] = {}
        others: set[str] = set()
        for image in rows.images(table):
            name = image[0]["input"]
            video = None
            if name not in moving:
                self.photographs += 1
            elif name in self.videos or len(self.videos) < _VIDEOS:
                video = self.videos.setdefault(name, VideoCounts(Totals(aus)))
            else:
                others.add(name)
            faces = [row for row in image if row["success"] == "1"]
            for row in faces:
                probabilities, present = _said(row, aus)
                self.totals.add(probabilities, present)
                if video:
                    video.add(row["face"], probabilities, present)
            if video:
                video.frames += 1
                video.faceless += not faces
        self.other_videos = len(others)


@dataclasses.dataclass
class VideoCounts:
    """Counts of one video.

    Attributes:
      totals: over its faces.
      frames: that were looked at. faceless: those of them without a face.
      tracks: {number of a face: frames that it is seen in}.
      peaks: {AU: (its greatest probability, the place among the frames looked at)} where present.
    """

    totals: Totals
    frames: int = 0
    faceless: int = 0
    tracks: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    peaks: dict[str, tuple[float, int]] = dataclasses.field(default_factory=dict)

    def add(self, face: str, probabilities: np.ndarray, present: np.ndarray) -> None:
        """Adds a face of the frame behind those that are counted."""
        self.totals.add(probabilities, present)
        self.tracks[face] += 1
        for a in np.flatnonzero(present).tolist():
            au, value = self.totals.aus[a], float(probabilities[a])
            if value > self.peaks.get(au, (-1.0, 0))[0]:
                self.peaks[au] = value, self.frames

    @property
    def width(self) -> int:
        """Frames in a bin of its curves; a bin of several frames has two points."""
        return 1 if self.frames <= _POINTS else -(-2 * self.frames // _POINTS)

    @property
    def remarks(self) -> dict[int, str]:
        """{place of a frame that is shown: a remark on it}, in order."""
        by_place: dict[int, list[str]] = {}
        for au, (_, place) in sorted(self.peaks.items(), key=lambda peak: -peak[1][0]):
            if place in by_place or len(by_place) < _PEAKS:
                by_place.setdefault(place, []).append(au)
        remarks = {place: f"Highest here: {', '.join(aus)}" for place, aus in by_place.items()}
        places = {*remarks, *spread(self.frames, _SPREAD)}
        return {place: remarks.get(place, "") for place in sorted(places)}


class Details:
    """The curves of the videos of an overview, and the rows of the images shown: the second pass.

    Attributes:
      times: {video: float64 [bins]}, seconds at which the bins of its curves begin.
      tracks: {video: its tracks of most frames, by their numbers}.
      frames: {video: {number of a frame: (its rows, a remark)}}.
      photographs: {name: its rows}.
    """

    def __init__(self, table: Path, overview: Overview):
        self._aus = aus = overview.totals.aus
        self.times: dict[str, np.ndarray] = {}
        self.tracks: dict[str, list[Track]] = {}
        self.frames: dict[str, dict[int, tuple[Sequence[Cells], str]]] = {}
        self.photographs: dict[str, Sequence[Cells]] = {}
        remarks: dict[str, Mapping[int, str]] = {}
        place = dict.fromkeys(overview.videos, 0)
        for name, counts in overview.videos.items():
            bins = -(-counts.frames // counts.width)
            self.times[name], self.frames[name] = np.full(bins, np.nan), {}
            longest = sorted(counts.tracks.most_common(_TRACKS), key=lambda track: int(track[0]))
            self.tracks[name] = [
                Track(face, frames, *(np.full((bins, len(aus)), np.nan) for _ in range(2)))
                for face, frames in longest
            ]
            remarks[name] = counts.remarks
        wanted, photograph = set(spread(overview.photographs, _PHOTOGRAPHS)), 0
        for image in rows.images(table):
            name = image[0]["input"]
            if name in overview.videos:
                at = place[name]
                self._add(name, at // overview.videos[name].width, image)
                if at in remarks[name]:
                    self.frames[name][int(image[0]["frame"])] = image, remarks[name][at]
                place[name] += 1
            elif name not in overview.moving:
                if photograph in wanted:
                    self.photographs[name] = image
                photograph += 1

    def _add(self, video: str, bin_: int, image: Sequence[Cells]) -> None:
        """Adds the faces of a frame to the bin of the curves of a video."""
        if np.isnan(self.times[video][bin_]):
            self.times[video][bin_] = float(image[0]["timestamp"])
        by_face = {row["face"]: row for row in image}
        for track in self.tracks[video]:
            if track.face in by_face:
                values, _ = _said(by_face[track.face], self._aus)
                track.low[bin_] = np.fmin(track.low[bin_], values)
                track.high[bin_] = np.fmax(track.high[bin_], values)


def _said(row: Cells, aus: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The probabilities float64 [A] and decisions bool [A] of a face."""
    probabilities = np.array([float(row[au]) for au in aus])
    return probabilities, np.array([row[f"{au}_c"] == "1" for au in aus])


def spread(count: int, most: int) -> list[int]:
    """Places, at most `most`, evenly spread over `count`."""
    if count <= most:
        return list(range(count))
    return [(2 * place + 1) * count // (2 * most) for place in range(most)]
