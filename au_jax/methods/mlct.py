"""Multi-label co-training: each view hands its most confident predictions to the other as labels.

Xing et al., "Multi-Label Co-Training" (IJCAI 2018). The form with two deep networks and batches is
ours. Noisy images are used without their labels. MLCT in ReCoT's tables.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

from au_jax import losses
from au_jax.allowed import Positive, Share, Weight
from au_jax.errors import UserError
from au_jax.methods.base import Context, Method, PyTree
from au_jax.methods.co_training import CLEAN, NOISY, STREAMS, Networks


def handed_loss(
    logits: Float[Array, "examples aus"], teacher: Float[Array, "examples aus"], share: float
) -> Float32[Array, ""]:
    """Cross entropy of one view against the labels that the other hands it; their mean.

    Of each AU, ceil(share B) of B images: those with the largest |logit|, equal ones in order.

    Args:
      teacher: the logits of the other view; they carry no gradient.
    """
    teacher = jax.lax.stop_gradient(teacher)
    count = math.ceil(round(share * len(teacher), 9))
    rank = jnp.argsort(jnp.argsort(-jnp.abs(teacher), 0), 0)
    entries = losses.masked_cross_entropy(logits, teacher > 0, rank < count)
    return entries.sum() / (count * logits.shape[1])


def create(
    context: Context,
    *,
    selective_ratios: Sequence[Share],
    handed_share: Positive,
    handed_weight: Weight,
) -> Method:
    """The method in a training's context.

    Args:
      selective_ratios: see `Networks.of`.
      handed_share: of the noisy images of a batch, for each AU, in (0, 1].
      handed_weight: of the loss on handed labels.

    Raises:
      UserError: the share is out of its range.
    """
    if not 0 < handed_share <= 1:
        raise UserError(
            f"handed_share is {handed_share}, but it is a share of the noisy images; give a number "
            "above 0 and up to 1"
        )
    networks = Networks.of(context, selective_ratios, views=2)

    def loss(params: PyTree, batch_stats: PyTree, method_state: PyTree, batch: PyTree, step, key):
        forward_key, select_key = jax.random.split(key)
        by_head, batch_stats = networks.forward(forward_key, params, batch_stats, batch, STREAMS)
        logits, labels = by_head[CLEAN], batch[CLEAN]["labels"]
        first, second = logits[:, len(labels) :]
        handed = [handed_loss(a, b, handed_share) for a, b in ((first, second), (second, first))]
        logs = {
            "loss_clean": networks.clean_loss(select_key, logits[:, : len(labels)], labels),
            "loss_handed": sum(handed) / 2,
        }
        value = logs["loss_clean"] + handed_weight * logs["loss_handed"]
        return value, (batch_stats, method_state, logs)

    return Method(
        networks.aus, networks.init, loss, networks.predict, networks.kept, unlabelled=(NOISY,)
    )
