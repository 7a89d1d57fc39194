"""Optimisers and their learning-rate schedules."""

from collections.abc import Sequence
from typing import Annotated

import jax
import optax

from au_jax.allowed import Decay, OneOf, Range, Share, Unique
from au_jax.errors import unknown


def make_optimizer(
    *,
    name: Annotated[str, OneOf(("sgd", "adam"))],
    learning_rate: Annotated[float, Range(gt=0, le=100)],
    momentum: Decay,
    weight_decay: Share,
    schedule: Annotated[str, OneOf(("steps", "cosine", "constant"))],
    boundaries: Annotated[Sequence[Annotated[float, Range(gt=0, lt=1)]], Unique()],
    factor: Annotated[float, Range(gt=0, le=100)],
    steps: int,
) -> tuple[optax.GradientTransformation, optax.Schedule]:
    """Returns the optimiser and its learning-rate schedule over `steps` updates.

    Args:
      name: "sgd" or "adam".
      learning_rate: at the first step.
      momentum: of "sgd"; 0 for none.
      weight_decay: the L2 penalty of the papers: decay times the kernels joins the gradient.
      schedule: "steps" (times `factor` at each boundary), "cosine" (to 0) or "constant".
      boundaries: shares of all steps, in (0, 1).
      steps: how many updates there are.

    Raises:
      UserError: `name` or `schedule` is unknown.
    """
    schedules = {
        "steps": lambda: optax.piecewise_constant_schedule(
            learning_rate, {round(boundary * steps): factor for boundary in boundaries}
        ),
        "cosine": lambda: optax.cosine_decay_schedule(learning_rate, steps),
        "constant": lambda: optax.constant_schedule(learning_rate),
    }
    if schedule not in schedules:
        raise unknown("optimizer.schedule", schedule, schedules)
    rate = schedules[schedule]()
    updates = {
        "sgd": lambda: optax.sgd(rate, momentum=momentum or None),
        "adam": lambda: optax.adam(rate),
    }
    if name not in updates:
        raise unknown("optimizer.name", name, updates)

    def kernels(params):
        return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)

    decay = optax.add_decayed_weights(weight_decay, mask=kernels)
    return optax.chain(decay, updates[name]()), rate
