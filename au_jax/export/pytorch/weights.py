"""Parameters of a network of this package, by the names and in the layouts of its PyTorch network.

Nothing of PyTorch is imported: the arrays are NumPy's.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from au_jax.export.pytorch.backbone_source import is_timms
from au_jax.models import pretrained
from au_jax.models.au_net import HEAD_PREFIX
from au_jax.models.network_spec import NetworkSpec

# The parts of our trees, and the beginnings of their names in PyTorch.
_LAYERS = {HEAD_PREFIX: "heads.", "output_": "outputs.", "pose": "pose"}


def state_dict(
    spec: NetworkSpec, params: Mapping[str, Any], batch_stats: Mapping[str, Any], prefix: str = ""
) -> dict[str, np.ndarray]:
    """The state dict of `au_jax.export.pytorch.networks.build(spec, ...)` with these arrays.

    The function only renames and transposes, so that a tree of gradients, or an optimiser's, goes
    through it as well. `num_batches_tracked` of BatchNorm has no counterpart and is left out.

    Args:
      spec: of the network.
      params: of an `AUNet`: {"backbone", "head_NAME", perhaps "pose"}; or of a network with a
        second layer behind its heads: {"net": those of an `AUNet`, "output_NAME"}. What is not
        there is left out.
      batch_stats: {"backbone"} or {"net": {"backbone"}} of it, or {}.
      prefix: put before every name, such as "view1.".

    Returns:
      {name: array}, of the dtypes given.

    Raises:
      UserError: the backbone is one outside this package.
    """
    arrays: dict[str, np.ndarray] = {}
    for part, tree in params.items():
        if part == "net":
            arrays |= state_dict(spec, tree, batch_stats.get(part, {}), prefix)
        elif part == "backbone":
            stats = batch_stats.get(part, {})
            of_backbone = pretrained.state_dict(spec.backbone, tree, stats, is_timms(spec))
            arrays |= {f"{prefix}{part}.{name}": array for name, array in of_backbone.items()}
        else:
            layer = next(o for o in _LAYERS if part.startswith(o))
            name = f"{prefix}{_LAYERS[layer]}{part.removeprefix(layer)}"
            arrays[f"{name}.weight"] = np.asarray(tree["kernel"]).T
            arrays[f"{name}.bias"] = np.asarray(tree["bias"])
    return arrays


def whole_state_dict(
    spec: NetworkSpec, params: Mapping[str, Any], batch_stats: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """All that the PyTorch network's `load_state_dict` asks for: `state_dict` and the counters."""
    arrays = state_dict(spec, params, batch_stats)
    counters = {
        name.replace("running_mean", "num_batches_tracked"): np.zeros((), np.int64)
        for name in arrays
        if name.endswith("running_mean")
    }
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()} | counters
