"""Scores of a few AUs over the frames of one video, raw and smoothed, beside the truth."""

import dataclasses

import numpy as np

from au_jax.ensemble import selection
from au_jax.ensemble.member_scores import kept_scores, read_selection
from au_jax.ensemble.selection import Selection
from au_jax.run_dir import RunFolder, Scores, StageFolder

_SHOWN = 3  # AUs, at most


@dataclasses.dataclass(frozen=True)
class VideoScores:
    """What a selection that smooths says of one person in one video.

    Attributes:
      video, subject: their names; the subject may be "".
      aus: names [K].
      frames: int [F], every number from the first frame to the last.
      labels: int8 [F, K], -1 where unknown or where the frame is missing.
      raw, smoothed: float32 [F, K], probabilities; NaN where the frame is missing.
      thresholds: float64 [K], the selection's own.
    """

    video: str
    subject: str
    aus: tuple[str, ...]
    frames: np.ndarray
    labels: np.ndarray
    raw: np.ndarray
    smoothed: np.ndarray
    thresholds: np.ndarray


def video_scores(folder: RunFolder, stage: StageFolder, split: str) -> VideoScores | None:
    """The person and video of a split whose labels change most, and the AUs that change most there.

    A change is a known label that differs from that of the person's frame before. Of several that
    change equally often it is the first by name; AUs that never change are not shown.

    Args:
      stage: a select stage of the run `folder`.

    Returns:
      None where the selection does not smooth, no label changes over the frames of a video, or a
      member's scores are not there any more.
    """
    chosen = read_selection(stage)
    if all(member.window == 1 for member in chosen.members):
        return None
    if not all(
        RunFolder(folder.path / m.run).stage(m.stage).scores(split, m.epoch, m.crops).exists()
        for m in chosen.members
    ):
        return None
    scores = kept_scores(folder.path, chosen, split)
    labels = stage.read_decided(split)["labels"]
    rows = _most_changing(scores[0], labels)
    changes = _changes(labels[rows]).sum(0)
    columns = np.argsort(-changes, kind="stable")[:_SHOWN]
    columns = np.sort(columns[changes[columns] > 0])
    if not len(columns):
        return None
    plain = selection.unsmoothed(chosen)
    raw = _probabilities(plain, kept_scores(folder.path, plain, split))
    smoothed = _probabilities(chosen, scores)
    frame = scores[0].frame[rows]
    frames = np.arange(frame[0], frame[-1] + 1)

    def spread(values: np.ndarray, missing: float) -> np.ndarray:
        filled = np.full((len(frames), len(columns)), missing, values.dtype)
        filled[frame - frame[0]] = values[rows][:, columns]
        return filled

    return VideoScores(
        video=str(scores[0].video[rows[0]]),
        subject=str(scores[0].subject[rows[0]]),
        aus=tuple(chosen.aus[column] for column in columns),
        frames=frames,
        labels=spread(labels, -1),
        raw=spread(raw, np.nan),
        smoothed=spread(smoothed, np.nan),
        thresholds=chosen.thresholds[columns],
    )


def _probabilities(chosen: Selection, scores: list[Scores]) -> np.ndarray:
    return selection.apply(chosen, [(s.aus.tolist(), s.logits) for s in scores])


def _changes(labels: np.ndarray) -> np.ndarray:
    """Where a known label differs from a known one in the row above: bool [F - 1, A]."""
    known = labels >= 0
    return (labels[1:] != labels[:-1]) & known[1:] & known[:-1]


def _most_changing(scores: Scores, labels: np.ndarray) -> np.ndarray:
    """The rows, by frame, of the person in a video whose labels change most; none without videos.

    Of several records of one frame it is the first.
    """
    rows = np.flatnonzero((scores.video != "") & (scores.frame >= 0))
    video, subject = (
        np.unique(names[rows], return_inverse=True)[1] for names in (scores.video, scores.subject)
    )
    frames = np.stack([video, subject, scores.frame[rows]])
    frames, first = np.unique(frames, axis=1, return_index=True)  # ordered by video, then subject
    ends = np.flatnonzero((np.diff(frames[:2]) != 0).any(0)) + 1
    people = np.split(rows[first], ends)
    return max(people, key=lambda of_person: _changes(labels[of_person]).sum())
