"""Noisy-label filtering: of a split's own labels, those that a trained model confirms.

Shi et al. (TAL, EmotioNet 2020), section 2.1: dataset C. The paper does not give the confidence
threshold, nor what becomes of an image of which only some labels pass: ours, those that fail become
unknown.
"""

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh

from au_jax import aus, log, run_dir
from au_jax.data.sources import Source
from au_jax.ensemble import selection
from au_jax.ensemble.member_scores import Scoring, read_selection
from au_jax.errors import UserError
from au_jax.metrics import DEFAULT_THRESHOLD, decide
from au_jax.run_dir import StageFolder


def filtered(
    labels: np.ndarray,
    probabilities: np.ndarray,
    threshold: float,
    decision_thresholds: np.ndarray | float = DEFAULT_THRESHOLD,
) -> np.ndarray:
    """The labels int8 [N, A] that the model confirms, the others unknown.

    A label stays where it equals the decision p >= decision_threshold, and the confidence
    max(p, 1 - p) is above `threshold`.

    Args:
      labels: int8 [N, A], the given noisy labels.
      probabilities: float [N, A], the model's.
      threshold: of the confidence.
      decision_thresholds: one number, or one per AU [A].
    """
    agrees = labels == decide(probabilities, decision_thresholds)
    confident = np.maximum(probabilities, 1 - probabilities) > threshold
    return np.where(agrees & confident, labels, aus.UNKNOWN).astype(np.int8)


def filter_labels(
    folder: StageFolder,
    *,
    teacher: StageFolder,
    split: str,
    threshold: float,
    source: Callable[[str, str], Source],
    mesh: Mesh,
    threads: int,
) -> None:
    """Writes labels/SPLIT.npz: keys str [N], aus str [A], labels int8 [N, A], probabilities [N, A].

    Only the N images with a label left are in it.

    Args:
      teacher: a finished train stage (its last epoch decides) or select stage.
      threshold: least confidence, from 0.5 on.
      source: (split, crop) -> the records.

    Raises:
      UserError: `threshold` is not in [0.5, 1), or no label passes it.
    """
    if not 0.5 <= threshold < 1:
        raise UserError(
            f"threshold {threshold} of stage {folder.name} is not a confidence; give a number from "
            "0.5 to below 1"
        )
    chosen = read_selection(teacher)
    workdir = teacher.path.parent.parent
    scores = Scoring(workdir, source, mesh, threads).of_members(chosen, split)
    probabilities = selection.apply(chosen, [(s.aus.tolist(), s.logits) for s in scores])
    noisy = np.full(probabilities.shape, aus.UNKNOWN, np.int8)
    for one in scores:  # Each knows the labels of its own AUs.
        noisy = np.maximum(noisy, aus.align(one.labels, one.aus.tolist(), chosen.aus))
    labels = filtered(noisy, probabilities, threshold, chosen.thresholds)
    left = (labels != aus.UNKNOWN).any(1)
    if not left.any():
        raise UserError(
            f"no label of split '{split}' is confirmed by {teacher.name} with a confidence above "
            f"{threshold}; lower the threshold of stage {folder.name}"
        )
    if jax.process_index() == 0:
        run_dir.write_arrays(
            folder.labels(split),
            {
                "keys": scores[0].keys[left],
                "aus": np.array(chosen.aus),
                "labels": labels[left],
                "probabilities": probabilities[left].astype(np.float32),
            },
        )
    given, kept = (noisy != aus.UNKNOWN).sum(0), (labels != aus.UNKNOWN).sum(0)
    log.say(
        f"  {left.sum()} of {len(left)} images and {kept.sum()} of {given.sum()} labels of {split} "
        f"confirmed by {teacher.name} above {threshold}: "
        + ", ".join(f"{au} {k} of {g}" for au, k, g in zip(chosen.aus, kept, given, strict=True))
    )
