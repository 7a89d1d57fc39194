"""One network with output layers for AUs in PyTorch, and the batches that it learns from."""

from collections.abc import Iterable

import jax
import jax.numpy as jnp

from au_jax import augment
from au_jax.compare.counterpart import PyTree
from au_jax.export.pytorch import networks
from au_jax.methods.base import Context


def build(context: Context, heads: Iterable[str]) -> networks.AUNet:
    """The network of a training, with an output for each AU in each of `heads`."""
    outputs = dict.fromkeys(heads, len(context.aus))
    return networks.build(context.network, outputs, context.image_size)


def draw_batch(
    context: Context, batch: PyTree, labels: jax.Array, key: jax.Array
) -> dict[str, jax.Array]:
    """The augmented images, pose and labels of all streams, as `OneNetwork.forward` draws them."""
    augment_key, _ = jax.random.split(key)
    images, pose = (
        jnp.concatenate([batch[stream][field] for stream in context.streams])
        for field in ("image", "pose")
    )
    images, labels, pose = augment.augment(
        augment_key, images, labels, pose, context.augmentation, context.aus
    )
    return {"images": images, "pose": pose, "labels": labels}
