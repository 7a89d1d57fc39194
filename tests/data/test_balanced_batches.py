"""Balanced batches: the guarantee over many batches, few changed rows, purity, refusals."""

import numpy as np
import pytest

from au_jax.data.balanced_batches import BalancedBatches
from au_jax.data.pipeline import BatchRows
from au_jax.errors import UserError

AUS = ("AU01", "AU02", "AU04", "AU12")
SHARE, ROWS = 12, 500


def _labels():
    """AU02 is rare: two positives; AU12 nearly always present, and mostly unknown."""
    rng = np.random.default_rng(0)
    labels = (rng.random((ROWS, 4)) < [0.4, 0, 0.05, 0.98]).astype(np.int8)
    labels[[17, 401], 1] = 1
    labels[rng.random(ROWS) < 0.7, 3] = -1
    labels[:1, 3] = 0
    return labels


def _batches(labels, rows=None, share=SHARE, seed=3, balanced=True):
    rows = np.arange(len(labels)) if rows is None else rows
    repair = {"opt": BalancedBatches(labels, rows, AUS, share, (seed, 0), "opt")}
    return BatchRows({"opt": (rows, share)}, seed, 1000, repair if balanced else None)


def _lacking(labels):
    return sum(int(not (labels[:, a] == c).any()) for a in range(4) for c in (0, 1))


def test_every_one_of_1000_batches_holds_both_labels_of_every_au():
    labels = _labels()
    plain, batches = _batches(labels, balanced=False), _batches(labels)
    used = np.zeros(ROWS, int)
    repaired = 0
    for step in range(1000):
        drawn, rows = plain[step]["opt"], batches[step]["opt"]
        assert len(rows) == SHARE
        assert _lacking(labels[rows]) == 0
        changed = (drawn != rows).sum()
        assert changed <= _lacking(labels[drawn])
        repaired += changed > 0
        np.add.at(used, rows, 1)
    assert 900 < repaired <= 1000
    assert abs(used[17] - used[401]) <= 40  # the rare ones take turns
    assert used.min() > 10  # nobody is shut out


def test_a_batch_that_lacks_nothing_stays_as_it_is():
    labels = np.array([[1, 0, 1, 0], [0, 1, 0, 1]] * 20, np.int8)
    plain, batches = _batches(labels, balanced=False), _batches(labels)
    same = [np.array_equal(plain[step]["opt"], batches[step]["opt"]) for step in range(200)]
    lacking = [_lacking(labels[plain[step]["opt"]]) for step in range(200)]
    assert same == [count == 0 for count in lacking]
    assert any(same)


def test_a_step_has_the_same_rows_whatever_was_asked_before():
    labels = _labels()
    whole = [_batches(labels)[step]["opt"] for step in range(30)]
    again = _batches(labels)
    for step in (29, 3, 17, 3):
        np.testing.assert_array_equal(again[step]["opt"], whole[step])
    other = _batches(labels, seed=4)
    assert any(not np.array_equal(other[step]["opt"], whole[step]) for step in range(3))


def test_only_the_rows_of_the_stream_repair_its_batches():
    labels = _labels()
    rows = np.setdiff1d(np.repeat(np.arange(ROWS), 2), [401])
    batches = _batches(labels, rows)
    assert all(401 not in batches[step]["opt"] for step in range(100))
    with pytest.raises(UserError, match="no positive of AU02"):
        _batches(labels, np.setdiff1d(rows, [17]))


@pytest.mark.parametrize(
    ("change", "share", "message"),
    [
        (1, SHARE, "stream 'opt' cannot have balanced batches: it has no negative of AU04"),
        (0, SHARE, "it has no positive of AU04; leave that AU out"),
        (-1, SHARE, "it has no positive of AU04|it has no negative of AU04"),
        (None, 7, "share 7 of stream 'opt' is too small for balanced batches: .* 8 places"),
    ],
)
def test_what_cannot_be_balanced_is_refused_by_name(change, share, message):
    labels = _labels()
    if change is not None:
        labels[:, 2] = change
    with pytest.raises(UserError, match=message):
        _batches(labels, share=share)


def test_the_smallest_batch_is_always_repaired():
    """Every label of every AU in a row of its own: all 2 A places are needed."""
    labels = np.full((80, 4), -1, np.int8)
    for kind in range(8):
        labels[kind::8, kind // 2] = kind % 2
    batches = _batches(labels, share=8)
    assert all(_lacking(labels[batches[step]["opt"]]) == 0 for step in range(200))
