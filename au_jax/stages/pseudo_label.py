"""Pseudo-labels for self-training: a teacher labels a split.

Werner, Saxen and Al-Hamadi (Magdeburg, EmotioNet 2020), section 2: hard labels for all AUs. That
labels are hard is our decision, as the paper does not say; the probabilities are kept beside them.
"""

import dataclasses
from collections.abc import Callable
from typing import Self

import jax
import numpy as np

from au_jax import log
from au_jax.allowed import Name
from au_jax.data.split_name import Split
from au_jax.ensemble.member_scores import say_of_split
from au_jax.files import atomic_files
from au_jax.metrics import decide
from au_jax.stages.base import Stage, StageContext


@dataclasses.dataclass(frozen=True)
class PseudoLabel(Stage):
    """The labels that a teacher gives to every record of a split.

    It writes labels/SPLIT.npz: keys str [N], aus str [A], labels int8 [N, A], probabilities
    float32 [N, A].

    Attributes:
      teacher: the train stage, whose last epoch labels, or the select stage that labels.
      split: what is labelled.
    """

    teacher: Name
    split: Split

    def renamed(self, rename: Callable[[str], str]) -> Self:
        return dataclasses.replace(self, teacher=rename(self.teacher))

    def run(self, context: StageContext) -> None:
        teacher = context.input(self.teacher)
        selection, scores, probabilities = say_of_split(
            teacher, self.split, context.source, context.mesh, context.threads
        )
        labels = decide(probabilities, selection.thresholds).astype(np.int8)
        if jax.process_index() == 0:
            atomic_files.write_arrays(
                context.folder.labels(self.split),
                {
                    "keys": scores[0].keys,
                    "aus": np.array(selection.aus),
                    "labels": labels,
                    "probabilities": probabilities.astype(np.float32),
                },
            )
        present = zip(selection.aus, labels.mean(0), strict=True)
        log.say(
            f"  {len(labels)} records of {self.split} labelled by {teacher.name}; present: "
            + ", ".join(f"{au} {share:.0%}" for au, share in present)
        )
