"""The interface of a stage: what it is told, what it may read, how it runs and keeps scores."""

import abc
import dataclasses
from collections.abc import Callable, Sequence
from typing import Self

import jax
import numpy as np
from jax.sharding import Mesh

from au_jax.data.datasets import Truth
from au_jax.data.sources import Source
from au_jax.run_dir import RunFolder, StageFolder
from au_jax.training.checkpoint import ONLY_EPOCH
from au_jax.training.scoring import with_labels


@dataclasses.dataclass(frozen=True)
class StageContext:
    """What a run gives to one of its stages.

    Attributes:
      folder: where the stage writes.
      seed: of the run, to which a stage adds its own.
      data: the name of the data set that splits are of unless they name another.
      source: (split, crop) -> the records, in the stage's fold.
      truth: split -> the true labels where those beside noisy ones are known, else None.
      input: the name of an earlier stage -> its finished folder. Raises UserError where there is
        none.
      voters: the names of stages -> their finished folders, with the run of each, in every run
        that votes.
      mesh: the devices.
      threads: how many read and decode images.
      keep: every so-manieth epoch's model is kept, and the last one's.
    """

    folder: StageFolder
    seed: int
    data: str
    source: Callable[[str, str], Source]
    truth: Callable[[str], Truth | None]
    input: Callable[[str], StageFolder]
    voters: Callable[[Sequence[str]], list[tuple[RunFolder, StageFolder]]]
    mesh: Mesh
    threads: int
    keep: int


class Stage(abc.ABC):
    """One named step of a recipe: a frozen dataclass whose fields are those of its config."""

    def renamed(self, rename: Callable[[str], str]) -> Self:
        """The same stage, the names of the stages that it reads put through `rename`."""
        del rename  # most read none
        return self

    def check_network(self, devices: int, drawn: bool) -> None:
        """Finds from shapes alone what no network can be made of, before any data are opened.

        Args:
          devices: how many there are.
          drawn: whether the data set is drawn faces, which have all AUs.

        Raises:
          UserError: there is no such network.
        """
        del devices, drawn  # most have none

    def check(self, context: StageContext) -> None:
        """Finds what the stage cannot work with before the first stage of the run begins.

        Raises:
          UserError: there is such a thing.
        """
        del context  # most find it when they run

    @abc.abstractmethod
    def run(self, context: StageContext) -> None:
        """Does the work, or goes on with it where an earlier process was killed."""


def score_once(
    context: StageContext,
    splits: Sequence[str],
    crop: str,
    logits_of: Callable[[Source], tuple[np.ndarray, tuple[str, ...]]],
) -> None:
    """Scores splits by what is not trained in epochs, and writes scores/SPLIT/1.npz for each.

    Where there are several processes, the first one does so.

    Args:
      splits: one that is named twice is scored once.
      crop: of the source that `logits_of` is given.
      logits_of: gives a split's logits, float [N, A], and the names of its A AUs.
    """
    if jax.process_index() != 0:
        return
    for split in dict.fromkeys(splits):
        source = context.source(split, crop)
        logits, names = logits_of(source)
        context.folder.write_scores(source.name, ONLY_EPOCH, with_labels(logits, source, names))
