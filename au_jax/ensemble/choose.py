"""Choosing the epochs, weights and thresholds of a selection from kept scores, AU by AU, in numpy.

Choosing and scoring on the same examples flatters. `honest` chooses on other subjects.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from au_jax import aus as au_names
from au_jax import metrics
from au_jax.ensemble.selection import Member, Selection, apply
from au_jax.errors import UserError, unknown

# What a choice maximises, per AU.
SCORES = {"final_score": metrics.final_score_per_au, "f1": metrics.f1}
EPOCHS = ("last", "best")
COMBINATIONS = ("mean", "best", "linear")
THRESHOLDS = ("default", "best")
# Scores that differ by less are a tie, whatever the order of their sums.
_DECIMALS = 12
_FOLD_SEED = 0
# Alpha of TAL's batch balancing, see `methods.losses.balanced_mask`.
_BALANCE = 0.2


def _score_per_au(
    probabilities: Iterable[np.ndarray], labels: np.ndarray, score: str
) -> np.ndarray:
    """The score of each [N, A] of `probabilities` at the default threshold: [K, A]."""
    if score not in SCORES:
        raise unknown("score to select by", score, SCORES)
    counts = [
        metrics.confusion(metrics.decide(p, metrics.DEFAULT_THRESHOLD), labels)
        for p in probabilities
    ]
    return SCORES[score](np.stack(counts)).round(_DECIMALS)


def undecided(aus: Sequence[str], labels: np.ndarray) -> list[str]:
    """The AUs without positives in `labels` [N, A], on which no choice can be based."""
    return [au for a, au in enumerate(aus) if not (labels[:, a] == 1).any()]


def best_epoch_per_au(
    probabilities: Iterable[np.ndarray],
    labels: np.ndarray,
    score: str = "final_score",
    at: str = "default",
) -> np.ndarray:
    """The epoch at which each AU scores best (TAL, Fig. 2).

    Args:
      probabilities: float [N, A] of each epoch in order, such as one array [E, N, A].
      labels: int8 [N, A].
      score: one of `SCORES`; "final_score" is (accuracy + F1) / 2 of the AU.
      at: "default": every epoch is judged at threshold 0.5; "best": at its own best threshold,
        which is right where a later step moves the decision (ours).

    Returns:
      int [A], positions in `probabilities`: of several equal epochs the earliest; the last epoch
      for an AU without positives (`undecided`).

    Raises:
      UserError: `score` or `at` is unknown.
    """
    if at not in THRESHOLDS:
        raise unknown("threshold to judge epochs at", at, THRESHOLDS)
    if at == "default":
        scores = _score_per_au(probabilities, labels, score)
    else:
        scores = np.stack([_scores_of_cuts(p, labels, score)[0].max(0) for p in probabilities])
        scores = np.where(scores < 0, np.nan, scores)
    last = len(scores) - 1
    undefined = np.isnan(scores).all(0)
    return np.where(undefined, last, np.argmax(np.nan_to_num(scores, nan=-1.0), 0))


def _scores_of_cuts(
    probabilities: np.ndarray, labels: np.ndarray, score: str
) -> tuple[np.ndarray, np.ndarray]:
    """The score of each AU at every threshold that decides differently.

    Args:
      probabilities: float [N, A].
      labels: int8 [N, A].

    Returns:
      scores float [N + 1, A], row k for the cut that calls the k lowest known examples absent, -1
      where there is no such cut; and the probabilities in that order, float64 [N, A].

    Raises:
      UserError: `score` is unknown.
    """
    if score not in SCORES:
        raise unknown("score to select by", score, SCORES)
    # Rows are AUs here, which sorts several times as fast.
    known_ones = np.ascontiguousarray(labels.T) >= 0
    values = np.where(known_ones, np.ascontiguousarray(probabilities.T), np.float32(np.inf))
    order = np.argsort(values, 1)  # unknown examples go behind the known ones: no cut is there
    ordered = np.take_along_axis(values, order, 1)
    truth = np.take_along_axis(labels.T, order, 1)
    missed, rejected = (np.zeros((len(order), len(labels) + 1), np.int32) for _ in range(2))
    np.cumsum(truth == 1, 1, out=missed[:, 1:])
    np.cumsum(truth == 0, 1, out=rejected[:, 1:])
    counts = (missed[:, -1:] - missed, rejected[:, -1:] - rejected, missed, rejected)
    scores = SCORES[score](np.stack(counts, -1)).round(_DECIMALS)
    cut, examples = np.arange(len(labels) + 1), known_ones.sum(1, keepdims=True)
    allowed = (cut == 0) | (cut == examples)
    allowed[:, 1:-1] |= ordered[:, 1:] > ordered[:, :-1]
    allowed &= (cut <= examples) & ~np.isnan(scores)
    return np.where(allowed, scores, -1.0).T, ordered.T.astype(np.float64)


def best_thresholds(
    probabilities: np.ndarray, labels: np.ndarray, score: str = "final_score"
) -> np.ndarray:
    """The threshold at which each AU scores best, over all that decide differently.

    The candidates are 0.5 and the midpoints between neighbouring distinct probabilities of known
    examples, with 0 below the lowest and 1 (and a little) above the highest. Of equal ones the
    nearest to 0.5 is taken, the lower of two equally near: ours, as the papers do not say.

    Args:
      probabilities: float [N, A].
      labels: int8 [N, A].
      score: one of `SCORES`.

    Returns:
      float64 [A]; 0.5 for an AU without positives.

    Raises:
      UserError: `score` is unknown.
    """
    default = _score_per_au([probabilities], labels, score)
    scores, ordered = _scores_of_cuts(probabilities, labels, score)
    cut = np.arange(len(labels) + 1)[:, None]
    zero = np.zeros((1, labels.shape[1]))
    lower = np.concatenate([zero, ordered])
    upper = np.concatenate([ordered, zero + 1])
    upper = np.where(cut == (labels >= 0).sum(0), 1 + 1e-6, upper)
    middle = (lower + upper) / 2
    # Two neighbouring doubles have no number between them.
    middle = np.where(middle > lower, middle, upper)
    best = scores.max(0)
    distance = np.where(
        (scores >= 0) & (scores == best), np.abs(middle - metrics.DEFAULT_THRESHOLD), np.inf
    )
    found = np.take_along_axis(middle, distance.argmin(0)[None], 0)[0]
    return np.where(best > np.nan_to_num(default[0], nan=np.inf), found, metrics.DEFAULT_THRESHOLD)


def mean_of_members(knows: np.ndarray) -> np.ndarray:
    """Weights [M, A] of the mean over the members that know each AU: `knows` bool [M, A]."""
    return knows / np.maximum(knows.sum(0), 1)


def best_member_per_au(
    probabilities: Iterable[np.ndarray], labels: np.ndarray, knows: np.ndarray, score: str = "f1"
) -> np.ndarray:
    """Weight 1 for the member that scores best on each AU at threshold 0.5 (ABAW3).

    Args:
      probabilities: float [N, A] of each member; anything where it does not know the AU.
      labels: int8 [N, A].
      knows: bool [M, A].
      score: one of `SCORES`.

    Returns:
      float64 [M, A]; of equal members the first; the mean for an AU without positives.

    Raises:
      UserError: `score` is unknown.
    """
    scores = _score_per_au(probabilities, labels, score)
    undefined = np.isnan(scores).all(0)
    best = np.argmax(np.where(knows, np.nan_to_num(scores, nan=-1.0), -2), 0)
    weights = (np.arange(len(knows))[:, None] == best) & knows
    return np.where(undefined, mean_of_members(knows), weights.astype(np.float64))


def linear_per_au(
    logits: np.ndarray, labels: np.ndarray, knows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Logistic regression on the members' logits, one per AU (ours for TAL's "linear model").

    scikit-learn's defaults: L2 penalty with C = 1, the bias not penalised. Negatives count as in
    TAL's batch balancing, by which the members were trained (section 2.3, alpha 0.2): so the
    ensemble decides at 0.5 as they do, and not "absent" for every rare AU.

    Args:
      logits: float [M, N, A].
      labels: int8 [N, A].
      knows: bool [M, A].

    Returns:
      weights float64 [M, A] and bias [A], for the link "logit"; an AU whose known labels are all of
      one class gets the mean of the logits.
    """
    from sklearn.linear_model import LogisticRegression  # imports for seconds, needed by few

    weights = mean_of_members(knows)
    bias = np.zeros(labels.shape[1])
    for a in range(labels.shape[1]):
        labelled, voters = labels[:, a] >= 0, knows[:, a]
        truth = labels[labelled, a]
        if voters.any() and len(np.unique(truth)) == 2:
            inputs = logits[voters][:, labelled, a].T.astype(np.float64)
            negatives = (truth == 0).sum()
            weight = _BALANCE if _BALANCE * negatives > len(truth) - negatives else 1.0
            balanced = LogisticRegression(max_iter=1000, class_weight={0: weight, 1: 1.0})
            model = balanced.fit(inputs, truth)
            weights[voters, a], bias[a] = model.coef_[0], model.intercept_[0]
    return weights, bias


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A trained model with its kept scores on the split that is chosen on.

    Attributes:
      run, stage, crops: as in `Member`.
      epochs: the numbers of the E kept epochs, ascending.
      aus: names [A_m].
      logits: float32 [E, N, A_m].
    """

    run: str
    stage: str
    crops: str
    epochs: tuple[int, ...]
    aus: tuple[str, ...]
    logits: np.ndarray

    def rows(self, rows: np.ndarray) -> "Candidate":
        """The same with the scores of some examples only; `rows` are positions or bool [N]."""
        return dataclasses.replace(self, logits=self.logits[:, rows])


def _combine(
    logits: np.ndarray, labels: np.ndarray, knows: np.ndarray, how: str, score: str
) -> tuple[np.ndarray, np.ndarray, str]:
    """Weights [M, A], bias [A] and link of the models with `logits` [M, N, A]."""
    none = np.zeros(labels.shape[1])
    if how == "mean":
        return mean_of_members(knows), none, "probability"
    if how == "best":
        votes = (metrics.probabilities(model) for model in logits)
        return best_member_per_au(votes, labels, knows, score), none, "probability"
    return *linear_per_au(logits, labels, knows), "logit"


def choose(
    candidates: Sequence[Candidate],
    labels: np.ndarray,
    aus: Sequence[str],
    *,
    epochs: str = "last",
    combine: str = "mean",
    thresholds: str = "default",
    score: str = "final_score",
) -> Selection:
    """Chooses epochs, then the models' weights, then thresholds, each per AU.

    Args:
      candidates: models, whose scores are of the same examples in the same order.
      labels: int8 [N, A] over `aus`.
      aus: what the selection decides on; each must be known to a candidate.
      epochs: "last", or "best" (per model and AU, `best_epoch_per_au`; at threshold 0.5 unless
        `combine` is "linear" or `thresholds` "best").
      combine: "mean" of probabilities, "best" (the best model per AU), or "linear".
      thresholds: "default" (0.5), or "best" (`best_thresholds` of the combined probabilities).
      score: what "best" means, one of `SCORES`.

    Raises:
      UserError: a choice's name is unknown, or no candidate knows an AU.
    """
    choices = ((epochs, EPOCHS), (combine, COMBINATIONS), (thresholds, THRESHOLDS))
    for kind, (choice, names) in zip(("epochs", "combine", "thresholds"), choices, strict=True):
        if choice not in names:
            raise unknown(f"choice of {kind}", choice, names)
    positions = np.stack([au_names.positions(c.aus, aus) for c in candidates])
    knows = positions >= 0
    missing = [au for a, au in enumerate(aus) if not knows[:, a].any()]
    if missing:
        raise UserError(
            f"no model to select from predicts {', '.join(missing)}; name one that does"
        )

    # The epoch of each model for each AU, as a position among its epochs, and the logits there.
    at = np.zeros(knows.shape, np.int64)
    logits = np.zeros((len(candidates), *labels.shape), np.float32)
    for m, candidate in enumerate(candidates):
        own, place = knows[m], positions[m, knows[m]]
        at[m, own] = len(candidate.epochs) - 1
        if epochs == "best":
            by_epoch = (metrics.probabilities(epoch[:, place]) for epoch in candidate.logits)
            # A fitted bias, or a threshold chosen later, moves the decision from 0.5.
            moved = combine == "linear" or thresholds == "best"
            judged = "best" if moved else "default"
            at[m, own] = best_epoch_per_au(by_epoch, labels[:, own], score, judged)
        logits[m][:, own] = candidate.logits[at[m, own], :, place].T

    weights, bias, link = _combine(logits, labels, knows, combine, score)
    # A model stays a member where its fitted weight is 0, so that there always is one.
    votes = knows if link == "logit" else weights != 0
    members, rows = [], []
    for m, candidate in enumerate(candidates):
        for e in np.unique(at[m, votes[m]]):
            number = candidate.epochs[e]
            members.append(Member(candidate.run, candidate.stage, number, candidate.crops))
            rows.append(np.where(at[m] == e, weights[m], 0.0))
    selection = Selection(
        aus=tuple(aus),
        members=tuple(members),
        weights=np.stack(rows),
        bias=bias,
        link=link,
        thresholds=np.full(len(aus), metrics.DEFAULT_THRESHOLD),
    )
    if thresholds == "default":
        return selection
    combined = apply(selection, member_logits(selection, candidates))
    return dataclasses.replace(selection, thresholds=best_thresholds(combined, labels, score))


def member_logits(
    selection: Selection, candidates: Sequence[Candidate]
) -> list[tuple[tuple[str, ...], np.ndarray]]:
    """What `apply` needs, taken from the candidates that the selection was chosen from."""
    kept = {
        Member(c.run, c.stage, epoch, c.crops): (c.aus, logits)
        for c in candidates
        for epoch, logits in zip(c.epochs, c.logits, strict=True)
    }
    return [kept[member] for member in selection.members]


def honest(
    choose: Callable[[Sequence[Candidate], np.ndarray], Selection],
    candidates: Sequence[Candidate],
    labels: np.ndarray,
    subjects: np.ndarray | None,
    folds: int = 5,
) -> tuple[np.ndarray, np.ndarray]:
    """Decides on each example with a selection that was chosen on other subjects.

    Args:
      choose: (candidates, labels) -> Selection, called once per fold without the fold's examples.
      candidates: scores of the N examples.
      labels: int8 [N, A].
      subjects: text [N] (see `metrics.subject_numbers`); each is wholly in one fold, drawn with a
        fixed seed.
      folds: fewer where there are fewer subjects.

    Returns:
      probabilities float32 [N, A] and thresholds float64 [N, A], pooled over the folds, as
      `metrics.summary` takes them.

    Raises:
      UserError: there are not two subjects.
    """
    subject = metrics.subject_numbers(subjects, len(labels))
    number = int(subject.max(initial=-1)) + 1
    if number < 2:
        raise UserError(
            f"an honest selection needs examples of at least 2 subjects, and the split has {number}"
        )
    fold = np.random.default_rng(_FOLD_SEED).permutation(number)[subject] % folds
    probabilities = np.zeros(labels.shape, np.float32)
    thresholds = np.zeros(labels.shape)
    for number in np.unique(fold):
        held_out = np.equal(fold, number)
        chosen = choose([c.rows(~held_out) for c in candidates], labels[~held_out])
        votes = member_logits(chosen, [c.rows(held_out) for c in candidates])
        probabilities[held_out] = apply(chosen, votes)
        thresholds[held_out] = chosen.thresholds
    return probabilities, thresholds
