"""Dependence of AU labels on each other, counted in the training labels (for MLCR).

Niu et al., "Multi-Label Co-Regularization for Semi-Supervised Facial Action Unit Recognition"
(NeurIPS 2019, https://arxiv.org/abs/1910.11012).
"""

import numpy as np


def dependencies(labels: np.ndarray) -> np.ndarray:
    """How much likelier each AU (row) is where another (column) is present than where it is absent.

    R_ij = P(i present | j present) - P(i present | j absent), counted over the records that know
    both (ours). So read from the numbers that MLCR's code was released with, as what computes them
    was not: R_ii is 1, and in the file for BP4D R_ij / R_ji is one number of AU i over that of AU
    j, as the variances of their labels are. In the file for EmotioNet, some of whose labels are
    unknown, it is not, and we do not know how those were counted.

    Args:
      labels: float [N, A], the probability that the AU is present; negative or NaN where it is not
        known.

    Returns:
      float64 [A, A] in [-1, 1], 1 on the diagonal; 0 beside it where no record that knows both AUs
      has AU j, or all of them have it.
    """
    known = (labels >= 0).astype(np.float64)
    present = np.where(known, labels, 0.0)
    absent = known - present
    given = [_ratio(present.T @ condition, known.T @ condition) for condition in (present, absent)]
    both = np.nan_to_num(given[0] - given[1])
    np.fill_diagonal(both, 1.0)
    return both


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Their quotient; NaN where the whole is 0."""
    return np.divide(part, whole, where=whole > 0, out=np.full(whole.shape, np.nan))
