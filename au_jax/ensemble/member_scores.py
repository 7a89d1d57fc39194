"""Scores of the members of a selection: those that are kept are read, others computed and kept."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from au_jax import log, sharding
from au_jax.data.sources import Source
from au_jax.ensemble import selection
from au_jax.ensemble.selection import Member, Selection
from au_jax.ensemble.smoothing import sequences, smoothed
from au_jax.ensemble.tta import through_crops
from au_jax.errors import UserError
from au_jax.files import atomic_files
from au_jax.methods.base import Method
from au_jax.run_dir import RunFolder, Scores, StageFolder
from au_jax.training.model_card import ModelCard, last_epoch, restore
from au_jax.training.scoring import Scorer, make_scorer, with_labels

OpenSource = Callable[[str, str], Source]  # (split, crop) -> its records
_SCORE_BATCH = 64


def read_selection(folder: StageFolder) -> Selection:
    """The selection of a finished stage.

    Args:
      folder: of a select stage, or of a train stage, whose selection is its last epoch alone.

    Raises:
      UserError: the stage's files are missing or damaged.
    """
    if folder.selection.exists():
        return selection.from_json(
            atomic_files.read_json(folder.selection, Any), where=str(folder.selection)
        )
    card = ModelCard.read(folder)
    return selection.of_one(Member(".", folder.name, last_epoch(folder)), card.aus)


@dataclasses.dataclass(frozen=True)
class Scoring:
    """What scores checkpoints on splits, unless their scores are kept already.

    Attributes:
      workdir: the run's folder that the members' runs are relative to.
      source: opens the records of a split, as a stored crop shows them.
      mesh: the devices to score on.
      threads: the number of threads that read and decode images.
    """

    workdir: Path
    source: OpenSource
    mesh: Mesh
    threads: int
    _networks: dict[Member, tuple[Method, str, Scorer]] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def of_members(self, chosen: Selection, split: str) -> list[Scores]:
        """The scores of every member of a selection on a split, in the members' order."""
        for member in chosen.members:
            self._keep_missing(member, split)
        return kept_scores(self.workdir, chosen, split)

    def of_member(self, member: Member, split: str) -> Scores:
        """The scores of a member on a split, smoothed as it says.

        Raises:
          UserError: the checkpoint of an epoch without kept scores is missing or damaged.
        """
        self._keep_missing(member, split)
        return _of_member(self.workdir, member, split)

    def _keep_missing(self, member: Member, split: str) -> None:
        """Computes and keeps the scores of a member on a split unless they are kept already."""
        folder = RunFolder(self.workdir / member.run).stage(member.stage)
        if folder.scores(split, member.epoch, member.crops).exists():
            return
        method, crop, score = self._network(folder, member)
        log.say(f"  scoring {dataclasses.replace(member, window=1)} on {split}")
        variables = restore(folder, method, member.epoch, self.mesh)
        records = self.source(split, crop)
        scores = with_labels(score(variables, records), records, method.aus)
        if jax.process_index() == 0:
            folder.write_scores(split, member.epoch, scores, member.crops)
        sharding.barrier("scores are kept")

    def _network(self, folder: StageFolder, member: Member) -> tuple[Method, str, Scorer]:
        """The method of a member's stage, the stored crop that it reads, and its scorer.

        The scorer is compiled once for all epochs and splits.
        """
        network = dataclasses.replace(member, epoch=0, window=1)
        if network not in self._networks:
            card = ModelCard.read(folder)
            method = card.create()
            with_crops = through_crops(method, card.image_size, member.crops)
            score = make_scorer(with_crops, self.mesh, _SCORE_BATCH, self.threads)
            self._networks[network] = method, card.crop, score
        return self._networks[network]


def kept_scores(workdir: Path, chosen: Selection, split: str) -> list[Scores]:
    """The kept scores of every member of a selection on a split, smoothed as the member says.

    Args:
      workdir: the run's folder that the members' runs are relative to.

    Raises:
      UserError: a member keeps no scores of the split, its file is damaged, or two members
        scored other records.
    """
    scores = [_of_member(workdir, member, split) for member in chosen.members]
    for member, of_member in zip(chosen.members, scores, strict=True):
        if not np.array_equal(of_member.keys, scores[0].keys):
            raise UserError(
                f"{chosen.members[0]} and {member} scored other records of '{split}'; train both "
                "on one data set and split, and select again"
            )
    return scores


def _of_member(workdir: Path, member: Member, split: str) -> Scores:
    folder = RunFolder(workdir / member.run).stage(member.stage)
    scores = folder.read_scores(split, member.epoch, member.crops)
    if member.window == 1:
        return scores
    logits = smoothed(scores.logits, sequences(scores), member.window)
    return dataclasses.replace(scores, logits=logits)


def say_of_split(
    folder: StageFolder, split: str, source: OpenSource, mesh: Mesh, threads: int
) -> tuple[Selection, list[Scores], np.ndarray]:
    """What a trained or selecting stage says of a split.

    Args:
      folder: of a finished train stage, whose last epoch speaks, or of a select stage.
      source: (split, crop) -> the records.

    Returns:
      Its selection, the scores of every member, and probabilities float32 [N, A].
    """
    chosen = read_selection(folder)
    scores = Scoring(folder.path.parent.parent, source, mesh, threads).of_members(chosen, split)
    return chosen, scores, selection.apply(chosen, [(s.aus.tolist(), s.logits) for s in scores])
