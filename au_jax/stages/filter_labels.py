"""Noisy-label filtering: of a split's given labels, those that a trained model confirms.

Wang et al. (TAL, EmotioNet 2020), section 2.1: data set C. The paper gives neither the confidence
threshold nor what becomes of an image of which only some labels pass; our decision is that the
labels that fail become unknown.
"""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Self

import jax
import numpy as np

from au_jax import aus, log
from au_jax.allowed import Name, Range
from au_jax.data.split_name import Split
from au_jax.ensemble.member_scores import say_of_split
from au_jax.errors import UserError
from au_jax.files import atomic_files
from au_jax.metrics import DEFAULT_THRESHOLD, decide
from au_jax.stages.base import Stage, StageContext


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


@dataclasses.dataclass(frozen=True)
class FilterLabels(Stage):
    """The labels of a split that a teacher confirms.

    It writes labels/SPLIT.npz with only the N images that have a label left: keys str [N],
    aus str [A], labels int8 [N, A], probabilities float32 [N, A].

    Attributes:
      teacher: the train stage, whose last epoch decides, or the select stage that decides.
      split: whose labels are filtered.
      threshold: the least confidence max(p, 1 - p), from 0.5 to below 1; the paper gives no value.
    """

    teacher: Name
    split: Split
    threshold: Annotated[float, Range(ge=0.5, lt=1)] = 0.9

    def renamed(self, rename: Callable[[str], str]) -> Self:
        return dataclasses.replace(self, teacher=rename(self.teacher))

    def run(self, context: StageContext) -> None:
        """Filters the labels.

        Raises:
          UserError: `threshold` is not in [0.5, 1), or no label passes it.
        """
        stage = context.folder.name
        if not 0.5 <= self.threshold < 1:
            raise UserError(
                f"threshold {self.threshold} of stage {stage} is not a confidence; give a number "
                "from 0.5 to below 1"
            )
        teacher = context.input(self.teacher)
        selection, scores, probabilities = say_of_split(
            teacher, self.split, context.source, context.mesh, context.threads
        )
        given = np.full(probabilities.shape, aus.UNKNOWN, np.int8)
        for member in scores:  # each knows the labels of its own AUs
            given = np.maximum(given, aus.align(member.labels, member.aus.tolist(), selection.aus))
        labels = filtered(given, probabilities, self.threshold, selection.thresholds)
        left = (labels != aus.UNKNOWN).any(1)
        if not left.any():
            raise UserError(
                f"no label of split '{self.split}' is confirmed by {teacher.name} with a "
                f"confidence above {self.threshold}; lower the threshold of stage {stage}"
            )
        if jax.process_index() == 0:
            atomic_files.write_arrays(
                context.folder.labels(self.split),
                {
                    "keys": scores[0].keys[left],
                    "aus": np.array(selection.aus),
                    "labels": labels[left],
                    "probabilities": probabilities[left].astype(np.float32),
                },
            )
        before, after = (known.sum(0) for known in (given != aus.UNKNOWN, labels != aus.UNKNOWN))
        counts = zip(selection.aus, after, before, strict=True)
        log.say(
            f"  {left.sum()} of {len(left)} images and {after.sum()} of {before.sum()} labels of "
            f"{self.split} confirmed by {teacher.name} above {self.threshold}: "
            + ", ".join(f"{au} {kept} of {all_}" for au, kept, all_ in counts)
        )
