"""Similarity transforms of the plane: the turn, scale and shift that lay points on others."""

import numpy as np


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least-squares rotation, uniform scale and shift from `source` to `target` (Umeyama, 1991).

    Args:
      source, target: float [N, 2], N >= 2.

    Returns:
      float64 [2, 3], so that `source @ M[:, :2].T + M[:, 2]` lies nearest `target`; never a mirror
      image. Points that all coincide give a matrix of zero scale.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    from_, to = source.mean(0), target.mean(0)
    a, b = source - from_, target - to
    # For a rotation [[c, -s], [s, c]] times scale, the normal equations part into two sums.
    size = max((a**2).sum(), 1e-12)
    c = (a * b).sum() / size
    s = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / size
    turn = np.array([[c, -s], [s, c]])
    return np.column_stack([turn, to - turn @ from_])
