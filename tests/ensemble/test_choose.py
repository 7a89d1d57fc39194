"""Choosing selections: scans against brute force, combinations, honest choices."""

import dataclasses
import functools
import itertools

import numpy as np
import pytest
import sklearn.metrics

from au_jax import aus, metrics
from au_jax.ensemble import choose, selection
from au_jax.ensemble.choose import Candidate
from au_jax.ensemble.epochs import best_epoch_per_au
from au_jax.ensemble.selection import Member
from au_jax.ensemble.thresholds import (
    best_thresholds,
    common_threshold,
    cross_validated_thresholds,
    shrunken_thresholds,
)
from au_jax.ensemble.weights import linear_per_au
from au_jax.errors import UserError

AUS = ("AU01", "AU02", "AU04")


def _sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def _labels(rows, count, rng):
    """Labels of uneven rates with unknowns, every AU with both classes."""
    labels = (rng.random((rows, count)) < np.linspace(0.2, 0.6, count)).astype(np.int8)
    labels[rng.random((rows, count)) < 0.2] = -1
    labels[:2] = [[1], [0]]
    return labels


def _score(truth, guess, score):
    """One AU's score, from scikit-learn; `truth` holds -1 for unknown."""
    known = truth >= 0
    f1 = sklearn.metrics.f1_score(truth[known], guess[known], zero_division=0)
    if score == "f1":
        return f1
    return (f1 + sklearn.metrics.accuracy_score(truth[known], guess[known])) / 2


@pytest.mark.parametrize("score", ["final_score", "f1"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_best_epoch_equals_a_search_written_out(seed, score):
    rng = np.random.default_rng(seed)
    labels = _labels(14, 5, rng)
    # Few values, few examples and repeated epochs: ties.
    probabilities = rng.integers(0, 5, (9, 14, 5)) / 4
    probabilities[5:] = probabilities[:4]
    positions = best_epoch_per_au(probabilities, labels, score)
    ties = 0
    for a in range(5):
        scores = [_score(labels[:, a], p[:, a] >= 0.5, score) for p in probabilities]
        best = [e for e, value in enumerate(scores) if value > max(scores) - 1e-9]
        ties += len(best) > 1
        assert positions[a] == best[0]
    assert ties


def test_without_positives_the_last_epoch_is_taken():
    labels = np.array([[1, 0, -1], [0, 0, -1]], np.int8)
    probabilities = np.array([[[0.9] * 3, [0.1] * 3], [[0.1] * 3, [0.9] * 3]])
    assert best_epoch_per_au(probabilities, labels).tolist() == [0, 1, 1]


# Right examples of five epochs: a lucky second one, and a plateau that starts at the fourth.
HITS = np.array([0, 9, 1, 7, 7])


def _epochs(hits):
    """Probabilities [E, 10, 1] of epochs that are right for so many of ten present examples."""
    return np.where(np.arange(10) < np.asarray(hits)[:, None], 0.9, 0.1)[..., None]


def test_other_rules_for_the_epoch_by_hand():
    probabilities = np.concatenate([_epochs(HITS), _epochs([8, 0, 9, 0, 9])], 2)
    labels = np.ones((10, 2), np.int8)
    rules = {
        rule: best_epoch_per_au(probabilities, labels, "f1", epoch_rule=rule).tolist()
        for rule in ("best", "best_average", "smoothed")
    }
    # Sums of hits over both AUs: 8, 9, 10, 7, 16. Epoch 5 with its one neighbour is AU01's best.
    assert rules == {"best": [1, 2], "best_average": [4, 4], "smoothed": [4, 3]}


def test_the_average_leaves_out_aus_without_positives():
    labels = np.array([[1, 0]] * 10, np.int8)
    probabilities = np.concatenate([_epochs(HITS), _epochs(HITS[::-1])], 2)
    chosen = best_epoch_per_au(probabilities, labels, epoch_rule="best_average")
    assert chosen.tolist() == [1, 1]


def test_the_last_epoch_within_one_standard_error_of_the_best_by_hand():
    # F1 of 1 or 0. Behind the second epoch the third has lost (1, 0, 0): a mean of 1/3 and a
    # standard error of 1/3; the fourth (1, 1, 0): 2/3 and again 1/3, which is too far.
    of_aus = [_epochs(hits) for hits in ([10, 10, 0, 0], [0, 10, 10, 0], [10, 10, 10, 10])]
    probabilities, labels = np.concatenate(of_aus, 2), np.ones((10, 3), np.int8)

    def chosen(probabilities, labels, rule="one_standard_error"):
        return best_epoch_per_au(probabilities, labels, "f1", epoch_rule=rule).tolist()

    assert chosen(probabilities, labels, "best_average") == [1, 1, 1]
    assert chosen(probabilities, labels) == [2, 2, 2]
    # One AU alone has no standard error, and an AU without positives no say: the others have lost
    # (1, 0), a mean of 1/2 and a standard error of 1/2.
    assert chosen(probabilities[..., :1], labels[:, :1]) == [0]
    labels[:, 1] = 0
    assert chosen(probabilities, labels) == [3, 3, 3]
    assert chosen(probabilities, np.zeros_like(labels)) == [3, 3, 3]


def test_a_common_threshold_by_hand():
    labels = np.array([[1, 1], [1, 0], [0, 0], [0, 0]], np.int8)
    probabilities = np.array([[0.4, 0.9], [0.35, 0.2], [0.1, 0.1], [0.1, 0.1]])
    # From 0.21 to 0.35 both AUs are right.
    assert common_threshold(probabilities, labels) == 0.35
    assert common_threshold(probabilities, np.zeros_like(labels)) == 0.5


def test_thresholds_are_shrunken_towards_the_common_one_where_an_au_is_rare():
    rng = np.random.default_rng(3)
    labels = np.zeros((600, 2), np.int8)
    labels[:200, 0], labels[:5, 1] = 1, 1
    probabilities = _sigmoid(rng.normal(0, 1, labels.shape) + 2 * labels + [0.0, 1.5])
    own, common = (f(probabilities, labels, "f1") for f in (best_thresholds, common_threshold))
    weight = np.array([200 / 250, 5 / 55])
    expected = _sigmoid(
        weight * np.log(own / (1 - own)) + (1 - weight) * np.log(common / (1 - common))
    )
    shrunken = shrunken_thresholds(probabilities, labels, "f1")
    np.testing.assert_allclose(shrunken, expected, rtol=1e-9)
    assert abs(shrunken[1] - common) < abs(own[1] - common) / 2


def _of_people(rng, count, people=30, each=8):
    """Labels int8 [N, count] and the person int [N] of each example."""
    subjects = np.repeat(np.arange(people), each)
    labels = (rng.random((people * each, count)) < 0.4).astype(np.int8)
    return labels, subjects


def test_cross_validation_keeps_a_threshold_of_its_own_where_it_helps_other_people():
    rng = np.random.default_rng(0)
    labels, subjects = _of_people(rng, 6)
    probabilities = np.where(labels == 1, 0.9, 0.1)
    probabilities[:, 0] = np.where(labels[:, 0] == 1, 0.08, 0.04)  # its own threshold is 0.06
    # Whom the third AU is wrong for at its best threshold differs from person to person.
    probabilities[:, 2] = 0.3 + 0.4 * rng.random(30)[subjects]
    chosen = cross_validated_thresholds(probabilities, labels, "f1", subjects)
    own = best_thresholds(probabilities, labels, "f1")
    common = common_threshold(probabilities, labels, "f1")
    assert chosen[0] == own[0] == pytest.approx(0.06)
    assert chosen[1:].tolist() == [common] * 5
    assert own[2] != common  # what a person looks like has been learned by heart
    with pytest.raises(UserError, match="at least 2 subjects, and the split has 1"):
        cross_validated_thresholds(probabilities, labels, "f1", np.zeros(240, int))


@pytest.mark.parametrize("threshold_rule", ["default", "best"])
def test_cross_validation_keeps_an_epoch_of_its_own_where_it_helps_other_people(threshold_rule):
    rng = np.random.default_rng(0)
    labels, subjects = _of_people(rng, 6)
    epochs = rng.random((12, *labels.shape))
    epochs[7, :, :5] = np.where(labels[:, :5] == 1, 0.6, 0.4) + rng.normal(0, 0.1, (240, 5))
    epochs[7, :, 0] = epochs[6, :, 0]
    epochs[3, :, 0] = np.where(labels[:, 0] == 1, 0.7, 0.3)  # the first AU has its own epoch
    # Each epoch is right for other people in the last AU, those before the seventh for most.
    right = np.equal(subjects % 12, np.arange(12)[:, None])
    epochs[:, :, 5] = np.where(right == (labels[:, 5] == 1), 0.6, 0.4)
    args = epochs, labels, "f1", threshold_rule
    best, average, chosen = (
        best_epoch_per_au(*args, rule, subjects=subjects).tolist()
        for rule in ("best", "best_average", "cross_validated")
    )
    assert average == [7] * 6
    assert best[:5] == [3, 7, 7, 7, 7]
    assert best[5] < 6
    assert chosen == [3, 7, 7, 7, 7, 7]


def _best_thresholds_by_hand(probabilities, labels, score):
    """Every candidate tried; of equal ones the nearest to 0.5, then the lower."""
    chosen = []
    for a in range(labels.shape[1]):
        values = np.unique(probabilities[labels[:, a] >= 0, a].astype(np.float64))
        edges = [0.0, *values, 1 + 1e-6]
        candidates = [0.5, *((x + y) / 2 for x, y in itertools.pairwise(edges))]
        scores = [_score(labels[:, a], probabilities[:, a] >= t, score) for t in candidates]
        best = [t for t, s in zip(candidates, scores, strict=True) if s > max(scores) - 1e-9]
        chosen.append(min(best, key=lambda t: (abs(t - 0.5), t)))
    return chosen


@pytest.mark.parametrize("score", ["final_score", "f1"])
@pytest.mark.parametrize("steps", [4, 10, 10_000])
def test_best_thresholds_equal_a_search_written_out(steps, score):
    rng = np.random.default_rng(steps)
    labels = _labels(40, 6, rng)
    probabilities = (rng.integers(0, steps + 1, (40, 6)) / steps).astype(np.float32)
    thresholds = best_thresholds(probabilities, labels, score)
    np.testing.assert_array_equal(
        thresholds, _best_thresholds_by_hand(probabilities, labels, score)
    )


@pytest.mark.parametrize("score", ["final_score", "f1"])
def test_epochs_judged_at_their_best_thresholds_equal_a_search_written_out(score):
    rng = np.random.default_rng(5)
    labels = _labels(40, 6, rng)
    epochs = (rng.integers(0, 11, (5, 40, 6)) / 10).astype(np.float32)
    positions = best_epoch_per_au(epochs, labels, score, "best")
    for a in range(6):
        scores = []
        for epoch in epochs:
            threshold = _best_thresholds_by_hand(epoch[:, [a]], labels[:, [a]], score)[0]
            scores.append(_score(labels[:, a], epoch[:, a] >= threshold, score))
        assert positions[a] == next(e for e, s in enumerate(scores) if s > max(scores) - 1e-9)
    with pytest.raises(UserError, match="unknown threshold_rule 'none'"):
        best_epoch_per_au(epochs, labels, score, "none")


def test_a_later_threshold_decides_which_epoch_is_best():
    """Epoch 2 ranks perfectly but decides badly at 0.5, where epoch 1 is better."""
    labels = np.array([[1], [1], [0], [0], [0]], np.int8)
    ranked = np.array([0.4, 0.3, 0.2, 0.1, 0.1])[:, None]
    decided = np.array([0.9, 0.2, 0.1, 0.1, 0.3])[:, None]
    logits = np.log(np.stack([decided, ranked]) / (1 - np.stack([decided, ranked])))
    candidate = choose.Candidate(".", "a", "center", (1, 2), ("AU01",), logits)
    at_half = choose.choose([candidate], labels, ("AU01",), epoch_rule="best")
    moved = choose.choose([candidate], labels, ("AU01",), epoch_rule="best", threshold_rule="best")
    assert [chosen.members[0].epoch for chosen in (at_half, moved)] == [1, 2]


def test_epochs_are_chosen_by_centre_crops_and_thresholds_by_the_crops_that_vote():
    """Epoch 2 is best by its centre crops, and only its other crops are asked for."""
    labels = np.array([[1], [1], [0], [0]], np.int8)
    centre = np.float32([[[-1], [1], [1], [-1]], [[2], [1], [-1], [-2]], [[1], [-1], [-1], [1]]])
    seen = np.float32([[-1], [-2], [-3], [-4]])
    asked = []

    def through_crops(member):
        asked.append(str(member))
        return seen

    candidate = Candidate(".", "a", "five", (1, 2, 3), ("AU01",), centre, (1,), through_crops)
    rules = {"epoch_rule": "best", "threshold_rule": "best"}
    chosen = choose.choose([candidate], labels, ("AU01",), **rules)
    assert set(asked) == {"a@2:five"} == {str(member) for member in chosen.members}
    of_crops = metrics.probabilities(seen)
    assert of_crops[2] < chosen.thresholds < of_crops[1]
    [(_, logits)] = choose.member_logits(chosen, [candidate.rows(np.array([3, 0]))])
    np.testing.assert_array_equal(logits, seen[[3, 0]])


def test_thresholds_at_the_ends_and_between_neighbouring_floats():
    # Only "all present" wins on the first AU, only "none present" on the second; the third's two
    # classes are split by neighbouring doubles, which have no midpoint.
    low = 0.3
    high = np.nextafter(low, 1)
    probabilities = np.array([[0.0, 1.0, low], [0.1, 1.0, high]] * 4)
    labels = np.array([[1, 0, 0], [1, 0, 1]] * 4, np.int8)
    labels[0, 1] = 1
    thresholds = best_thresholds(probabilities, labels)
    decisions = probabilities >= thresholds
    assert decisions[:, 0].all()
    assert not decisions[:, 1].any()
    np.testing.assert_array_equal(decisions[:, 2], labels[:, 2] == 1)


def test_threshold_stays_at_a_half_when_nothing_is_better_or_nothing_known():
    probabilities = np.array([[0.9, 0.9, 0.9], [0.3, 0.3, 0.3]])
    labels = np.array([[1, 0, -1], [0, 0, -1]], np.int8)
    np.testing.assert_array_equal(best_thresholds(probabilities, labels), 0.5)


def _candidates(rows=60, epochs=4, count=3, models=2, seed=0, names=AUS):
    """Models whose epochs are of varying quality, and the labels."""
    rng = np.random.default_rng(seed)
    labels = _labels(rows, count, rng)
    signal = np.where(labels == 1, 1.0, -1.0)
    quality = rng.uniform(0, 1.5, (models, epochs, 1, count))
    logits = quality * signal + rng.normal(size=(models, epochs, rows, count)) - 0.5
    logits = logits.astype(np.float32)
    numbers = tuple(range(10, 10 + epochs))
    return [
        Candidate(".", f"train{m}", "center", numbers, names, logits[m]) for m in range(models)
    ], labels


def _apply(chosen, candidates):
    return selection.apply(chosen, choose.member_logits(chosen, candidates))


def test_default_choice_is_the_mean_of_the_last_epochs():
    candidates, labels = _candidates()
    chosen = choose.choose(candidates, labels, AUS)
    assert chosen.members == (Member(".", "train0", 13), Member(".", "train1", 13))
    np.testing.assert_array_equal(chosen.weights, 0.5)
    expected = (_sigmoid(candidates[0].logits[-1]) + _sigmoid(candidates[1].logits[-1])) / 2
    np.testing.assert_allclose(_apply(chosen, candidates), expected, rtol=1e-5)
    np.testing.assert_array_equal(chosen.thresholds, 0.5)


def test_best_epochs_give_each_au_its_own_checkpoint():
    candidates, labels = _candidates(models=1)
    chosen = choose.choose(candidates, labels, AUS, epoch_rule="best")
    probabilities = _sigmoid(candidates[0].logits)
    best = best_epoch_per_au(probabilities, labels)
    assert len(set(best.tolist())) > 1
    assert [v for (v,) in chosen.members_per_au()] == [f"train0@{10 + e}" for e in best]
    expected = np.stack([probabilities[e, :, a] for a, e in enumerate(best)], 1)
    np.testing.assert_allclose(_apply(chosen, candidates), expected, rtol=1e-5)


@pytest.mark.parametrize("rule", ["default", "best"])
def test_best_model_and_checkpoint_per_au_is_the_best_of_all(rule):
    candidates, labels = _candidates(models=3, seed=4)
    chosen = choose.choose(
        candidates,
        labels,
        AUS,
        epoch_rule="best",
        combine="best",
        score="f1",
        threshold_rule=rule,
    )

    def scored(probabilities, a):
        thresholds = [0.5] if rule == "default" else np.unique(probabilities[:, a])
        return max(_score(labels[:, a], probabilities[:, a] >= t, "f1") for t in thresholds)

    for a, names in enumerate(chosen.members_per_au()):
        scores = {
            f"{c.stage}@{number}": scored(_sigmoid(logits), a)
            for c in candidates
            for number, logits in zip(c.epochs, c.logits, strict=True)
        }
        assert names == [max(scores, key=lambda name: scores[name])]
    np.testing.assert_array_equal(chosen.weights.sum(0), 1)


def test_chosen_thresholds_are_best_for_the_combined_probabilities():
    candidates, labels = _candidates()
    chosen = choose.choose(candidates, labels, AUS, threshold_rule="best")
    combined = _apply(chosen, candidates)
    expected = _best_thresholds_by_hand(combined, labels, "final_score")
    np.testing.assert_allclose(chosen.thresholds, expected, rtol=1e-12)
    plain = choose.choose(candidates, labels, AUS)

    def final(thresholds):
        return metrics.summary(AUS, combined, labels, thresholds)["final_score"]

    assert final(chosen.thresholds) > final(plain.thresholds)


def test_linear_ensemble_recovers_the_weights_that_made_the_labels():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 6000, 1)).astype(np.float32) * 2
    made = 2.0 * logits[0] - 1.0 * logits[1] + 0.5
    labels = (rng.random((6000, 1)) < _sigmoid(made)).astype(np.int8)
    labels[::7] = -1
    weights, bias = linear_per_au(logits, labels, np.ones((2, 1), bool))
    np.testing.assert_allclose(weights[:, 0], [2, -1], atol=0.15)
    np.testing.assert_allclose(bias, [0.5], atol=0.15)


def test_linear_ensemble_of_a_rare_au_counts_negatives_as_batch_balancing_does():
    """With 95 % negatives a fifth of each counts, so that the bias grows by log 5."""
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(1, 40000, 1)).astype(np.float32)
    labels = (rng.random((40000, 1)) < _sigmoid(1.5 * logits[0] - 3.5)).astype(np.int8)
    assert labels.mean() < 0.1
    weights, bias = linear_per_au(logits, labels, np.ones((1, 1), bool))
    np.testing.assert_allclose(weights[0], 1.5, atol=0.1)
    np.testing.assert_allclose(bias, -3.5 + np.log(5), atol=0.15)


def test_linear_ensemble_falls_back_to_the_mean_of_logits_without_both_classes():
    candidates, labels = _candidates()
    labels[:, 1] = np.where(labels[:, 1] == 1, -1, labels[:, 1])
    chosen = choose.choose(candidates, labels, AUS, combine="linear")
    assert chosen.link == "logit"
    np.testing.assert_array_equal(chosen.weights[:, 1], 0.5)
    assert chosen.bias[1] == 0
    mean = (candidates[0].logits[-1, :, 1] + candidates[1].logits[-1, :, 1]) / 2
    np.testing.assert_allclose(_apply(chosen, candidates)[:, 1], _sigmoid(mean), rtol=1e-5)


def test_linear_ensemble_of_models_that_say_nothing_still_selects():
    candidates, labels = _candidates()
    silent = [dataclasses.replace(c, logits=np.zeros_like(c.logits)) for c in candidates]
    chosen = choose.choose(silent, labels, AUS, combine="linear")
    known = labels >= 0
    rate = ((labels == 1) & known).sum(0) / known.sum(0)
    np.testing.assert_allclose(_apply(chosen, silent)[0], rate, atol=1e-3)


@pytest.mark.parametrize("combine", ["mean", "best", "linear"])
def test_expression_and_pose_models_make_one_selection_of_23(combine):
    (first, second), expression_labels = _candidates(count=17, names=aus.EXPRESSION)
    (third,), pose_labels = _candidates(count=6, models=1, seed=1, names=aus.POSE)
    labels = np.concatenate([expression_labels, pose_labels], 1)
    third = dataclasses.replace(third, stage="pose", epochs=(1, 2, 3, 4))
    candidates = [first, third, second]
    chosen = choose.choose(candidates, labels, aus.EMOTIONET, combine=combine)
    expression = np.array([m.stage != "pose" for m in chosen.members])
    assert not chosen.weights[expression, 17:].any()
    assert not chosen.weights[~expression, :17].any()
    assert chosen.weights[~expression, 17:].all()
    # The same as each group selected on its own.
    alone = choose.choose([first, second], expression_labels, aus.EXPRESSION, combine=combine)
    np.testing.assert_allclose(
        _apply(chosen, candidates)[:, :17], _apply(alone, [first, second]), rtol=1e-5
    )
    assert all(names == ["pose@4"] for names in chosen.members_per_au()[17:])


@pytest.mark.parametrize("epoch_rule", ["last", "best"])
def test_the_best_window_is_taken_per_au_and_model(epoch_rule):
    """With the rule "last" only the last epoch's windows are looked at."""
    windows, epochs = (1, 3, 15), (10, 11)
    versions, labels = _candidates(rows=200, epochs=6, models=1, seed=8)
    [candidate] = [dataclasses.replace(c, epochs=epochs, windows=windows) for c in versions]
    names = [str(member) for member in candidate.members]
    assert names[1::3] == ["train0@10~3", "train0@11~3"]
    chosen = choose.choose([candidate], labels, AUS, epoch_rule=epoch_rule)
    allowed = names if epoch_rule == "best" else names[3:]
    combined = _apply(chosen, [candidate])
    for a, members in enumerate(chosen.members_per_au()):
        scores = {
            name: _score(labels[:, a], _sigmoid(logits[:, a]) >= 0.5, "final_score")
            for name, logits in zip(names, candidate.logits, strict=True)
            if name in allowed
        }
        best = max(scores, key=lambda name: scores[name])
        assert members == [best]
        expected = _sigmoid(candidate.logits[names.index(best), :, a])
        np.testing.assert_allclose(combined[:, a], expected, rtol=1e-5)
    assert len({member.window for member in chosen.members}) > 1


def test_an_au_that_no_model_predicts_is_refused():
    candidates, labels = _candidates()
    with pytest.raises(UserError, match="no model to select from predicts AU56"):
        choose.choose(candidates, labels[:, [0, 1]], ("AU01", "AU56"))


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"epoch_rule": "first"}, "unknown epoch_rule 'first'; known: last, best, best_average"),
        ({"combine": "vote"}, "unknown combine 'vote'; known: mean, best, linear"),
        ({"threshold_rule": "high"}, "unknown threshold_rule 'high'; known: default, best"),
        ({"epoch_rule": "best", "score": "auc"}, "unknown score to select by 'auc'"),
    ],
)
def test_unknown_choices_are_refused(choice, message):
    candidates, labels = _candidates()
    with pytest.raises(UserError, match=message):
        choose.choose(candidates, labels, AUS, **choice)


FULL_CHOICE = functools.partial(
    choose.choose, aus=AUS, epoch_rule="best", combine="linear", threshold_rule="best"
)


def test_honest_never_uses_a_subjects_own_labels():
    candidates, labels = _candidates(rows=60)
    subjects = np.array([f"person{i % 12}" for i in range(60)])
    before = choose.honest(FULL_CHOICE, candidates, labels, subjects)
    rng = np.random.default_rng(1)
    changed_others = 0
    for person in np.unique(subjects)[:4]:
        rows = subjects == person
        altered = labels.copy()
        altered[rows] = rng.permutation(1 - np.abs(labels[rows]))
        after = choose.honest(FULL_CHOICE, candidates, altered, subjects)
        for x, y in zip(before, after, strict=True):
            np.testing.assert_array_equal(x[rows], y[rows])
        changed_others += not np.array_equal(before[1], after[1])
    # The labels do matter to the others, or the test would show nothing.
    assert changed_others


def test_honest_gives_each_example_the_choice_of_the_other_folds():
    candidates, labels = _candidates(rows=60)
    subjects = np.array([f"person{i % 12}" for i in range(60)])
    probabilities, thresholds = choose.honest(FULL_CHOICE, candidates, labels, subjects, folds=3)
    assert len(np.unique(thresholds, axis=0)) == 3
    for row in np.unique(thresholds, axis=0):
        fold = (thresholds == row).all(1)
        people = set(subjects[fold])
        assert len(people) == 4
        assert people.isdisjoint(subjects[~fold])
        chosen = FULL_CHOICE([c.rows(~fold) for c in candidates], labels[~fold])
        np.testing.assert_array_equal(chosen.thresholds, row)
        held_out = [c.rows(fold) for c in candidates]
        np.testing.assert_array_equal(probabilities[fold], _apply(chosen, held_out))


def test_honest_is_lower_than_printed_where_there_is_nothing_to_learn():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (80, 3)).astype(np.int8)
    logits = rng.normal(size=(30, 80, 3)).astype(np.float32)
    candidates = [Candidate(".", "train", "center", tuple(range(30)), AUS, logits)]
    choice = functools.partial(choose.choose, aus=AUS, epoch_rule="best", threshold_rule="best")
    chosen = choice(candidates, labels)
    printed = metrics.summary(AUS, _apply(chosen, candidates), labels, chosen.thresholds)
    probabilities, thresholds = choose.honest(choice, candidates, labels, None)
    honest = metrics.summary(AUS, probabilities, labels, thresholds)
    assert printed["accuracy"] > honest["accuracy"] + 0.05
    assert honest["accuracy"] < 0.6


def test_honest_needs_two_subjects():
    candidates, labels = _candidates()
    with pytest.raises(UserError, match="at least 2 subjects, and the split has 1"):
        choose.honest(FULL_CHOICE, candidates, labels, np.array(["a"] * 60))
