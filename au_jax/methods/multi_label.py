"""Supervised training on AUs by ABAW3's weighted and multi-label loss.

Jiang et al., "Facial Action Unit Recognition With Multi-models Ensembling" (ABAW3, 2022), section
3.3, Eq. 1 to 6. One output layer learns from all streams alike.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from au_jax import augment, losses
from au_jax.errors import UserError
from au_jax.methods.base import Context, Method, PyTree, Variables

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
    aus, image_size = context.aus, context.image_size
    if weights and len(weights) != len(aus):
        raise UserError(
            f"method multi_label has {len(weights)} weights for {len(aus)} AUs "
            f"({', '.join(aus)}); give one for each, or none"
        )
    net = context.network.build({_HEAD: len(aus)})
    weight_of_au = jnp.asarray(weights or [1.0] * len(aus), jnp.float32)

    def init(key: jax.Array) -> tuple[PyTree, PyTree, PyTree]:
        images = jnp.zeros((2, image_size, image_size, 3))
        variables = net.init(key, images, jnp.zeros((2, 3)), train=False)
        return variables["params"], variables.get("batch_stats", {}), {}

    def loss(params: PyTree, batch_stats: PyTree, method_state: PyTree, batch: PyTree, step, key):
        augment_key, dropout_key = jax.random.split(key)
        # One pass over all streams, so that batch statistics are those of the whole batch.
        images, labels, pose = (
            jnp.concatenate([batch[stream][field] for stream in context.streams])
            for field in ("image", "labels", "pose")
        )
        images, labels, pose = augment.augment(
            augment_key, images, labels, pose, context.augmentation, aus
        )
        by_head, updated = net.apply(
            {"params": params, "batch_stats": batch_stats},
            images,
            pose,
            train=True,
            rngs={"dropout": dropout_key},
            mutable=["batch_stats"],
        )
        value = losses.weighted_multi_label_loss(
            by_head[_HEAD], labels, weight_of_au, label_smoothing
        )
        return value, (updated.get("batch_stats", {}), method_state, {})

    def predict(variables: Variables, images: jax.Array, pose: jax.Array) -> jax.Array:
        crops = augment.center_crop(images, image_size)
        by_head: Any = net.apply(variables, crops, pose, train=False)
        return by_head[_HEAD]

    return Method(aus=aus, init=init, loss=loss, predict=predict)
