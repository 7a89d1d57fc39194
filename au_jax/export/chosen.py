"""The checkpoints that are exported: those of a selection's members, each once, restored."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import jax

from au_jax import sharding
from au_jax.ensemble import selection
from au_jax.ensemble.member_scores import read_selection
from au_jax.ensemble.model_folder import checkpoint, names_of
from au_jax.ensemble.predictor import RunNetworks, predicting_stage, without_unused
from au_jax.ensemble.selection import Member, Selection
from au_jax.errors import UserError
from au_jax.methods.base import Variables
from au_jax.run_dir import RunFolder
from au_jax.training.model_card import ModelCard, last_epoch


class NoForm(UserError):
    """A network has no form of some format, and the export may go on without that format."""


@dataclasses.dataclass(frozen=True)
class Network:
    """One checkpoint.

    Attributes:
      name: what its files are called.
      members: of the selection, that are this checkpoint through some test crops and window.
      card: of its stage.
      variables: what the method's `predict` takes, NumPy arrays.
    """

    name: str
    members: tuple[Member, ...]
    card: ModelCard
    variables: Variables

    @property
    def reads_pose(self) -> bool:
        """Whether the network takes the head's pose beside the image."""
        return self.card.context.network.pose_branch

    @property
    def crops(self) -> tuple[str, ...]:
        """The choices of test crops that its members see images through."""
        return tuple(sorted({member.crops for member in self.members}))


@dataclasses.dataclass(frozen=True)
class Chosen:
    """What is exported of a run.

    Attributes:
      selection: the voting members alone; of a pretraining, which tells no AUs, one on no AU.
      stage: the name of the stage whose selection it is.
      networks: its checkpoints.
    """

    selection: Selection
    stage: str
    networks: tuple[Network, ...]


def choose(run: Path, stage: str | None) -> Chosen:
    """Restores what is exported of a run.

    Args:
      stage: whose networks: all members of a selection, or the last epoch of a training, of a
        pretraining, too. By default the stage that `au_jax.load` takes.

    Raises:
      UserError: the run has no such stage, or a checkpoint cannot be read.
    """
    folder = RunFolder(run)
    name = stage or predicting_stage(folder, None).name
    named = folder.stage(name)
    if named.done and named.model_card.exists() and not ModelCard.read(named).aus:
        chosen = selection.of_one(Member(".", name, last_epoch(named)), ())
    else:
        chosen = without_unused(read_selection(predicting_stage(folder, name)))
    return Chosen(chosen, name, tuple(_networks(run, chosen)))


def _networks(run: Path, chosen: Selection) -> Iterator[Network]:
    kept, mesh = RunNetworks(run), sharding.make_mesh(1)
    names = names_of(chosen.members)
    for key, name in names.items():
        members = tuple(member for member in chosen.members if checkpoint(member) == key)
        card = kept.card(members[0])
        (variables,) = kept.variables(members[:1], card.create(), mesh)
        yield Network(name, members, card, jax.device_get(variables))
