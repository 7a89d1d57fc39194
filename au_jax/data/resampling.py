"""Resampling of imbalanced labels: which rows a stream repeats or leaves out (ML-ROS, ABAW3).

Both rules are pure functions of the labels and a seed. A positive is a known present AU: unknown
labels are none, and an AU without positives takes no part.
"""

from collections.abc import Callable, Sequence

import numpy as np

from au_jax import aus as au_names
from au_jax.errors import UserError, unknown

RULES = ("ml_ros", "bal")
# The ablation study of ABAW3 (2022), section 4.3.
OVERSAMPLED = ("AU02", "AU15", "AU23", "AU24", "AU26")
DOWNSAMPLED = ("AU01", "AU04", "AU06", "AU07", "AU10", "AU12", "AU25")


def resampled_rows(
    rule: str, labels: np.ndarray, aus: Sequence[str], percent: float, seed: int
) -> np.ndarray:
    """The rows that remain of N records, and then those that stand there once more.

    Args:
      rule: one of `RULES`.
      labels: int8 [N, A] over `aus`.
      percent: of the N rows, how many at most are cloned, and by "bal" left out.
      seed: what the draws follow from.

    Returns:
      int64, ascending, then the clones in the order in which they were drawn.

    Raises:
      UserError: `rule` is unknown, `percent` is negative, or "bal" knows none of the AUs.
    """
    if rule not in RULES:
        raise unknown("resample", rule, RULES)
    if not percent >= 0:
        raise UserError(f"resample_percent is {percent}; give 0 or more per cent of the rows")
    if rule == "ml_ros":
        return ml_ros(labels, percent, seed)
    return paper_balance(labels, aus, percent, seed)


def ml_ros(labels: np.ndarray, percent: float, seed: int) -> np.ndarray:
    """ML-ROS: clones of rows with a minority AU, drawn in turns.

    IRLbl(l) = max n(l') / n(l), n being positives, and an AU is a minority while IRLbl > MeanIR,
    the mean IRLbl. Each minority AU has a bag of the rows that show it; the bags take turns, one
    clone of a random member each, until `percent` of the rows are cloned or no bag is left. A bag
    leaves once its IRLbl, counted with the clones, is at most MeanIR. Source: Charte et al.,
    "Addressing imbalance in multilabel classification" (Neurocomputing 163, 2015), section 4.
    MeanIR stays that of the start, and the last turn ends at exactly the number of clones (ours).

    Args:
      labels: int8 [N, A]. percent, seed: as in `resampled_rows`.

    Returns:
      As `resampled_rows`; all N rows remain.
    """
    present = labels == au_names.PRESENT
    counts = present.sum(0)
    shown = counts > 0
    mean_ir = (counts.max(initial=0) / counts[shown]).mean() if shown.any() else 0.0

    def balanced(counts: np.ndarray, a: int) -> bool:
        return counts.max() / counts[a] <= mean_ir

    minority = [a for a in np.flatnonzero(shown).tolist() if not balanced(counts, a)]
    clones = _clones(present, minority, _budget(labels, percent), balanced, seed)
    return np.concatenate([np.arange(len(labels)), clones])


def paper_balance(labels: np.ndarray, aus: Sequence[str], percent: float, seed: int) -> np.ndarray:
    """ABAW3's data balance: some AUs are oversampled and others downsampled (section 4.3).

    The paper names the AUs and nothing else; the rest is ours. All move towards the mean number of
    positives per AU before, and as in ML-ROS the AUs take turns. Rows that show an oversampled AU
    are cloned while that AU is below the mean. Then rows that show a downsampled AU, and no
    oversampled one, are left out while that AU is above the mean, counted with the clones.

    Args:
      labels: int8 [N, A] over `aus`. percent, seed: as in `resampled_rows`.

    Returns:
      As `resampled_rows`.

    Raises:
      UserError: none of the AUs is oversampled or downsampled.
    """
    over, down = (
        [a for a, au in enumerate(aus) if au in listed] for listed in (OVERSAMPLED, DOWNSAMPLED)
    )
    if not over and not down:
        raise UserError(
            f"resample 'bal' is for {', '.join(sorted(OVERSAMPLED + DOWNSAMPLED))}, and the stage "
            f"learns {', '.join(aus)}; take 'ml_ros'"
        )
    present = labels == au_names.PRESENT
    counts = present.sum(0)
    mean = counts[counts > 0].mean() if counts.any() else 0.0
    budget = _budget(labels, percent)
    rare = [a for a in over if 0 < counts[a] < mean]
    clones = _clones(present, rare, budget, lambda counts, a: counts[a] >= mean, seed)
    counts = counts + present[clones].sum(0)
    left_out = _left_out(present, over, down, counts, mean, budget, seed)
    return np.concatenate([np.setdiff1d(np.arange(len(labels)), left_out), clones])


def _budget(labels: np.ndarray, percent: float) -> int:
    return int(len(labels) * percent / 100)


def _clones(
    present: np.ndarray,
    bags: Sequence[int],
    budget: int,
    balanced: Callable[[np.ndarray, int], bool],
    seed: int,
) -> np.ndarray:
    """Rows to repeat, drawn from the bags in turns.

    Args:
      present: bool [N, A].
      bags: the AUs, positions, whose rows are drawn from.
      budget: the number of clones at most.
      balanced: (positives [A] with the clones, AU) -> whether the AU's bag leaves.
    """
    random = np.random.default_rng((seed, 0))
    members = {a: np.flatnonzero(present[:, a]) for a in bags}
    counts = present.sum(0)
    clones: list[int] = []
    bags = list(bags)
    while bags and len(clones) < budget:
        for a in list(bags)[: budget - len(clones)]:
            row = members[a][random.integers(len(members[a]))]
            clones.append(row)
            counts += present[row]
            if balanced(counts, a):
                bags.remove(a)
    return np.array(clones, np.int64)


def _left_out(
    present: np.ndarray,
    over: Sequence[int],
    down: Sequence[int],
    counts: np.ndarray,
    mean: float,
    budget: int,
    seed: int,
) -> np.ndarray:
    """Rows to leave out: of the AUs `down` in turns, never one that shows an AU of `over`."""
    free = ~present[:, over].any(1)
    random = np.random.default_rng((seed, 1))
    waiting = {a: random.permutation(np.flatnonzero(present[:, a] & free)).tolist() for a in down}
    counts = counts.copy()
    left_out: set[int] = set()
    while waiting and len(left_out) < budget:
        for a in list(waiting):
            while waiting[a] and waiting[a][-1] in left_out:
                waiting[a].pop()
            if counts[a] <= mean or not waiting[a]:
                del waiting[a]
            elif len(left_out) < budget:
                row = waiting[a].pop()
                left_out.add(row)
                counts -= present[row]
    return np.array(sorted(left_out), np.int64)
