"""Mixup: convex combinations of images and of their labels.

Zhang et al., "mixup: Beyond Empirical Risk Minimization" (ICLR 2018,
https://arxiv.org/abs/1710.09412). Clean and noisy images are mixed with one another, one lambda a
batch as in the authors' code.
"""

from collections.abc import Sequence
from typing import Annotated

import jax
from jaxtyping import Array, Bool, Float, Float32, Int, Int8

from au_jax import losses
from au_jax.allowed import Range, Share
from au_jax.methods.base import Context, Method, PyTree
from au_jax.methods.co_training import CLEAN, STREAMS, Networks, joined, rearranged


def mixed(
    values: Float[Array, "examples ..."],
    partner: Int[Array, " examples"],
    share: Float[Array, ""],
) -> Float[Array, "examples ..."]:
    """The mixtures share x_i + (1 - share) x_j, where j is the partner of i in `values`."""
    return share * values + (1 - share) * values[partner]


def mixed_loss(
    logits: Float[Array, "examples aus"],
    labels: Int8[Array, "examples aus"],
    counted: Bool[Array, "examples aus"],
    partner: Int[Array, " examples"],
    share: Float[Array, ""],
) -> Float32[Array, ""]:
    """The loss of mixed images against mixed labels.

    Cross entropy is linear in its target, so that it is the same mixture of the losses against
    either label; written so, an unknown label (or one that selective learning leaves out) takes
    away its own part only.
    """

    def against(labels: jax.Array, counted: jax.Array) -> jax.Array:
        return losses.selective_loss(logits, labels == 1, counted)

    return share * against(labels, counted) + (1 - share) * against(
        labels[partner], counted[partner]
    )


def create(
    context: Context,
    *,
    selective_ratios: Sequence[Share],
    concentration: Annotated[float, Range(gt=0, le=1000)] = 1.0,
) -> Method:
    """The method in a training's context.

    Args:
      selective_ratios: see `Networks.of`.
      concentration: lambda is drawn from beta(c, c); that of ReCoT's tables.
    """
    networks = Networks.of(context, selective_ratios)

    def loss(params: PyTree, batch_stats: PyTree, method_state: PyTree, batch: PyTree, step, key):
        forward_key, select_key, share_key, partner_key = jax.random.split(key, 4)
        ((augment_key, dropout_key),) = networks.keys(forward_key)
        seen = networks.augmented(augment_key, batch, STREAMS)
        labels = rearranged(joined(batch, STREAMS, "labels"), seen.columns)
        share = jax.random.beta(share_key, concentration, concentration)
        partner = jax.random.permutation(partner_key, len(labels))
        (view,) = networks.views
        by_head, updated = networks.apply(
            dropout_key,
            params[view],
            batch_stats[view],
            mixed(seen.images, partner, share),
            mixed(seen.pose, partner, share),
        )
        (counted,) = networks.selective_masks(select_key, labels)
        value = mixed_loss(by_head[CLEAN], labels, counted, partner, share)
        return value, ({view: updated}, method_state, {})

    return Method(networks.aus, networks.init, loss, networks.predict, networks.kept)
