"""One network with output layers for AUs: what the methods that train a single network share."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp

from au_jax import augment
from au_jax.methods.base import Context, PyTree, Variables
from au_jax.models import AUNet


@dataclasses.dataclass(frozen=True)
class OneNetwork:
    """The network of a method.

    Attributes:
      context: of the training.
      net: the network. head: the output layer of it that predicts.
    """

    context: Context
    net: AUNet
    head: str

    @classmethod
    def of(cls, context: Context, heads: Iterable[str], head: str) -> "OneNetwork":
        """The network in a training's context, with an output for each AU in each of `heads`."""
        return cls(context, context.network.build(dict.fromkeys(heads, len(context.aus))), head)

    def init(self, key: jax.Array) -> tuple[PyTree, PyTree, PyTree]:
        """Returns (params, batch_stats, {}): a method without a state of its own."""
        side = self.context.image_size
        images = jnp.zeros((2, side, side, 3))
        variables = self.net.init(key, images, jnp.zeros((2, 3)), train=False)
        return variables["params"], variables.get("batch_stats", {}), {}

    def forward(
        self,
        key: jax.Array,
        params: PyTree,
        batch_stats: PyTree,
        batch: PyTree,
        labels: jax.Array,
    ) -> tuple[dict[str, jax.Array], jax.Array, PyTree]:
        """A training pass over the augmented images of all streams, one after the other.

        They go in one pass, so that batch statistics are those of the whole batch.

        Args:
          labels: of all streams' images, int8 or float32 [B, A].

        Returns:
          The logits of each head, the labels of the augmented images, and new batch statistics.
        """
        augment_key, dropout_key = jax.random.split(key)
        images, pose = (
            jnp.concatenate([batch[stream][field] for stream in self.context.streams])
            for field in ("image", "pose")
        )
        images, labels, pose = augment.augment(
            augment_key, images, labels, pose, self.context.augmentation, self.context.aus
        )
        by_head, updated = self.net.apply(
            {"params": params, "batch_stats": batch_stats},
            images,
            pose,
            train=True,
            rngs={"dropout": dropout_key},
            mutable=["batch_stats"],
        )
        return by_head, labels, updated.get("batch_stats", {})

    def predict(self, variables: Variables, images: jax.Array, pose: jax.Array) -> jax.Array:
        """The logits of the head that predicts, on plain images."""
        crops = augment.center_crop(images, self.context.image_size)
        by_head: Any = self.net.apply(variables, crops, pose, train=False)
        return by_head[self.head]
