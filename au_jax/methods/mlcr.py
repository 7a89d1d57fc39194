"""Multi-label co-regularisation: two networks that agree on unlabelled images, by other weights.

Niu et al., "Multi-Label Co-Regularization for Semi-Supervised Facial Action Unit Recognition"
(NeurIPS 2019, https://arxiv.org/abs/1910.11012), without its graph of AU relations (ours: ReCoT
compares two plain ResNet-34). Noisy images are used without their labels. MLCR in ReCoT's tables.
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
    lambda_mv: Weight = 400.0,
    lambda_cr: Weight = 100.0,
) -> Method:
    """The method in a training's context.

    L = mean of both views' L_clean + weights times L_mv, of the output layers, and L_cr, on clean
    and noisy images.

    Args:
      selective_ratios: see `Networks.of`.
      lambda_mv, lambda_cr: as released, for a recognition loss summed over the AUs. Ours is a
        mean, so that both are divided by the number of AUs.
    """
    networks = Networks.of(context, selective_ratios, views=2)
    count = len(context.aus)

    def loss(params: PyTree, batch_stats: PyTree, method_state: PyTree, batch: PyTree, step, key):
        forward_key, select_key = jax.random.split(key)
        by_head, batch_stats = networks.forward(forward_key, params, batch_stats, batch, STREAMS)
        logits, labels = by_head[CLEAN], batch[CLEAN]["labels"]
        layers = [params[view][f"output_{CLEAN}"] for view in networks.views]
        logs = {
            "loss_clean": networks.clean_loss(select_key, logits[:, : len(labels)], labels),
            "loss_multi_view": losses.multi_view_loss(
                *(layer[part] for layer in layers for part in ("kernel", "bias"))
            ),
            "loss_co_regularization": losses.co_regularization_loss(*logits),
        }
        value = (
            logs["loss_clean"]
            + lambda_mv / count * logs["loss_multi_view"]
            + lambda_cr / count * logs["loss_co_regularization"]
        )
        return value, (batch_stats, method_state, logs)

    return Method(
        networks.aus, networks.init, loss, networks.predict, networks.kept, unlabelled=(NOISY,)
    )
