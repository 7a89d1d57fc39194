"""The weights of an ensemble's members for each AU: their mean, the best one, a linear model."""

from collections.abc import Iterable

import numpy as np

from au_jax.ensemble.scores_per_au import score_per_au

COMBINATIONS = ("mean", "best", "linear")
# TAL's alpha of batch balancing (section 2.3). The rule that it belongs to is documented with
# `losses.balanced_mask`, whose callers take alpha from their configs.
_BALANCE = 0.2


def mean_of_members(knows: np.ndarray) -> np.ndarray:
    """The weights, float64 [M, A], of the mean over the members that know each AU.

    Args:
      knows: bool [M, A], whether each member predicts each AU.
    """
    return knows / np.maximum(knows.sum(0), 1)


def best_member_per_au(
    probabilities: Iterable[np.ndarray],
    labels: np.ndarray,
    knows: np.ndarray,
    score: str = "f1",
    threshold_rule: str = "default",
) -> np.ndarray:
    """The weights that leave each AU to the member that scores best on it (ABAW3, section 4.4).

    Args:
      probabilities: float [N, A] of each member; anything where it does not know the AU.
      labels: int8 [N, A].
      knows: bool [M, A].
      score, threshold_rule: as in `best_epoch_per_au`.

    Returns:
      float64 [M, A], 1 for the best member of an AU, the first of several equal ones. An AU without
      positives gets the weights of `mean_of_members`.

    Raises:
      UserError: `score` or `threshold_rule` is unknown.
    """
    scores = score_per_au(probabilities, labels, score, threshold_rule)
    undefined = np.isnan(scores).all(0)
    best = np.argmax(np.where(knows, np.nan_to_num(scores, nan=-1.0), -2), 0)
    weights = (np.arange(len(knows))[:, None] == best) & knows
    return np.where(undefined, mean_of_members(knows), weights.astype(np.float64))


def linear_per_au(
    logits: np.ndarray, labels: np.ndarray, knows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A logistic regression on the members' logits for each AU (ours for TAL's "linear model").

    It has scikit-learn's defaults: an L2 penalty with C = 1, and a bias that is not penalised.
    Negatives count as in TAL's batch balancing, by which the members were trained (section 2.3,
    alpha 0.2). The ensemble then decides at 0.5 as its members do, and does not call every rare AU
    absent.

    Args:
      logits: float [M, N, A].
      labels: int8 [N, A].
      knows: bool [M, A].

    Returns:
      weights float64 [M, A] and bias float64 [A], for the link "logit". An AU whose known labels
      are all of one class gets the mean of the logits.
    """
    # The import takes seconds, and few selections need it.
    from sklearn.linear_model import LogisticRegression

    weights = mean_of_members(knows)
    bias = np.zeros(labels.shape[1])
    for a in range(labels.shape[1]):
        labelled, members = labels[:, a] >= 0, knows[:, a]
        truth = labels[labelled, a]
        if members.any() and len(np.unique(truth)) == 2:
            inputs = logits[members][:, labelled, a].T.astype(np.float64)
            negatives = (truth == 0).sum()
            weight = _BALANCE if _BALANCE * negatives > len(truth) - negatives else 1.0
            balanced = LogisticRegression(max_iter=1000, class_weight={0: weight, 1: 1.0})
            model = balanced.fit(inputs, truth)
            weights[members, a], bias[a] = model.coef_[0], model.intercept_[0]
    return weights, bias
