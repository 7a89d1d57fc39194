"""Resampling: ML-ROS against a reference written out, the AUs that ABAW3's balance moves."""

import numpy as np
import pytest

from au_jax.data.resampling import DOWNSAMPLED, OVERSAMPLED, ml_ros, resampled_rows
from au_jax.errors import UserError

ABAW = tuple(sorted(OVERSAMPLED + DOWNSAMPLED))


def _labels(seed):
    """Labels of uneven rates with unknowns; some matrices have an AU without positives."""
    rng = np.random.default_rng(seed)
    rows, aus = int(rng.integers(20, 120)), int(rng.integers(2, 9))
    rates = rng.uniform(0.01, 0.7, aus)
    labels = (rng.random((rows, aus)) < rates).astype(np.int8)
    labels[rng.random((rows, aus)) < 0.2] = -1
    return labels


def _ml_ros_by_hand(labels, percent, seed):
    """Charte's algorithm in plain Python, with the same draws: the clones and the bags' AUs."""
    random = np.random.default_rng((seed, 0))
    rows = labels.tolist()
    data = [{a for a, label in enumerate(row) if label == 1} for row in rows]

    def imbalance(au):
        counts = {a: sum(a in row for row in data) for row in data for a in row}
        return max(counts.values()) / counts[au]

    used = sorted({a for row in data for a in row})
    mean = sum(imbalance(a) for a in used) / len(used) if used else 0
    originals = list(data)
    bags = {
        a: [i for i, row in enumerate(originals) if a in row] for a in used if imbalance(a) > mean
    }
    started = set(bags)
    wanted, clones = int(len(rows) * percent / 100), []
    while len(clones) < wanted and bags:
        for a in list(bags):
            if len(clones) == wanted:
                break
            row = bags[a][random.integers(len(bags[a]))]
            clones.append(row)
            data.append(originals[row])
            if imbalance(a) <= mean:
                del bags[a]
    return clones, started, bags


def test_ml_ros_equals_a_reference_written_out_on_100_random_matrices():
    ended_by = set()
    for seed in range(100):
        labels = _labels(seed)
        percent = (10, 25, 100, 1000)[seed % 4]
        rows = ml_ros(labels, percent, seed)
        clones, minority, left = _ml_ros_by_hand(labels, percent, seed)
        np.testing.assert_array_equal(rows[: len(labels)], np.arange(len(labels)))
        assert rows[len(labels) :].tolist() == clones
        assert len(clones) <= len(labels) * percent / 100
        assert all((labels[row, sorted(minority)] == 1).any() for row in clones)
        ended_by.add("budget" if left else "balance")
    assert ended_by == {"budget", "balance"}


def test_ml_ros_clones_nothing_where_there_is_nothing_to_balance():
    for labels in (np.eye(4), np.zeros((5, 2)), np.full((5, 2), -1), np.ones((0, 2))):
        np.testing.assert_array_equal(ml_ros(labels.astype(np.int8), 50, 0), np.arange(len(labels)))


def test_bal_moves_the_named_aus_towards_the_mean_and_no_other():
    rng = np.random.default_rng(0)
    aus = (*ABAW, "AU43")
    rates = [0.05 if au in OVERSAMPLED else 0.4 for au in ABAW] + [0.01]
    labels = (rng.random((3000, len(aus))) < rates).astype(np.int8)
    labels[rng.random(labels.shape) < 0.1] = -1
    rows = resampled_rows("bal", labels, aus, 25, seed=1)
    before, after = (labels == 1).sum(0), (labels[rows] == 1).sum(0)
    mean = before.mean()
    share_before, share_after = before / len(labels), after / len(rows)
    for a, au in enumerate(aus):
        if au in OVERSAMPLED:
            assert before[a] < after[a] < mean + len(labels) / 4
            assert share_after[a] > share_before[a]
        elif au in DOWNSAMPLED:
            assert share_after[a] < share_before[a]
    remaining, repeats = np.unique(rows, return_counts=True)
    clones = (repeats - 1).sum()
    assert clones == 750  # 25 per cent
    assert 0 < len(labels) - len(remaining) <= 750
    rare = [a for a, au in enumerate(aus) if au in OVERSAMPLED]
    common = [a for a, au in enumerate(aus) if au in DOWNSAMPLED]
    left_out = np.setdiff1d(np.arange(len(labels)), remaining)
    assert (labels[remaining[repeats > 1]][:, rare] == 1).any(1).all()
    assert not (labels[left_out][:, rare] == 1).any()
    assert (labels[left_out][:, common] == 1).any(1).all()


def test_bal_stops_at_the_mean():
    aus = ("AU01", "AU02", "AU43")
    labels = np.zeros((100, 3), np.int8)
    labels[:40, 0], labels[40:50, 1], labels[60:85, 2] = 1, 1, 1
    rows = resampled_rows("bal", labels, aus, 100, seed=0)
    assert (labels[rows] == 1).sum(0).tolist() == [25, 25, 25]


@pytest.mark.parametrize("rule", ["ml_ros", "bal"])
def test_draws_follow_from_the_seed(rule):
    labels = np.zeros((200, 3), np.int8)
    labels[:100, 0], labels[90:110, 1] = 1, 1
    first, again, other = (
        resampled_rows(rule, labels, ("AU01", "AU02", "AU43"), 30, seed) for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.int64
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("rule", "percent", "message"),
    [
        ("smote", 25, "unknown resample 'smote'; known: ml_ros, bal"),
        ("ml_ros", -1, "resample_percent is -1; give 0 or more"),
        ("bal", 25, "and the stage learns AU43; take 'ml_ros'"),
    ],
)
def test_what_cannot_be_resampled_is_refused(rule, percent, message):
    with pytest.raises(UserError, match=message):
        resampled_rows(rule, np.ones((4, 1), np.int8), ("AU43",), percent, 0)
