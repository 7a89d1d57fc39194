"""Optimisers and their schedules from a config."""

import jax
import optax
from ml_collections import ConfigDict

from au_jax.errors import unknown


def make_optimizer(
    config: ConfigDict, steps: int
) -> tuple[optax.GradientTransformation, optax.Schedule]:
    """The optimiser and its learning-rate schedule over `steps` updates.

    Weight decay is the L2 penalty of the papers: decay times the kernels joins the gradient.
    """
    rate = config.learning_rate
    if config.schedule == "steps":
        at = {round(b * steps): config.factor for b in config.boundaries}
        schedule = optax.piecewise_constant_schedule(rate, at)
    elif config.schedule == "cosine":
        schedule = optax.cosine_decay_schedule(rate, steps)
    elif config.schedule == "constant":
        schedule = optax.constant_schedule(rate)
    else:
        raise unknown("optimizer.schedule", config.schedule, ("steps", "cosine", "constant"))
    if config.name == "sgd":
        update = optax.sgd(schedule, momentum=config.momentum or None)
    elif config.name == "adam":
        update = optax.adam(schedule)
    else:
        raise unknown("optimizer.name", config.name, ("sgd", "adam"))

    def kernels(params):
        return jax.tree_util.tree_map_with_path(lambda p, _: p[-1].key == "kernel", params)

    decay = optax.add_decayed_weights(config.weight_decay, mask=kernels)
    return optax.chain(decay, update), schedule
