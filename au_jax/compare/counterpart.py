"""The interface of a method's PyTorch counterpart: its networks and its loss of a drawn batch."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
import torch

PyTree = Any
Drawn = Any
Logs = dict[str, torch.Tensor]
StateDict = dict[str, np.ndarray]


def nothing_begins(method_state: PyTree) -> None:
    """What begins of a method whose networks are all that it has."""
    del method_state


def nothing_follows() -> None:
    """What follows the update of a method whose networks are all that it has."""


def tell_no_aus(images: torch.Tensor, pose: torch.Tensor) -> torch.Tensor:
    """What a pretraining predicts: logits [B, 0]."""
    del pose
    return images.new_zeros(len(images), 0)


@dataclasses.dataclass(frozen=True)
class Counterpart:
    """A method as PyTorch has it: its networks, and its loss of what the JAX step draws.

    Random draws inside of the networks have no counterpart: dropout must be off on both sides.

    Attributes:
      module: holds every trained parameter, in train mode.
      draw: (method_state, batch, step, key) -> all that the loss of the JAX method draws at random
        or decodes in this step from the same key, a tree of dicts of jax arrays: augmented images
        float32 [B, S, S, 3] in [0, 1], labels, pose, masks. It is pure and can be jitted. Under
        `jax.enable_x64` the draws are others than without it, so that both sides need the same.
      loss: (drawn) -> (loss, logs by name) of the same tree of tensors, images [B, 3, S, S]; a
        training pass, which updates BatchNorm's statistics and what `begin` sets.
      state: (params, batch_stats) -> the state dict of `module` with the values of the JAX trees.
        It is linear in them; of gradients, with {} for batch_stats, it is theirs by torch's names.
      begin: (method_state) -> None, sets what is no parameter (a key encoder, queues) as the JAX
        method has it, on the device and in the precision of `module`.
      after_update: () -> None, to be called after every update of the optimiser.
      predict: (images [B, 3, S, S] in [0, 1], pose [B, 3] degrees) -> logits [B, A] without a
        gradient, by `module` in evaluation mode.
    """

    module: torch.nn.Module
    draw: Callable[[PyTree, PyTree, jax.Array, jax.Array], Drawn]
    loss: Callable[[Drawn], tuple[torch.Tensor, Logs]]
    state: Callable[[PyTree, PyTree], StateDict]
    begin: Callable[[PyTree], None] = nothing_begins
    after_update: Callable[[], None] = nothing_follows
    predict: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = tell_no_aus


def linear_state(name: str, layer: Mapping[str, np.ndarray]) -> StateDict:
    """The state dict of a torch.nn.Linear called `name`: of a dense layer's kernel and bias."""
    state = {f"{name}.weight": np.asarray(layer["kernel"]).T}
    if "bias" in layer:
        state[f"{name}.bias"] = np.asarray(layer["bias"])
    return state


def load_state(module: torch.nn.Module, state: StateDict) -> None:
    """Sets every parameter and statistic of `module` to an array's values.

    Raises:
      ValueError: an array is missing or left over.
    """
    tensors = {name: torch.tensor(np.asarray(array)) for name, array in state.items()}
    missing, left_over = module.load_state_dict(tensors, strict=False)
    # How many batches a BatchNorm saw has no part in its statistics.
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or left_over:
        raise ValueError(f"arrays are missing {missing} or left over {left_over}")


@contextlib.contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients, training mode afterwards."""
    module.eval()
    with torch.no_grad():
        yield
    module.train()
