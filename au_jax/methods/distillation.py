"""Distillation: a teacher's soft labels in the place of the noisy ones.

Li et al., "Learning from Noisy Labels with Distillation" (ICCV 2017). The teacher is trained on the
clean images; the noisy images' own labels are not used (ours). KD in ReCoT's tables.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

from au_jax import losses
from au_jax.allowed import Share, Weight
from au_jax.errors import UserError
from au_jax.methods.base import Context, Method, PyTree
from au_jax.methods.co_training import CLEAN, NOISY, STREAMS, Networks


def soft_loss(
    logits: Float[Array, "views examples aus"], soft: Float32[Array, "examples aus"]
) -> Float32[Array, ""]:
    """Cross entropy against probabilities `soft`, divided by the number of all entries.

    Args:
      soft: an entry that is negative or NaN is not known.
    """
    known = (soft >= 0)[None]
    counted = jnp.broadcast_to(known, logits.shape)
    return losses.selective_loss(logits, jnp.where(known, soft[None], 0), counted)


def create(
    context: Context,
    *,
    selective_ratios: Sequence[Share],
    soft_weight: Weight,
) -> Method:
    """The method in a training's context.

    The noisy stream has a field `soft`, float32 [b, A]: the teacher's probabilities of its records,
    -1 or NaN where there is none.

    Args:
      selective_ratios: see `Networks.of`.
      soft_weight: of the loss on the noisy images.
    """
    networks = Networks.of(context, selective_ratios)

    def loss(params: PyTree, batch_stats: PyTree, method_state: PyTree, batch: PyTree, step, key):
        forward_key, select_key = jax.random.split(key)
        if "soft" not in batch[NOISY]:
            raise UserError(
                "distillation learns a teacher's probabilities of the noisy stream, which has "
                "none; give its `labels` the teacher's stage, and set its `soft`"
            )
        by_head, batch_stats = networks.forward(forward_key, params, batch_stats, batch, STREAMS)
        logits, labels = by_head[CLEAN], batch[CLEAN]["labels"]
        logs = {
            "loss_clean": networks.clean_loss(select_key, logits[:, : len(labels)], labels),
            "loss_soft": soft_loss(logits[:, len(labels) :], batch[NOISY]["soft"]),
        }
        value = logs["loss_clean"] + soft_weight * logs["loss_soft"]
        return value, (batch_stats, method_state, logs)

    return Method(
        networks.aus, networks.init, loss, networks.predict, networks.kept, unlabelled=(NOISY,)
    )
