"""Starting weights of a training: imported ones, or the network of an earlier stage."""

from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from au_jax import log
from au_jax.errors import UserError
from au_jax.models import pretrained
from au_jax.run_dir import StageFolder
from au_jax.training.checkpoint import first_difference
from au_jax.training.model_card import ModelCard, restore


def continue_from(
    folder: StageFolder, mesh: Mesh, params: Any, batch_stats: Any
) -> tuple[Any, Any]:
    """The trained network of another stage, in the place of the one given.

    Raises:
      UserError: the two are of different shapes.
    """
    variables = restore(folder, ModelCard.read(folder).create(), folder.epochs()[-1], mesh)
    differing = first_difference(variables, {"params": params, "batch_stats": batch_stats})
    if differing is not None:
        leaf, theirs, ours = differing
        raise UserError(
            f"stage {folder.name} cannot be started from: its '{leaf}' is {theirs}, and here it is "
            f"{ours}; give both stages one method, network and AU list"
        )
    variables = jax.device_get(variables)
    return variables["params"], variables["batch_stats"]


def import_weights(
    weights: Path, backbone: str, params: dict, batch_stats: dict
) -> tuple[dict, dict]:
    """Puts the weights of a PyTorch file into every backbone of a method's network.

    Says which parts of the backbone the file has no weights for.
    """
    if "backbone" in params:
        loaded, stats = pretrained.load(
            weights, backbone, params["backbone"], batch_stats["backbone"]
        )
        initialised = pretrained.initialised_parts(backbone, params["backbone"])
        if initialised:
            log.say(f"not in {weights}, so initialised anew: {', '.join(initialised)}")
        return {**params, "backbone": loaded}, {**batch_stats, "backbone": stats}
    pairs = {
        name: import_weights(weights, backbone, params[name], batch_stats[name])
        for name in params
        if isinstance(params[name], dict) and name in batch_stats
    }
    return (
        params | {name: p for name, (p, _) in pairs.items()},
        batch_stats | {name: s for name, (_, s) in pairs.items()},
    )
