"""Cross-validation over people of what is chosen for an AU: the folds, and what helps others."""

from collections.abc import Callable

import numpy as np

from au_jax import metrics
from au_jax.ensemble.scores_per_au import DECIMALS, SCORES
from au_jax.errors import UserError

FOLDS = 5
_SEED = 0


def folds_of(subjects: np.ndarray, count: int) -> list[np.ndarray]:
    """The examples of each fold, bool [N], people being wholly in one, drawn with a fixed seed.

    Args:
      subjects: int [N].
      count: of the folds; there are fewer where there are fewer subjects.

    Raises:
      UserError: there are not two subjects.
    """
    names, subject = np.unique(subjects, return_inverse=True)
    if len(names) < 2:
        raise UserError(
            "an honest selection needs examples of at least 2 subjects, and the split has "
            f"{len(names)}"
        )
    fold = np.random.default_rng(_SEED).permutation(len(names))[subject] % count
    return [np.equal(fold, number) for number in np.unique(fold)]


def own_is_better(
    own: Callable[[np.ndarray, np.ndarray], np.ndarray],
    common: Callable[[np.ndarray, np.ndarray], np.ndarray],
    labels: np.ndarray,
    subjects: np.ndarray | None,
    score: str,
) -> np.ndarray:
    """The AUs for which a choice of their own, made on some people, scores better on others.

    Each fold of people is decided on by what was chosen on all others, and the decisions of all
    folds are scored together (ours).

    Args:
      own, common: (bool [N] to choose on, bool [N] to decide on) -> decisions bool [rows, A], by a
        choice for each AU and by one for all of them.
      labels: int8 [N, A].
      subjects: whom each example is of, numbers int [N]; None makes each a subject of its own.
      score: one of `SCORES`.

    Returns:
      bool [A].

    Raises:
      UserError: there are not two subjects.
    """
    subjects = metrics.subject_numbers(None, len(labels)) if subjects is None else subjects
    counts = np.zeros((2, labels.shape[1], 4), np.int64)
    for held_out in folds_of(subjects, FOLDS):
        decisions = np.stack([choice(~held_out, held_out) for choice in (own, common)])
        counts += metrics.confusion(decisions, labels[held_out])
    of_own, of_common = np.nan_to_num(SCORES[score](counts)).round(DECIMALS)
    return of_own > of_common
