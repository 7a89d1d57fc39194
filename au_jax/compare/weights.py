"""Parameters of a network of this package, by the names and in the layouts of its PyTorch network.

Nothing of PyTorch is imported: the arrays are NumPy's.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from au_jax.compare.backbone_source import is_timms
from au_jax.models import pretrained
from au_jax.models.network_spec import NetworkSpec

_HEAD = "head_"


def state_dict(
    spec: NetworkSpec, params: Mapping[str, Any], batch_stats: Mapping[str, Any], prefix: str = ""
) -> dict[str, np.ndarray]:
    """The state dict of `au_jax.compare.networks.build(spec, ...)` with these arrays.

    The function only renames and transposes, so that a tree of gradients, or an optimiser's, goes
    through it as well. `num_batches_tracked` of BatchNorm has no counterpart and is left out.

    Args:
      spec: of the network.
      params: of an `AUNet`: {"backbone", "head_NAME", perhaps "pose"}; what is not there is left
        out.
      batch_stats: {"backbone"} of it, or {}.
      prefix: put before every name, such as "view1.".

    Returns:
      {name: array}, of the dtypes given.

    Raises:
      UserError: the backbone is one outside this package.
    """
    arrays: dict[str, np.ndarray] = {}
    for part, tree in params.items():
        if part == "backbone":
            of_part = pretrained.state_dict(
                spec.backbone, tree, batch_stats.get(part, {}), is_timms(spec)
            )
            name = part
        else:
            of_part = {"weight": np.asarray(tree["kernel"]).T, "bias": np.asarray(tree["bias"])}
            name = f"heads.{part.removeprefix(_HEAD)}" if part.startswith(_HEAD) else part
        arrays |= {f"{prefix}{name}.{leaf}": array for leaf, array in of_part.items()}
    return arrays
