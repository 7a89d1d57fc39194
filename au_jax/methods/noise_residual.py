"""Noise regularisation: a clean net and a residual net that tells noisy labels from clean ones.

Hu et al., "Weakly Supervised Image Classification through Noise Regularization" (CVPR 2019), as
ReCoT puts it: the noisy label's logit is the clean head's plus the noisy head's. Unlike "Baseline +
net_noisy" all noisy labels count, positives and negatives alike. NR in ReCoT's tables.
"""

from collections.abc import Sequence

import jax

from au_jax import losses
from au_jax.allowed import Share, Weight
from au_jax.methods.base import Context, Method, PyTree
from au_jax.methods.co_training import CLEAN, NOISY, STREAMS, Networks


def create(
    context: Context,
    *,
    selective_ratios: Sequence[Share],
    noisy_weight: Weight,
) -> Method:
    """The method in a training's context.

    Args:
      selective_ratios: see `Networks.of`.
      noisy_weight: of the loss on noisy labels.
    """
    networks = Networks.of(context, selective_ratios, heads=STREAMS)

    def loss(params: PyTree, batch_stats: PyTree, method_state: PyTree, batch: PyTree, step, key):
        forward_key, select_key = jax.random.split(key)
        by_head, batch_stats = networks.forward(forward_key, params, batch_stats, batch, STREAMS)
        clean, noisy = (batch[stream]["labels"] for stream in STREAMS)
        combined = by_head[CLEAN] + by_head[NOISY]
        logs = {
            "loss_clean": networks.clean_loss(select_key, by_head[CLEAN][:, : len(clean)], clean),
            "loss_noisy": losses.selective_loss(
                combined[:, len(clean) :], noisy[None] == 1, losses.known_mask(noisy)[None]
            ),
        }
        value = logs["loss_clean"] + noisy_weight * logs["loss_noisy"]
        return value, (batch_stats, method_state, logs)

    return Method(networks.aus, networks.init, loss, networks.predict, networks.kept)
