"""A person's own neutral level of each AU in a video, and how far every frame is above it.

The level is a low quantile of the logits over all frames of a track, after OpenFace, which takes
the lowest tenth of a person's predictions for those of a neutral face and subtracts their upper end
(Baltrusaitis et al., "OpenFace 2.0", FG 2018; its FaceAnalyser.cpp, `CorrectOnlineAUs`: 10 %, from
10 frames on; in recorded videos the share is learned for each AU). A person who shows an AU nearly
all the time has a level that is too high.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scipy.special

from au_jax.predict import rows
from au_jax.predict.rows import Cells

SUFFIX = "_above_baseline"
QUANTILE = 0.1
LEAST = 10  # frames of a track that has a level
# The least probability that the table's six decimals tell from 0.
_EDGE = 1e-6
_HIGHEST = -float(scipy.special.logit(_EDGE))
_WIDTH = 0.01  # of the histogram's bins, logits: what a level is exact to
_BINS = int(2 * _HIGHEST / _WIDTH) + 1

Track = tuple[str, str]  # an input and the number of a face in it


def add_columns(table: Path, output: Path) -> None:
    """Writes a table's rows with a column `AU01_above_baseline` for each AU behind the others.

    A cell is the logit of the AU's probability minus the level of the AU in the track. It is empty
    for a track of fewer than 10 frames, in a photograph, and where there is no face. Memory does
    not grow with the length of a track.

    Args:
      table: in CSV, with the columns of `rows`.
      output: a new file.
    """
    levels = neutral_levels(rows.images(table))
    with (
        open(table, encoding="utf-8", newline="") as source,
        open(output, "w", encoding="utf-8", newline="") as target,
    ):
        reader = csv.DictReader(source)
        names = list(reader.fieldnames or ())
        aus = rows.aus_of(names)
        writer = csv.writer(target, lineterminator="\n")
        writer.writerow([*names, *(f"{au}{SUFFIX}" for au in aus)])
        for row in reader:
            level = levels.get((row["input"], row["face"])) if row["success"] == "1" else None
            above = [""] * len(aus)
            if level is not None:
                above = [f"{value:.4f}" for value in _logits(row, aus) - level]
            writer.writerow([*row.values(), *above])


def neutral_levels(images: Iterator[list[Cells]]) -> dict[Track, np.ndarray]:
    """The logits float64 [A] that a tenth of the frames of each long enough track are below.

    Args:
      images: the rows of each image, in the order of the table.
    """
    levels: dict[Track, np.ndarray] = {}
    open_tracks: dict[Track, np.ndarray] = {}  # histograms int32 [A, bins]

    def close(track: Track) -> None:
        histogram = open_tracks.pop(track)
        frames = histogram[0].sum()
        if frames >= LEAST:
            below = np.cumsum(histogram, 1) > int(frames * QUANTILE)
            levels[track] = (below.argmax(1) + 0.5) * _WIDTH - _HIGHEST

    for image in images:
        # A photograph has no time.
        faces = [row for row in image if row["success"] == "1" and row["timestamp"]]
        seen = {(row["input"], row["face"]) for row in faces}
        for track in [track for track in open_tracks if track not in seen]:
            close(track)  # a number that was missing once does not come back
        for row in faces:
            aus = rows.aus_of(row)
            track = row["input"], row["face"]
            if track not in open_tracks:
                open_tracks[track] = np.zeros((len(aus), _BINS), np.int32)
            places = ((_logits(row, aus) + _HIGHEST) / _WIDTH).astype(np.int64)
            open_tracks[track][np.arange(len(aus)), places] += 1
    for track in list(open_tracks):
        close(track)
    return levels


def _logits(row: Cells, aus: list[str]) -> np.ndarray:
    probabilities = np.array([float(row[au]) for au in aus])
    return scipy.special.logit(np.clip(probabilities, _EDGE, 1 - _EDGE))
