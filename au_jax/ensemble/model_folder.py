"""A selection and its networks in one folder that needs no run: written by export, read by load.

The folder holds:

model.json                   the selection, and which network is which of its checkpoints
networks/NAME.safetensors    the variables of a network, see `training.weights_file`
networks/NAME.json           its model card

Nothing in it is pickled, so that a folder from elsewhere can be read without running its content.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from au_jax import __version__, sharding
from au_jax.ensemble import selection
from au_jax.ensemble.selection import Member, Selection
from au_jax.errors import UserError
from au_jax.files import atomic_files
from au_jax.methods.base import Method, Variables
from au_jax.training import weights_file
from au_jax.training.model_card import ModelCard, kept_shapes

# Of the files; a reader refuses one above its own.
FORMAT = 1
_AGAIN = weights_file.AGAIN
Checkpoint = tuple[str, str, int]  # run, stage, epoch


def checkpoint(member: Member) -> Checkpoint:
    """The checkpoint of a member, which others may share through other test crops or windows."""
    return member.run, member.stage, member.epoch


def names_of(members: Sequence[Member]) -> dict[Checkpoint, str]:
    """A file name for each checkpoint: [RUN-]STAGE@EPOCH; each stage has a name of its own."""
    stages: dict[tuple[str, str], str] = {}
    for member in members:
        run = [part for part in Path(member.run).parts if part not in ("..", ".", "/")]
        name = "-".join([*run, member.stage])
        while (member.run, member.stage) not in stages:
            if name not in stages.values():
                stages[member.run, member.stage] = name
            name += "_"  # as of ../a and ../../a
    return {checkpoint(m): f"{stages[m.run, m.stage]}@{m.epoch}" for m in members}


def weights(folder: Path, name: str) -> Path:
    """Where the variables of a network lie."""
    return folder / "networks" / f"{name}.safetensors"


def card(folder: Path, name: str) -> Path:
    """Where the model card of a network lies."""
    return folder / "networks" / f"{name}.json"


def is_one(folder: Path) -> bool:
    """Whether a folder was exported for `au_jax.load`."""
    return _index(folder).exists()


def _index(folder: Path) -> Path:
    return folder / "model.json"


def write_selection(folder: Path, chosen: Selection) -> None:
    """Writes model.json.

    Raises:
      UserError: the folder cannot be written.
    """
    networks = {
        name: dict(zip(("run", "stage", "epoch"), key, strict=True))
        for key, name in names_of(chosen.members).items()
    }
    content = {
        "format": FORMAT,
        "version": __version__,
        "selection": selection.to_json(chosen),
        "networks": networks,
    }
    atomic_files.write_json(_index(folder), content)


@dataclasses.dataclass(frozen=True)
class ModelFolder:
    """A folder that was exported for `au_jax.load`: the `Networks` of its selection.

    Attributes:
      path: the folder.
      selection: with its smoothing; all its members vote.
      names: the network of each checkpoint.
    """

    path: Path
    selection: Selection
    names: Mapping[Checkpoint, str]

    @classmethod
    def read(cls, path: Path) -> "ModelFolder":
        """Opens a folder; its networks are read when they are asked for.

        Raises:
          UserError: model.json is missing, damaged, or of a newer version than this package.
        """
        index = _index(path)
        content = atomic_files.read_json(index, Any, _AGAIN)
        number = content.get("format") if isinstance(content, dict) else None
        if not isinstance(number, int):
            raise UserError(f"{index} names no format; it is not of an exported folder")
        if number > FORMAT:
            raise UserError(
                f"{index} has format {number} of au_jax {content.get('version')}, and au_jax "
                f"{__version__} reads formats up to {FORMAT}; install a newer au_jax"
            )
        try:
            names = {
                (of["run"], of["stage"], of["epoch"]): name
                for name, of in content["networks"].items()
            }
            chosen = content["selection"]
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{index} is damaged ({error}); {_AGAIN}") from error
        return cls(path, selection.from_json(chosen, where=str(index)), names)

    def _name(self, member: Member) -> str:
        name = self.names.get(checkpoint(member))
        # A folder from elsewhere names no file outside itself.
        if name is None or Path(name).name != name:
            raise UserError(f"{_index(self.path)} names no network of {member}; {_AGAIN}")
        return name

    def card(self, member: Member) -> ModelCard:
        """See `predictor.Networks`."""
        return ModelCard.from_file(card(self.path, self._name(member)), _AGAIN)

    def variables(self, members: Sequence[Member], method: Method, mesh: Mesh) -> list[Variables]:
        """See `predictor.Networks`."""
        shapes = kept_shapes(method)
        files = [weights(self.path, self._name(member)) for member in members]
        whole = sharding.replicated(mesh)
        return [jax.device_put(weights_file.read(file, shapes), whole) for file in files]
