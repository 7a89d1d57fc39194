"""Calibration of a selection: the fit, what is left alone, and that decisions stay."""

import dataclasses
import functools
import json

import numpy as np
import pytest
import sklearn.linear_model

from au_jax import metrics
from au_jax.ensemble import calibration, choose, selection
from au_jax.ensemble.calibration import Calibration
from au_jax.ensemble.choose import Candidate
from au_jax.ensemble.thresholds import THRESHOLD_RULES
from au_jax.errors import UserError

AUS = ("AU01", "AU02", "AU04")


def over_confident(rows=3000, seed=0):
    """Logits three times as large as they should be, and shifted: float32 [rows, 3], labels."""
    rng = np.random.default_rng(seed)
    true = rng.normal(-1, 1.5, (rows, 3))
    labels = (rng.random((rows, 3)) < 1 / (1 + np.exp(-true))).astype(np.int8)
    labels[rng.random((rows, 3)) < 0.1] = -1
    return (3 * true + np.array([0, 1.5, -1])).astype(np.float32), labels


def test_an_identity_is_one_to_the_bit_and_a_map_is_that_by_hand():
    maps = Calibration(np.array([1.0, 0.5]), np.array([0.0, 1.0]))
    given = np.array([[0.3, 0.5], [0.0, 1.0], [1.0, 0.0]], np.float32)
    found = maps.probabilities(given)
    assert found.dtype == np.float32
    assert found[:, 0].tolist() == given[:, 0].tolist()
    # logit(0.5) is 0; 1 counts as 1 - 2 ** -24, whose logit is 24 log 2.
    top = 1 / (1 + np.exp(-(0.5 * 24 * np.log(2) + 1)))
    np.testing.assert_allclose(found[:2, 1], [1 / (1 + np.exp(-1)), top], rtol=1e-6)
    assert found[2, 1] > 0
    assert maps.probabilities(np.array([0.5, 1 + 1e-6]))[1] == 1 + 1e-6  # never present stays so


def test_platts_fit_equals_a_logistic_regression_on_his_targets():
    logits, labels = over_confident()
    found = calibration.fit(metrics.probabilities(logits), labels, "platt")
    for a in range(3):
        known = labels[:, a] >= 0
        truth, x = labels[known, a], logits[known, a].astype(np.float64)
        positives, negatives = (truth == 1).sum(), (truth == 0).sum()
        target = np.where(truth == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
        # A soft target is the row twice, as present and as absent, with two weights.
        twice = np.concatenate([x, x])[:, None]
        classes = np.repeat([1, 0], len(x))
        weights = np.concatenate([target, 1 - target])
        model = sklearn.linear_model.LogisticRegression(C=1e12, tol=1e-8, max_iter=1000)
        model.fit(twice, classes, weights)
        # Logits that float32 probabilities round to 1 are a little smaller there.
        assert found.slope[a] == pytest.approx(model.coef_[0, 0], abs=2e-3)
        assert found.offset[a] == pytest.approx(model.intercept_[0], abs=2e-3)
    np.testing.assert_allclose(found.slope, 1 / 3, atol=0.05)
    np.testing.assert_allclose(found.offset, [0, -0.5, 1 / 3], atol=0.2)


def test_the_temperature_alone_has_no_offset():
    logits, labels = over_confident()
    found = calibration.fit(metrics.probabilities(logits), labels, "temperature")
    assert found.offset.tolist() == [0, 0, 0]
    assert found.slope[0] == pytest.approx(1 / 3, abs=0.05)
    assert calibration.fit(metrics.probabilities(logits), labels, "none") is None


def test_what_cannot_be_fitted_stays_as_it_is():
    logits, labels = over_confident()
    few = np.flatnonzero(labels[:, 0] == 1)[calibration.LEAST - 1 :]
    labels[few, 0] = -1
    labels[:, 1] = np.where(labels[:, 1] >= 0, 1 - labels[:, 1], -1)  # its positives score lower
    found = calibration.fit(metrics.probabilities(logits), labels, "platt")
    assert found.identical.tolist() == [True, True, False]
    assert calibration.enough(labels).tolist() == [False, True, True]
    with pytest.raises(UserError, match="unknown calibration 'isotonic'; known: none, temper"):
        calibration.fit(metrics.probabilities(logits), labels, "isotonic")


@pytest.mark.parametrize("kind", ["temperature", "platt"])
@pytest.mark.parametrize("rule", THRESHOLD_RULES)
def test_decisions_on_other_subjects_stay_while_the_error_falls(kind, rule):
    logits, labels = over_confident()
    candidate = Candidate(".", "train", "center", (1,), AUS, logits[None])
    subjects = np.array([f"person{row % 60}" for row in range(len(labels))])

    def of(kind):
        return choose.honest(
            functools.partial(choose.choose, aus=AUS, threshold_rule=rule, calibration=kind),
            [candidate],
            labels,
            subjects,
        )

    plain, calibrated = of("none"), of(kind)
    before, after = (metrics.decide(p, t) for p, t in (plain, calibrated))
    assert (before != after).sum() <= 1  # float32 may make a tie of two neighbours
    f1 = [metrics.f1(metrics.confusion(d, labels)) for d in (before, after)]
    np.testing.assert_allclose(*f1, atol=1e-3)
    ece = [metrics.reliability(p, labels).ece for p, _ in (plain, calibrated)]
    assert ece[0][0] > 0.08
    assert ece[1][0] < 0.03
    if kind == "platt":
        assert ece[1].max() < 0.03
    np.testing.assert_allclose(*(metrics.auc(p, labels) for p, _ in (plain, calibrated)), atol=2e-3)


def test_an_au_that_is_present_stays_present():
    """Also where its probability is the threshold, whose own map has more digits than float32."""
    rng = np.random.default_rng(0)
    at = rng.random((500, 3)).astype(np.float32)
    for row in at:
        plain = dataclasses.replace(
            selection.of_one(selection.Member(".", "train", 1), AUS), thresholds=row.astype(float)
        )
        maps = Calibration(rng.uniform(0.3, 3, 3), rng.normal(size=3))
        calibrated = selection.calibrated(plain, maps)
        assert metrics.decide(maps.probabilities(row[None]), calibrated.thresholds).all()


def test_a_selection_keeps_its_calibration_in_its_file():
    plain = selection.of_one(selection.Member(".", "train", 1), AUS)
    assert "calibration" not in selection.to_json(plain)
    maps = Calibration(np.array([0.5, 1 / 3, 2.0]), np.array([0.1, -0.7, 0.0]))
    chosen = selection.calibrated(plain, maps)
    again = selection.from_json(json.loads(json.dumps(selection.to_json(chosen))), "s.json")
    for field in ("slope", "offset"):
        kept = getattr(again.calibration, field)
        np.testing.assert_array_equal(kept, getattr(maps, field))
    np.testing.assert_array_equal(again.thresholds, chosen.thresholds)
    assert chosen.thresholds[0] == pytest.approx(1 / (1 + np.exp(-0.1)))
    logits = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    expected = 1 / (1 + np.exp(-(maps.slope * logits + maps.offset)))
    found = selection.apply(again, [(AUS, logits)])
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found.dtype == np.float32
    decided = metrics.decide(found, again.thresholds)
    np.testing.assert_array_equal(decided, logits >= 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slope": [1.0, 1.0, 0.0]}, r"'slope' of s\.json is not above 0 for every AU"),
        ({"slope": [1.0]}, r"'slope' of s\.json is not 3 finite numbers"),
        ({"offset": [0.0, 0.0, None]}, r"'offset' of s\.json is not 3 finite numbers"),
        (
            {"curve": 1},
            r"unknown field in the calibration of s\.json 'curve'; known: slope, offset",
        ),
    ],
)
def test_a_damaged_calibration_is_refused_by_name(change, message):
    plain = selection.of_one(selection.Member(".", "train", 1), AUS)
    chosen = dataclasses.replace(plain, calibration=Calibration(np.ones(3), np.zeros(3)))
    value = selection.to_json(chosen)
    value["calibration"] |= change
    with pytest.raises(UserError, match=message):
        selection.from_json(value, "s.json")
