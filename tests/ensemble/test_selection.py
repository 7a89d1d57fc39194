"""Selections: combination by hand, exact JSON, the text of a member."""

import json

import numpy as np
import pytest

from au_jax import metrics
from au_jax.ensemble import selection
from au_jax.ensemble.calibration import Calibration
from au_jax.ensemble.selection import Member, Selection
from au_jax.errors import UserError

AUS = ("AU01", "AU02", "AU04")


def _sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


@pytest.mark.parametrize(
    ("member", "text"),
    [
        (Member(".", "train", 3), "train@3"),
        (Member(".", "train.seed1.fold2", 12, "five"), "train.seed1.fold2@12:five"),
        (Member("../other", "finetune", 12, "five_flip"), "../other/finetune@12:five_flip"),
        (Member("../a@1:b", "train", 3), "../a@1:b/train@3"),
        (Member(".", "train", 3, window=15), "train@3~15"),
        (Member("../other", "finetune", 12, "five_flip", 3), "../other/finetune@12:five_flip~3"),
    ],
)
def test_a_members_text_is_read_back(member, text):
    assert str(member) == text == f"{member.stage_path}@{member.version}"
    assert Member.parse(text) == member


@pytest.mark.parametrize(
    "text", ["train", "train@", "@3", "train@last", "train@3:", "other/@3", "train@3~"]
)
def test_other_text_is_no_member(text):
    with pytest.raises(UserError, match="is no member's name"):
        Member.parse(text)


def test_a_window_without_a_middle_is_refused():
    with pytest.raises(UserError, match="window of 4 frames has no middle; give an odd number"):
        Member.parse("train@3~4")


def _selection(link="probability"):
    return Selection(
        aus=AUS,
        members=(Member(".", "train", 3), Member("../other", "finetune", 12, "five_flip")),
        weights=np.array([[0.25, 1.0, 0.0], [0.75, 0.0, 1 / 3]]),
        bias=np.array([0.0, 0.1, 0.05]),
        link=link,
        thresholds=np.array([0.1 + 0.2, 0.5, 2 / 3]),
    )


def test_some_aus_of_a_selection_are_decided_as_before():
    whole = selection.calibrated(
        _selection(), Calibration(np.array([0.5, 1.0, 2.0]), np.array([0.3, 0.0, -0.2]))
    )
    logits = np.random.default_rng(0).normal(size=(2, 20, 3)).astype(np.float32)
    said = [(AUS, of_member) for of_member in logits]
    some = selection.on(whole, ("AU04", "AU01"))
    assert some.aus == ("AU04", "AU01")
    np.testing.assert_array_equal(
        selection.apply(some, said), selection.apply(whole, said)[:, [2, 0]]
    )
    np.testing.assert_array_equal(some.thresholds, whole.thresholds[[2, 0]])


@pytest.mark.parametrize("link", ["probability", "logit"])
def test_apply_equals_the_combination_by_hand_whatever_the_members_order(link):
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 5, 3)).astype(np.float32) * 2
    # The second member knows other AUs, in another order, and not AU02.
    reordered = np.stack([second[:, 2], second[:, 1] * 9, second[:, 0]], 1)
    member_logits = [(AUS, first), (("AU04", "AU56", "AU01"), reordered)]
    combined = selection.apply(_selection(link), member_logits)
    value = _sigmoid if link == "probability" else (lambda x: x)
    expected = np.stack(
        [
            0.25 * value(first[:, 0]) + 0.75 * value(second[:, 0]),
            value(first[:, 1]) + 0.1,
            value(second[:, 2]) / 3 + 0.05,
        ],
        1,
    )
    expected = np.clip(expected, 0, 1) if link == "probability" else _sigmoid(expected)
    np.testing.assert_allclose(combined, expected, rtol=1e-5)
    assert combined.dtype == np.float32


def test_a_weight_on_an_au_that_the_member_lacks_is_refused():
    logits = np.zeros((2, 3), np.float32)
    with pytest.raises(UserError, match=r"\.\./other/finetune@12:five_flip a weight on AU04"):
        selection.apply(_selection(), [(AUS, logits), (("AU01", "AU02", "AU56"), logits)])


def test_one_checkpoint_alone_gives_its_own_probabilities():
    logits = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    chosen = selection.of_one(Member(".", "train", 7), AUS)
    np.testing.assert_array_equal(
        selection.apply(chosen, [(AUS, logits)]), metrics.probabilities(logits)
    )
    assert chosen.members_per_au() == [["train@7"]] * 3


def test_json_round_trip_is_exact():
    chosen = _selection("logit")
    text = json.dumps(selection.to_json(chosen), allow_nan=False)
    again = selection.from_json(json.loads(text), "selection.json")
    assert (again.aus, again.members, again.link) == (chosen.aus, chosen.members, chosen.link)
    for field in ("weights", "bias", "thresholds"):
        np.testing.assert_array_equal(getattr(again, field), getattr(chosen, field))
        assert getattr(again, field).dtype == np.float64
    assert json.dumps(selection.to_json(again)) == text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": 1}, r"unknown field in s\.json 'colour'; known: aus, members"),
        ({"link": "sum"}, r"unknown link in s\.json 'sum'; known: probability, logit"),
        ({"aus": ["AU01", "AU02", "AU99"]}, "unknown AU 'AU99'"),
        ({"bias": [0, 0]}, r"'bias' of s\.json is not 3 finite numbers"),
        ({"weights": [[1, 2, 3]]}, r"'weights' of s\.json is not 2 x 3 finite"),
        ({"weights": [[1, 2, 3], [1]]}, "'weights'"),
        ({"thresholds": [0.5, "x", 0.5]}, "'thresholds'"),
        ({"thresholds": [0.5, float("nan"), 0.5]}, "'thresholds'"),
        ({"members": [{"run": ".", "stage": "a", "epoch": 1}] * 2}, r"member 0 of s\.json lacks"),
        ({"members": []}, r"'members' of s\.json is not a list with entries"),
        ({"aus": "AU01"}, r"'aus' of s\.json is not a list"),
        ({"members": ["a", "b"]}, r"member 0 of s\.json is not a JSON object"),
    ],
)
def test_damaged_json_is_refused_by_name(change, message):
    value = selection.to_json(_selection()) | change
    with pytest.raises(UserError, match=message):
        selection.from_json(value, "s.json")


@pytest.mark.parametrize(
    ("field", "value"),
    [("run", ""), ("stage", 3), ("epoch", "1"), ("epoch", -1), ("crops", "nine"), ("window", "3")],
)
def test_a_members_damaged_field_is_refused_by_name(field, value):
    damaged = selection.to_json(_selection())
    damaged["members"][1][field] = value
    with pytest.raises(UserError, match=rf"member 1 of s\.json is damaged, as .*'{field}'"):
        selection.from_json(damaged, "s.json")


def test_each_missing_field_is_refused_by_name():
    for field in selection.to_json(_selection()):
        value = selection.to_json(_selection())
        del value[field]
        with pytest.raises(UserError, match=f"lacks the field '{field}'"):
            selection.from_json(value, "s.json")


def test_a_selection_from_before_there_was_smoothing_is_read():
    value = selection.to_json(_selection())
    for member in value["members"]:
        assert member.pop("window") == 1
    assert selection.from_json(value, "s.json").members == _selection().members


def test_without_smoothing_a_checkpoint_has_the_weights_of_all_its_windows():
    chosen = Selection(
        aus=AUS,
        members=(Member(".", "a", 1, window=3), Member(".", "b", 1), Member(".", "a", 1)),
        weights=np.array([[0.5, 0, 1], [0.5, 0.75, 0], [0, 0.25, 0]]),
        bias=np.zeros(3),
        link="logit",
        thresholds=np.full(3, 0.5),
    )
    plain = selection.unsmoothed(chosen)
    assert plain.members == (Member(".", "a", 1), Member(".", "b", 1))
    np.testing.assert_array_equal(plain.weights, [[0.5, 0.25, 1], [0.5, 0.75, 0]])
    again = selection.unsmoothed(_selection())
    assert again.members == _selection().members
    np.testing.assert_array_equal(again.weights, _selection().weights)
