"""A trained network as its stage keeps it: its weights, and what is needed to use them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from au_jax import __version__, allowed, methods
from au_jax.errors import UserError
from au_jax.files import atomic_files
from au_jax.methods.base import Context, Method, Variables
from au_jax.run_dir import StageFolder
from au_jax.training.checkpoint import Checkpoints

# Options by the names that cards of version 0.1.0 may have.
_RENAMED = {
    "recot": {"noisy_weight": "lambda_n", "consistency_weight": "lambda_cons"},
    "mlcr": {"multi_view_weight": "lambda_mv", "co_regularization_weight": "lambda_cr"},
    "multi_view": {"multi_view_weight": "lambda_mv", "co_regularization_weight": "lambda_cr"},
}


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """What is needed beside the weights to use a checkpoint: model_card.json of a train stage.

    Attributes:
      method, options, context: what `methods.create` makes the method of; the options are
        JSON-able.
      crop: the stored crop that the network reads. crop_size: its pixels.
      data: the data set that it was trained on.
      version: of this package.
    """

    method: str
    options: dict[str, Any]
    context: Context
    crop: str
    crop_size: int
    data: str
    version: str = __version__

    @property
    def aus(self) -> tuple[str, ...]:
        """The AUs that the network tells, in order."""
        return self.context.aus

    @property
    def image_size(self) -> int:
        """Pixels of the side of the network's square input."""
        return self.context.image_size

    def create(self) -> Method:
        return methods.create(self.method, self.context, self.options)

    def write(self, folder: StageFolder) -> None:
        self.to_file(folder.model_card)

    def to_file(self, path: Path) -> None:
        atomic_files.write_json(path, dataclasses.asdict(self))

    @classmethod
    def read(cls, folder: StageFolder) -> "ModelCard":
        """The card of a train stage; see `from_file`."""
        return cls.from_file(folder.model_card)

    @classmethod
    def from_file(cls, path: Path, mend: str = "") -> "ModelCard":
        """The card in a file; fields that an older version did not write have their defaults.

        Args:
          mend: see `atomic_files.read_json`.

        Raises:
          UserError: the file is missing, not JSON, or does not have the fields of a card.
        """
        values = atomic_files.read_json(path, Any, mend)
        try:
            renamed = _RENAMED.get(values["method"], {})
            options = {renamed.get(name, name): v for name, v in values["options"].items()}
            context = Context.from_json(values["context"])
            card = cls(**{**values, "options": options, "context": context})
            fault = allowed.fault(card, cls)
            if fault:
                raise ValueError(fault)
            return card
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            reason = str(error).partition("\n")[0][:200]
            if isinstance(error, KeyError):
                reason = f"it lacks the field {reason}"
            version = values.get("version") if isinstance(values, dict) else "unknown"
            raise UserError(
                f"{path} is no model card that au_jax {__version__} can read ({reason}); it was "
                f"written by version {version}, use that one or train the network again"
            ) from error


def last_epoch(folder: StageFolder) -> int:
    """The number of the last epoch of a finished train stage, whose network is kept.

    Raises:
      UserError: the stage's card cannot be read, or that network is not there any more.
    """
    last = ModelCard.read(folder).context.epochs
    if last not in folder.epochs():
        raise UserError(
            f"{folder.model} lacks the checkpoint of the last epoch, {last} (kept: "
            f"{', '.join(map(str, folder.epochs())) or 'none'}); restore it, or delete the stage's "
            "folder to train it again"
        )
    return last


def kept_shapes(method: Method) -> Variables:
    """The shapes of the variables that are kept of a method, and that its `predict` takes."""
    return jax.eval_shape(lambda key: method.kept(*method.init(key)), jax.random.PRNGKey(0))


def restore(folder: StageFolder, method: Method, epoch: int, mesh: Mesh) -> Variables:
    """The variables that `method.predict` takes, of one kept epoch, on every device.

    Raises:
      UserError: the epoch's checkpoint is not there, damaged, or of another model.
    """
    return restore_all(folder, method, [epoch], mesh)[0]


def restore_all(
    folder: StageFolder, method: Method, epochs: Sequence[int], mesh: Mesh
) -> list[Variables]:
    """What `restore` returns, of several epochs."""
    for epoch in epochs:
        if epoch not in folder.epochs():
            raise UserError(
                f"{folder.model} has no checkpoint of epoch {epoch} (kept: "
                f"{', '.join(map(str, folder.epochs())) or 'none'})"
            )
    shapes = kept_shapes(method)
    with Checkpoints.of_models(folder.model) as checkpoints:
        return [checkpoints.restore_on(epoch, shapes, mesh) for epoch in epochs]
