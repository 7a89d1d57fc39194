"""Smoothing of scores over the frames of a video, with a centred moving mean (ABAW3).

ABAW3 (2022), section 3.4, smooths the logits "with a sliding window" and gives neither its width
nor its shape: the centred mean is ours, as are the ends, where only the frames that exist count.
"""

import dataclasses

import numpy as np

from au_jax.errors import UserError
from au_jax.run_dir import Scores
from au_jax.training.scoring import NO_FACE_LOGIT


@dataclasses.dataclass(frozen=True)
class Sequences:
    """The runs of frames without a gap, each of one person in one video.

    Attributes:
      order: int64 [F], the rows of the frames of all runs of two frames or more, run by run, in
        the order of their numbers.
      first, last: int64 [F], the first and the last place in `order` of the run that each is in.
      gaps: how often frames are missing between two frames of one person in one video.
    """

    order: np.ndarray
    first: np.ndarray
    last: np.ndarray
    gaps: int

    @property
    def count(self) -> int:
        """The number of runs."""
        return len(np.unique(self.first))


def check_window(window: int) -> None:
    """Raises UserError unless `window`, in frames, is odd and at least 1."""
    if not isinstance(window, int) or window < 1 or window % 2 == 0:
        raise UserError(f"a smoothing window of {window} frames has no middle; give an odd number")


def sequences(scores: Scores) -> Sequences:
    """Finds the runs of frames among the records of a split.

    A frame without a face counts as missing, as its score is none of the network's. Records of no
    video and still images are in no run. Where a frame of one person stands there several times,
    as in an expanded split, the first of every frame make runs of their own, then the second.
    """
    missing = (scores.logits == NO_FACE_LOGIT).all(1)
    rows = np.flatnonzero((scores.video != "") & (scores.frame >= 0) & ~missing)
    video, subject = (
        np.unique(n[rows], return_inverse=True)[1] for n in (scores.video, scores.subject)
    )
    frame = scores.frame[rows].astype(np.int64)
    copy = _occurrence(np.stack([video, subject, frame]))
    order = np.lexsort((frame, copy, subject, video))
    person = np.stack([video, subject, copy])[:, order]
    same = (person[:, 1:] == person[:, :-1]).all(0)
    next_frame = same & (np.diff(frame[order]) == 1)
    starts = np.flatnonzero(np.concatenate([[True], ~next_frame])) if len(rows) else rows
    sizes = np.diff(np.append(starts, len(rows)))
    kept = np.repeat(sizes > 1, sizes)  # a run of one frame is its own mean, to the bit
    long = sizes[sizes > 1]
    first = np.cumsum(long) - long
    return Sequences(
        order=rows[order][kept],
        first=np.repeat(first, long),
        last=np.repeat(first + long - 1, long),
        gaps=int((same & ~next_frame).sum()),
    )


def _occurrence(columns: np.ndarray) -> np.ndarray:
    """How often each column of int [K, N] stood further left: int64 [N]."""
    order = np.lexsort(columns)  # stable
    ordered = columns[:, order]
    new = np.concatenate([[True], (ordered[:, 1:] != ordered[:, :-1]).any(0)])[: len(order)]
    place = np.arange(len(order))
    occurrence = np.empty(len(order), np.int64)
    occurrence[order] = place - np.maximum.accumulate(np.where(new, place, 0))
    return occurrence


def smoothed(logits: np.ndarray, runs: Sequences, window: int) -> np.ndarray:
    """The mean of each frame's logits and those of its neighbours in its run.

    Args:
      logits: float32 [N, A].
      runs: of the N records.
      window: frames, odd; near the ends of a run those that exist count.

    Returns:
      float32 [N, A]; rows in no run are as they were, and with window 1 all are.

    Raises:
      UserError: `window` is not odd.
    """
    check_window(window)
    if window == 1 or not len(runs.order):
        return logits
    place, half = np.arange(len(runs.order)), window // 2
    low = np.maximum(place - half, runs.first)
    high = np.minimum(place + half, runs.last) + 1
    zero = np.zeros((1, logits.shape[1]))
    sums = np.concatenate([zero, np.cumsum(logits[runs.order], 0, np.float64)])
    result = logits.copy()
    result[runs.order] = (sums[high] - sums[low]) / (high - low)[:, None]
    return result
