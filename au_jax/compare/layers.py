"""The first layer at which a network in JAX and its counterpart in PyTorch differ."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax.traverse_util import flatten_dict, unflatten_dict

Path = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class LayerDifference:
    """A layer whose outputs differ on the two sides though those of all before it agree.

    Attributes:
      layer: its name in PyTorch. path: its path in Flax.
      relative: the largest difference of its outputs, of the largest output.
      agreeing: how many layers before it agree.
    """

    layer: str
    path: str
    relative: float
    agreeing: int

    def __str__(self) -> str:
        return (
            f"the first layer that differs is {self.layer} ({self.path}), by {self.relative:.1e} "
            f"of its largest output; the {self.agreeing} before it agree"
        )


def module_names(state: Callable[[Any, Any], Mapping], params: Mapping) -> dict[Path, str]:
    """{path of a module in `params`: the name of the PyTorch module that holds its weights}.

    Args:
      state: (params, batch_stats) -> arrays by PyTorch's names, such as `Counterpart.state`; it may
        rename and transpose arrays, but not compute.
    """
    leaves = flatten_dict(params)
    # Every array is filled with its own number, which tells where it went.
    numbered = {
        path: np.full(leaf.shape, number, np.float32)
        for number, (path, leaf) in enumerate(leaves.items())
    }
    paths = list(leaves)
    return {
        paths[int(array.flat[0])][:-1]: name.rpartition(".")[0]
        for name, array in state(unflatten_dict(numbered), {}).items()
    }


def first_difference(
    network: nn.Module,
    variables: Mapping[str, Any],
    counterpart: torch.nn.Module,
    names: Mapping[Path, str],
    images: np.ndarray,
    tolerance: float,
) -> LayerDifference | None:
    """Runs both networks on the same images and compares layers in the order in which they run.

    Args:
      network: called with (images, train). variables: its "params" and "batch_stats".
      counterpart: of the network, with the same weights; both are run in training mode.
      names: the names in `counterpart` of the layers to compare, by their paths in `network`.
      images: float32 [B, H, W, 3], as the networks take them.
      tolerance: the relative difference that counts as one.
    """
    ours = _outputs_in_jax(network, variables, images)
    paths = {name: path for path, name in names.items()}
    agreeing = 0
    for name, theirs in _outputs_in_torch(counterpart, set(paths), images):
        path = paths[name]
        if path not in ours:
            continue
        relative = _relative(ours[path], theirs)
        if not relative <= tolerance:  # NaN differs, too
            return LayerDifference(name, "/".join(path), relative, agreeing)
        agreeing += 1
    return None


def _outputs_in_jax(
    network: nn.Module, variables: Mapping[str, Any], images: np.ndarray
) -> dict[Path, np.ndarray]:
    """The first output of every module that returns one array, by its path."""
    _, captured = network.apply(
        jax.tree.map(jnp.asarray, variables),
        jnp.asarray(images),
        True,
        capture_intermediates=True,
        mutable=["batch_stats", "intermediates"],
    )
    return {
        path[:-1]: np.asarray(calls[0], np.float32)
        for path, calls in flatten_dict(captured["intermediates"]).items()
        if hasattr(calls[0], "shape")
    }


def _outputs_in_torch(
    network: torch.nn.Module, names: set[str], images: np.ndarray
) -> list[tuple[str, np.ndarray]]:
    """(name, output) of every call of the modules `names`, in order; maps as [B, H, W, C]."""
    outputs = []

    def record(name: str) -> Callable[..., None]:
        def hook(module: torch.nn.Module, inputs: Any, output: torch.Tensor) -> None:
            array = output.float().numpy()
            outputs.append((name, array.transpose(0, 2, 3, 1) if array.ndim == 4 else array))

        return hook

    hooks = [
        module.register_forward_hook(record(name))
        for name, module in network.named_modules()
        if name in names
    ]
    network.train()
    with torch.no_grad():
        network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    for hook in hooks:
        hook.remove()
    return outputs


def _relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    if ours.size != theirs.size:
        return float("inf")
    # A dense layer of ours may be a 1x1 convolution there.
    difference = np.abs(ours - theirs.reshape(ours.shape)).max()
    return float(difference / max(np.abs(theirs).max(), np.finfo(np.float32).tiny))
