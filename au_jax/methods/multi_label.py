"""Supervised training on AUs by ABAW3's weighted and multi-label loss.

Jiang et al., "Facial Action Unit Recognition With Multi-models Ensembling" (ABAW3, 2022), section
3.3, Eq. 1 to 6. One output layer learns from all streams alike.
"""

from collections.abc import Sequence

import jax.numpy as jnp

from au_jax import losses
from au_jax.errors import UserError
from au_jax.methods.base import Context, Method, PyTree
from au_jax.methods.one_network import OneNetwork

_HEAD = "opt"


def create(
    context: Context, *, weights: Sequence[float] = (), label_smoothing: float = 0.1
) -> Method:
    """The method in a training's context.

    Args:
      weights: W, one number for each AU, in their order; by default all are 1. The paper's stands
        at `losses.weighted_multi_label_loss`.
      label_smoothing: see `losses.smooth_labels`; 0.1 is ours, the paper does not give its own.

    Raises:
      UserError: there is not one weight for each AU.
    """
    aus = context.aus
    if weights and len(weights) != len(aus):
        raise UserError(
            f"method multi_label has {len(weights)} weights for {len(aus)} AUs "
            f"({', '.join(aus)}); give one for each, or none"
        )
    network = OneNetwork.of(context, (_HEAD,), _HEAD)
    weight_of_au = jnp.asarray(weights or [1.0] * len(aus), jnp.float32)

    def loss(params: PyTree, batch_stats: PyTree, method_state: PyTree, batch: PyTree, step, key):
        labels = jnp.concatenate([batch[stream]["labels"] for stream in context.streams])
        by_head, labels, stats = network.forward(key, params, batch_stats, batch, labels)
        value = losses.weighted_multi_label_loss(
            by_head[_HEAD], labels, weight_of_au, label_smoothing
        )
        return value, (stats, method_state, {})

    return Method(aus=aus, init=network.init, loss=loss, predict=network.predict)
