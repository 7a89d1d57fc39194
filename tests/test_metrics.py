"""Metrics: against scikit-learn on known labels, hand-computed cases, and the bootstrap."""

import json

import numpy as np
import pytest
import sklearn.metrics

from au_jax import metrics

AUS = ("AU01", "AU02", "AU04", "AU05")


def _case(rows=300, aus=4, seed=0):
    """Probabilities with many ties, labels with unknowns, AUs of different rates."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((rows, aus)) < np.linspace(0.1, 0.6, aus)).astype(np.int8)
    probabilities = np.clip(0.35 * labels + 0.6 * rng.random((rows, aus)), 0, 1).round(1)
    labels[rng.random((rows, aus)) < 0.2] = -1
    return probabilities.astype(np.float32), labels


def test_every_figure_equals_scikit_learn_on_the_known_labels():
    probabilities, labels = _case()
    thresholds = np.array([0.5, 0.4, 0.6, 0.3], np.float32)
    result = metrics.summary(AUS, probabilities, labels, thresholds)
    for a, au in enumerate(AUS):
        known = labels[:, a] >= 0
        truth, scores = labels[known, a], probabilities[known, a]
        guess = scores >= thresholds[a]
        expected = {
            "f1": sklearn.metrics.f1_score(truth, guess),
            "f1_macro": sklearn.metrics.f1_score(truth, guess, average="macro"),
            "accuracy": sklearn.metrics.accuracy_score(truth, guess),
            "auc": sklearn.metrics.roc_auc_score(truth, scores),
            "kappa": sklearn.metrics.cohen_kappa_score(truth, guess),
            "ece": _expected_calibration_error(truth, scores),
            "threshold": thresholds[a],
            "members": None,
            "positives": truth.sum(),
            "known": known.sum(),
        }
        assert result["au"][au] == pytest.approx(expected, abs=1e-12)
    for name in ("f1", "f1_macro", "accuracy"):
        assert result[name] == pytest.approx(np.mean([result["au"][au][name] for au in AUS]))
    assert result["final_score"] == pytest.approx((result["f1"] + result["accuracy"]) / 2)
    assert result["n"] == 300
    assert result["undefined"] == 0
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def _expected_calibration_error(truth, scores, bins=15):
    """Bin by bin, as the paper's section 2 writes it."""
    error, scores = 0.0, scores.astype(np.float64)
    for m in range(1, bins + 1):
        inside = (scores > (m - 1) / bins) & (scores <= m / bins)
        if inside.any():
            error += inside.sum() / len(truth) * abs(truth[inside].mean() - scores[inside].mean())
    return error


def test_reliability_by_hand():
    # Bins are 1/15 wide: 0.9 to 0.9333 is the fourteenth, 1 and all above 0.9333 the last one.
    probabilities = np.array([[0.91, 0.2], [0.93, 0.2], [1.0, 0.2], [0.0, 0.2], [0.5, 0.9]])
    labels = np.array([[1, -1], [0, -1], [1, -1], [0, -1], [-1, -1]], np.int8)
    found = metrics.reliability(probabilities, labels)
    assert found.count[0].tolist() == [1] + [0] * 12 + [2, 1]
    assert found.present[0, [0, 13, 14]].tolist() == [0, 0.5, 1]
    np.testing.assert_allclose(found.probability[0, [0, 13, 14]], [0, 0.92, 1])
    assert np.isnan(found.present[0, 5])
    # (1 * 0 + 2 * |0.5 - 0.92| + 1 * 0) / 4; the other AU has no label.
    np.testing.assert_allclose(found.ece, [0.21, np.nan])


def test_a_probability_on_an_edge_is_in_the_lower_bin():
    found = metrics.reliability(
        np.array([[1 / 15], [2 / 15 + 1e-9]]), np.array([[1], [1]], np.int8)
    )
    assert found.count[0, :4].tolist() == [1, 0, 1, 0]


def test_counts_and_figures_by_hand():
    # AU01: TP 2, FP 1, FN 1, TN 0, and one unknown that must not count.
    decisions = np.array([[1], [1], [1], [0], [1]], bool)
    labels = np.array([[1], [1], [0], [1], [-1]], np.int8)
    counts = metrics.confusion(decisions, labels)
    np.testing.assert_array_equal(counts, [[2, 1, 1, 0]])
    assert metrics.f1(counts) == pytest.approx(2 / 3)
    assert metrics.f1_macro(counts) == pytest.approx(1 / 3)
    assert metrics.accuracy(counts) == pytest.approx(1 / 2)
    assert metrics.kappa(counts) == pytest.approx(-1 / 3)
    assert metrics.final_score(counts) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert metrics.final_score_per_au(counts) == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_leading_axes_are_kept():
    probabilities, labels = _case()
    epochs = np.stack([probabilities >= t for t in (0.3, 0.5)])
    counts = metrics.confusion(epochs, labels)
    assert counts.shape == (2, 4, 4)
    np.testing.assert_array_equal(counts[1], metrics.confusion(epochs[1], labels))
    assert metrics.final_score(counts)[1] == metrics.final_score(counts[1])


def test_a_probability_equal_to_its_threshold_is_present():
    assert metrics.decide(np.array([0.5, 0.49]), 0.5).tolist() == [True, False]


def test_undefined_figures_are_null_left_out_of_the_means_and_counted():
    # AU01 well defined; AU02 without positives; AU04 without negatives; AU05 not labelled.
    labels = np.array([[1, 0, 1, -1], [0, 0, 1, -1]], np.int8)
    probabilities = np.array([[0.9, 0.9, 0.9, 0.9], [0.1, 0.1, 0.1, 0.1]])
    result = metrics.summary(AUS, probabilities, labels)
    assert result["au"]["AU02"]["f1"] is None
    assert result["au"]["AU02"]["accuracy"] == 0.5
    assert result["au"]["AU02"]["auc"] is None
    assert result["au"]["AU04"]["f1"] == pytest.approx(2 / 3)
    assert result["au"]["AU04"]["f1_macro"] is None
    nothing = result["au"]["AU05"]
    assert [nothing[k] for k in ("f1", "accuracy", "auc", "kappa")] == [None] * 4
    assert (nothing["positives"], nothing["known"]) == (0, 0)
    assert result["undefined"] == 2
    assert result["f1"] == pytest.approx((1 + 2 / 3) / 2)
    assert result["accuracy"] == pytest.approx((1 + 0.5 + 0.5) / 3)


def test_a_split_without_labels_or_examples_has_null_figures():
    for rows in (0, 3):
        labels = np.full((rows, 4), -1, np.int8)
        result = metrics.summary(AUS, np.zeros((rows, 4)), labels)
        assert [result[k] for k in ("f1", "accuracy", "final_score", "ci", "f1_ci")] == [None] * 5
        assert (result["n"], result["undefined"]) == (rows, 4)


def test_auc_is_invariant_to_monotone_scales_and_half_for_constants():
    probabilities, labels = _case()
    logits = np.log(probabilities + 0.01)
    np.testing.assert_array_equal(
        metrics.auc(probabilities, labels), metrics.auc(logits * 3 - 7, labels)
    )
    np.testing.assert_array_equal(metrics.auc(np.zeros((300, 4)), labels), 0.5)


def test_thresholds_may_differ_between_examples():
    probabilities, labels = _case()
    thresholds = np.full(labels.shape, 0.5)
    thresholds[:100, 0] = 0.3
    result = metrics.summary(AUS, probabilities, labels, thresholds)
    known = labels[:, 0] >= 0
    guess = probabilities[:, 0] >= thresholds[:, 0]
    assert result["au"]["AU01"]["f1"] == pytest.approx(
        sklearn.metrics.f1_score(labels[known, 0], guess[known])
    )
    assert result["au"]["AU01"]["threshold"] is None
    assert result["au"]["AU02"]["threshold"] == 0.5


def test_members_are_listed_per_au():
    probabilities, labels = _case()
    members = [["a@3"], ["a@3", "b@1"], [], ["b@1"]]
    result = metrics.summary(AUS, probabilities, labels, members=members)
    assert [result["au"][au]["members"] for au in AUS] == members


def test_bootstrap_equals_redrawing_the_examples_of_whole_subjects():
    probabilities, labels = _case(rows=60)
    decisions = probabilities >= 0.5
    subjects = np.array([f"s{i % 7}" for i in range(60)])
    intervals = metrics.bootstrap_intervals(decisions, labels, subjects)

    generator = np.random.default_rng(0)
    drawn = generator.integers(7, size=(1000, 7))
    names = np.unique(subjects)
    rows_of = [np.flatnonzero(subjects == name) for name in names]
    values = []
    for draw in drawn:
        rows = np.concatenate([rows_of[s] for s in draw])
        counts = metrics.confusion(decisions[rows], labels[rows])
        values.append((metrics.final_score(counts), np.nanmean(metrics.f1(counts))))
    expected = np.quantile(values, [0.025, 0.975], axis=0).T
    np.testing.assert_allclose(intervals, expected, rtol=1e-12)
    result = metrics.summary(AUS, probabilities, labels, subjects=subjects)
    np.testing.assert_allclose([result["ci"], result["f1_ci"]], expected, rtol=1e-12)


def test_bootstrap_interval_holds_the_figure_repeats_and_is_wider_for_fewer_subjects():
    probabilities, labels = _case(rows=600)
    decisions = probabilities >= 0.5
    intervals = metrics.bootstrap_intervals(decisions, labels)
    counts = metrics.confusion(decisions, labels)
    for (low, high), figure in zip(intervals, (metrics.final_score, metrics.mean_f1), strict=True):
        assert low < figure(counts) < high
    assert intervals == metrics.bootstrap_intervals(decisions, labels)
    # The same 60 examples ten times over: as ten frames of 60 subjects they say less.
    decisions, labels = np.tile(decisions[:60], (10, 1)), np.tile(labels[:60], (10, 1))
    subjects = np.array([f"s{i % 60}" for i in range(600)])
    by_subject = np.diff(metrics.bootstrap_intervals(decisions, labels, subjects))
    by_example = np.diff(metrics.bootstrap_intervals(decisions, labels))
    assert (by_subject > 2 * by_example).all()


def test_a_single_subject_has_no_interval():
    probabilities, labels = _case(rows=50)
    result = metrics.summary(AUS, probabilities, labels, subjects=np.array(["anna"] * 50))
    assert (result["ci"], result["f1_ci"]) == (None, None)


def test_examples_without_a_subject_are_redrawn_singly():
    probabilities, labels = _case(rows=80)
    decisions = probabilities >= 0.5
    unnamed = metrics.bootstrap_intervals(decisions, labels, np.array([""] * 80))
    assert unnamed == metrics.bootstrap_intervals(decisions, labels)
    half = np.array(["one"] * 40 + [""] * 40)
    written_out = np.array(["one"] * 40 + [f"z{i:02d}" for i in range(40)])
    counts = metrics.bootstrap_intervals(decisions, labels, half)
    assert counts == metrics.bootstrap_intervals(decisions, labels, written_out)


def test_mean_over_folds_averages_each_au_then_the_aus():
    first = metrics.summary(AUS[:2], np.array([[0.9, 0.1], [0.1, 0.9]]), np.array([[1, 1], [0, 0]]))
    second = metrics.summary(AUS[:2], np.array([[0.9, 0.1]]), np.array([[1, 0]]))
    both = metrics.mean_over_folds([first, second])
    assert both["au"]["AU01"]["f1"] == 1
    # AU02 has F1 0 in the first fold, none in the second; accuracy 0 and 1.
    assert both["au"]["AU02"]["f1"] == 0
    assert both["au"]["AU02"]["accuracy"] == 0.5
    assert both["f1"] == 0.5
    assert both["accuracy"] == 0.75
    assert both["final_score"] == pytest.approx(0.625)
    assert (both["n"], both["undefined"], both["ci"], both["f1_ci"]) == (3, 0, None, None)
    assert both["au"]["AU02"]["positives"] == 1
    assert both["au"]["AU02"]["known"] == 3
    assert both["au"]["AU01"]["threshold"] == 0.5
    assert set(both) == set(first)
    assert set(both["au"]["AU01"]) == set(first["au"]["AU01"])
