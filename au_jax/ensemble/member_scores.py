"""Scores of the members of a selection: those that are kept are read, others computed and kept."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
from jax.sharding import Mesh

from au_jax import log, run_dir, sharding
from au_jax.data.sources import Source
from au_jax.ensemble import selection
from au_jax.ensemble.selection import Member, Selection
from au_jax.ensemble.tta import through_crops
from au_jax.run_dir import RunFolder, Scores, StageFolder
from au_jax.training.model_card import ModelCard, restore
from au_jax.training.scoring import make_scorer, with_labels

OpenSource = Callable[[str, str], Source]  # (split, crop) -> its records
_SCORE_BATCH = 64


def read_selection(folder: StageFolder) -> Selection:
    """A select stage's selection; of a train stage, its last epoch alone."""
    if folder.selection.exists():
        return selection.from_json(run_dir.read_json(folder.selection), where=str(folder.selection))
    about = ModelCard.read(folder)
    return selection.of_one(Member(".", folder.name, folder.epochs()[-1]), about.aus)


@dataclasses.dataclass(frozen=True)
class Scoring:
    """Scores of checkpoints on splits: those that are kept are read, others computed and kept.

    Attributes:
      workdir: the run's folder that the members' runs are relative to.
    """

    workdir: Path
    source: OpenSource
    mesh: Mesh
    threads: int

    def of_members(self, chosen: Selection, split: str) -> list[Scores]:
        """The scores of every member of a selection, in order."""
        epochs: dict[Member, list[int]] = {}
        for member in chosen.members:
            epochs.setdefault(dataclasses.replace(member, epoch=0), []).append(member.epoch)
        found = {
            dataclasses.replace(stage, epoch=epoch): scores
            for stage, own in epochs.items()
            for epoch, scores in zip(own, self.of_epochs(stage, own, split), strict=True)
        }
        return [found[member] for member in chosen.members]

    def of_epochs(self, member: Member, epochs: Sequence[int], split: str) -> list[Scores]:
        """The scores of several epochs of one stage, through the member's crops."""
        folder = RunFolder(self.workdir / member.run).stage(member.stage)
        missing = [e for e in epochs if not folder.scores(split, e, member.crops).exists()]
        if missing:
            about = ModelCard.read(folder)
            method = about.create()
            seen = through_crops(method, about.image_size, member.crops)
            score = make_scorer(seen, self.mesh, _SCORE_BATCH, self.threads)
            records = self.source(split, about.crop)
            for epoch in missing:
                log.say(f"  scoring {dataclasses.replace(member, epoch=epoch).name} on {split}")
                variables = restore(folder, method, epoch, self.mesh)
                computed = with_labels(score(variables, records), records, method.aus)
                if jax.process_index() == 0:
                    folder.write_scores(split, epoch, computed, member.crops)
            sharding.barrier("scores are kept")
        return [folder.read_scores(split, e, member.crops) for e in epochs]
