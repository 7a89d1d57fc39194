"""Smoothing over frames: against a loop, whatever gaps, persons and videos the records mix."""

import numpy as np
import pytest

from au_jax.ensemble.smoothing import sequences, smoothed
from au_jax.errors import UserError
from au_jax.run_dir import Scores
from au_jax.training.scoring import NO_FACE_LOGIT


def _scores(video, subject, frame, logits=None, seed=0):
    rng = np.random.default_rng(seed)
    rows = len(frame)
    if logits is None:
        logits = rng.normal(size=(rows, 3)).astype(np.float32)
    return Scores(
        logits=logits,
        labels=np.zeros(logits.shape, np.int8),
        aus=np.array(["AU01", "AU02", "AU04"]),
        keys=np.array([f"r{row}" for row in range(rows)]),
        subject=np.array(subject, np.str_),
        video=np.array(video, np.str_),
        frame=np.array(frame, np.int32),
    )


def _mixed(seed=0):
    """Videos with several persons, gaps, stills, videos of one frame and lost faces, shuffled."""
    rng = np.random.default_rng(seed)
    records = []
    for video in ("a", "b", "c", ""):
        for subject in ("", "p", "q"):
            frames = np.flatnonzero(rng.random(40) < 0.85) + int(rng.integers(5))
            records += [(video, subject, int(frame)) for frame in frames]
    records += [("d", "p", 7), ("a", "q", -1), ("a", "q", -1), ("", "", -1)]
    rng.shuffle(records)
    scores = _scores(*zip(*records, strict=True), seed=seed)
    scores.logits[rng.random(len(records)) < 0.05] = NO_FACE_LOGIT
    return scores


def _by_loop(scores, window):
    """The mean over neighbours that are reached without a step over a missing frame."""
    at = {
        (video, subject, frame): row
        for row, (video, subject, frame) in enumerate(
            zip(scores.video, scores.subject, scores.frame, strict=True)
        )
        if video != "" and frame >= 0 and not (scores.logits[row] == NO_FACE_LOGIT).all()
    }
    result = scores.logits.astype(np.float64)
    for (video, subject, frame), row in at.items():
        near = [row]
        for way in (-1, 1):
            for step in range(1, window // 2 + 1):
                neighbour = at.get((video, subject, frame + way * step))
                if neighbour is None:
                    break
                near.append(neighbour)
        result[row] = np.mean([scores.logits[n].astype(np.float64) for n in near], 0)
    return result


@pytest.mark.parametrize("window", [1, 3, 15, 101])
@pytest.mark.parametrize("seed", [0, 1])
def test_smoothing_equals_a_loop(seed, window):
    scores = _mixed(seed)
    before = scores.logits.copy()
    result = smoothed(scores.logits, sequences(scores), window)
    np.testing.assert_allclose(result, _by_loop(scores, window), atol=1e-6)
    np.testing.assert_array_equal(scores.logits, before)
    assert result.dtype == np.float32
    stays = (scores.video == "") | (scores.frame < 0) | (scores.video == "d")
    np.testing.assert_array_equal(result[stays], before[stays])
    assert window == 1 or (result != before).any()


def test_window_1_is_the_identity():
    scores = _mixed()
    np.testing.assert_array_equal(smoothed(scores.logits, sequences(scores), 1), scores.logits)


def test_by_hand_with_interleaved_videos_and_a_gap():
    video, frame = ["a", "b"] * 4, [3, 9, 1, 8, 2, 10, 5, 7]
    logits = np.repeat(np.float32([[3], [90], [1], [80], [2], [100], [50], [70]]), 3, 1)
    scores = _scores(video, ["p"] * 8, frame, logits)
    runs = sequences(scores)
    assert (runs.count, runs.gaps) == (2, 1)  # frame 5 of a stands alone behind its gap
    expected = [2.5, 90, 1.5, 80, 2, 95, 50, 75]
    np.testing.assert_allclose(smoothed(logits, runs, 3)[:, 0], expected)


def test_a_lost_face_is_a_gap_and_stays_absent():
    logits = np.zeros((5, 3), np.float32) + np.arange(5, dtype=np.float32)[:, None]
    logits[2] = NO_FACE_LOGIT
    scores = _scores(["a"] * 5, ["p"] * 5, range(5), logits)
    runs = sequences(scores)
    assert (runs.count, runs.gaps) == (2, 1)
    expected = [0.5, 0.5, NO_FACE_LOGIT, 3.5, 3.5]
    np.testing.assert_allclose(smoothed(logits, runs, 15)[:, 1], expected)


def test_the_copies_of_an_expanded_split_stay_apart():
    first, second = (
        np.random.default_rng(s).normal(size=(6, 3)).astype(np.float32) for s in (0, 1)
    )
    frames = [4, 2, 3, 1, 6, 5]
    alone = [_scores(["a"] * 6, ["p"] * 6, frames, logits) for logits in (first, second)]
    both = _scores(["a"] * 12, ["p"] * 12, frames * 2, np.concatenate([first, second]))
    expected = np.concatenate([smoothed(s.logits, sequences(s), 3) for s in alone])
    np.testing.assert_allclose(smoothed(both.logits, sequences(both), 3), expected, atol=1e-6)


def test_nothing_to_smooth():
    scores = _scores([""] * 3, ["p"] * 3, [1, 2, 3])
    runs = sequences(scores)
    assert (runs.count, runs.gaps) == (0, 0)
    np.testing.assert_array_equal(smoothed(scores.logits, runs, 5), scores.logits)


@pytest.mark.parametrize("window", [0, 2, -3])
def test_a_window_without_a_middle_is_refused(window):
    scores = _mixed()
    with pytest.raises(UserError, match=f"window of {window} frames has no middle"):
        smoothed(scores.logits, sequences(scores), window)
