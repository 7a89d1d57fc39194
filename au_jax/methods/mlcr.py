"""Multi-label co-regularisation: two networks that agree on unlabelled images, by other weights.

Niu et al., "Multi-Label Co-Regularization for Semi-Supervised Facial Action Unit Recognition"
(NeurIPS 2019), without its graph of AU relations (ours: ReCoT compares two plain ResNet-34). Noisy
images are used without their labels. MLCR in ReCoT's tables.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax

from au_jax import losses
from au_jax.methods.base import Method, PyTree
from au_jax.methods.co_training import CLEAN, STREAMS, Networks


def create(
    *,
    aus: Sequence[str],
    network: Mapping[str, Any],
    image_size: int,
    augmentation: Mapping[str, Any],
    selective_ratios: Sequence[float],
    multi_view_weight: float,
    co_regularization_weight: float,
) -> Method:
    """The method, from JSON-able values.

    L = mean of both views' L_clean + weights times L_mv, of the output layers, and L_cr, on clean
    and noisy images.

    Args:
      aus, network, image_size, augmentation, selective_ratios: see `Networks.of`.
      multi_view_weight, co_regularization_weight: the released 400 and 100 belong to a
        recognition loss summed over the A AUs: 400 / A and 100 / A here (ours).
    """
    networks = Networks.of(aus, network, image_size, augmentation, selective_ratios, views=2)

    def loss(params: PyTree, batch_stats: PyTree, method_state: PyTree, batch: PyTree, key):
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
            + multi_view_weight * logs["loss_multi_view"]
            + co_regularization_weight * logs["loss_co_regularization"]
        )
        return value, (batch_stats, method_state, logs)

    return Method(networks.aus, networks.init, loss, networks.predict, networks.kept)
