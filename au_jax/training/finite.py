"""The watch over a training's numbers: what stopped being finite first, and what rules it.

The step itself tells what is finite, so that nothing is waited for: it is read with the log. The
loss alone does not tell: on a CPU it was seen to stay finite while all kernels were NaN.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from au_jax.errors import UserError

# In the order in which a step makes them.
WATCHED = ("batch statistics", "loss", "gradient", "parameters")


def finite(batch_stats: Any, loss: jax.Array, gradient_norm: jax.Array, params: Any) -> jax.Array:
    """Whether each of `WATCHED` is finite after a step: bool [4]."""
    parts = (batch_stats, loss, gradient_norm, params)
    return jnp.stack([_all_finite(part) for part in parts])


def _all_finite(tree: Any) -> jax.Array:
    leaves = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]
    return jnp.stack(leaves).all() if leaves else jnp.ones((), bool)


def check(told: np.ndarray, loss: float, step: int, fields: str) -> None:
    """Stops a training that has gone wrong.

    Args:
      told: what `finite` gave.
      loss: of the step. step: its number, from 1.
      fields: where the training's fields are set, "--config.stages.NAME.".

    Raises:
      UserError: something is not finite; names it, and the field that rules it.
    """
    if told.all():
        return
    wrong = WATCHED[int(np.argmin(told))]
    verb = "are" if wrong.endswith("s") and wrong != "loss" else "is"
    beside = "" if wrong == "loss" else f" (the loss reads {loss:.4f})"
    what = f"the loss is {loss}" if wrong == "loss" else f"the {wrong} {verb} not finite"
    rate = f"{fields}optimizer.learning_rate"
    mend = f"lower {rate}, or look for broken labels or images"
    if step == 1 and wrong != "parameters":  # no update was made yet
        mend = (
            "no update was made before, so look for broken labels or images, or raise "
            f"{fields}model.bn_epsilon"
        )
    raise UserError(f"{what}{beside} after step {step}; {mend}")
