"""Bootstrapping: noisy labels mixed with the network's own predictions.

Reed et al., "Training Deep Neural Networks on Noisy Labels with Bootstrapping" (ICLR workshop
2015, https://arxiv.org/abs/1412.6596), sections 3.2 and 3.3: targets w y +
(1 - w) q, where q is the prediction as it is (soft, w 0.95) or decided (hard, w 0.8). BS-S and BS-H
in ReCoT's tables.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int8

from au_jax import losses
from au_jax.allowed import Share
from au_jax.methods.base import Context, Method, PyTree
from au_jax.methods.co_training import CLEAN, STREAMS, Networks, joined


def bootstrapped(
    logits: Float[Array, "*shape"], labels: Int8[Array, "*#shape"], weight: float, hard: bool
) -> Float32[Array, "*shape"]:
    """The targets w y + (1 - w) q.

    Soft targets carry their gradient, as in the paper: the loss is then the usual one with an
    entropy penalty.
    """
    predicted = (logits > 0).astype(jnp.float32) if hard else jax.nn.sigmoid(logits)
    return weight * (labels == 1) + (1 - weight) * predicted


def create(
    context: Context,
    *,
    selective_ratios: Sequence[Share],
    weight: Share = 0.95,
    hard: bool = False,
) -> Method:
    """The method in a training's context.

    Args:
      selective_ratios: see `Networks.of`.
      weight: of the noisy label in its target, w; clean labels stay as they are (ours). The paper
        has 0.95 for soft targets and 0.8 for hard ones.
      hard: whether the prediction in the target is decided.
    """
    networks = Networks.of(context, selective_ratios)

    def loss(params: PyTree, batch_stats: PyTree, method_state: PyTree, batch: PyTree, step, key):
        forward_key, select_key = jax.random.split(key)
        by_head, batch_stats = networks.forward(forward_key, params, batch_stats, batch, STREAMS)
        logits, labels = by_head[CLEAN], joined(batch, STREAMS, "labels")
        share = len(batch[CLEAN]["labels"])
        noisy = bootstrapped(logits[:, share:], labels[None, share:], weight, hard)
        targets = jnp.concatenate([labels[None, :share] == 1, noisy], 1)
        counted = networks.selective_masks(select_key, labels)
        return losses.selective_loss(logits, targets, counted), (batch_stats, method_state, {})

    return Method(networks.aus, networks.init, loss, networks.predict, networks.kept)
