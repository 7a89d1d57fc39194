"""Differences of rows over seeds: paired, with the interval and verdict that follow by hand."""

import pytest

from au_jax.report import over_seeds

# Student's t of two degrees of freedom at 0.975, from tables.
T2 = 4.302653


def config(**changes):
    return {
        "seeds": 3,
        "headline": "f1",
        "stages.a.against": ("b", "left_out"),
        "stages.a.paper": 0.7,
        "stages.b.paper": 0.5,
        **changes,
    }


def over(**rows):
    return {name: {"test": {"f1": over_seeds.spread(values)}} for name, values in rows.items()}


def test_a_difference_is_of_each_seed_by_itself():
    """The rows' own spread is far larger than that of their differences."""
    told = over_seeds.differences(config(), over(a=[0.31, 0.62, 0.93], b=[0.1, 0.4, 0.7]))
    (difference,) = told
    assert (difference["stage"], difference["against"], difference["split"]) == ("a", "b", "test")
    assert difference["values"] == pytest.approx([0.21, 0.22, 0.23])
    assert difference["mean"] == pytest.approx(0.22)
    margin = T2 * 0.01 / 3**0.5
    assert difference["interval"] == pytest.approx((0.22 - margin, 0.22 + margin), abs=1e-6)
    assert difference["verdict"] == "gains"
    assert difference["paper"] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [([0.1, 0.2, 0.3], "undecided"), ([0.19, 0.2, 0.21], "gains"), ([-0.1, -0.1, -0.1], "loses")],
)
def test_a_verdict_needs_an_interval_without_zero(values, verdict):
    told = over_seeds.differences(config(), over(a=values, b=[0.0, 0.0, 0.0]))
    assert told[0]["verdict"] == verdict


def test_a_split_that_one_fold_lacks_has_no_mean():
    """Training scores no test split: there are scores of the epochs that selections chose."""
    summary = {"n": 1, "au": {}, "f1": None, "accuracy": None, "final_score": None}
    choices = {"as_printed": None, "honest": {**summary, "ci": None, "f1_ci": None}}
    mean = over_seeds.mean_of_folds([{"val": choices, "test": choices}, {"val": choices}])
    assert list(mean) == ["val"]


def test_rows_with_a_missing_seed_or_without_a_paper_are_not_compared_or_have_no_paper():
    assert over_seeds.differences(config(), over(a=[0.1, 0.2], b=[0.1, 0.2, 0.3])) == []
    assert over_seeds.differences(config(), over(a=[0.1, None, 0.3], b=[0.1, 0.2, 0.3])) == []
    (told,) = over_seeds.differences(
        config(**{"stages.b.paper": 0.0}), over(a=[0.3, 0.2, 0.1], b=[0.1, 0.2, 0.3])
    )
    assert told["paper"] is None
    assert over_seeds.interval(over_seeds.spread([0.4])) is None
