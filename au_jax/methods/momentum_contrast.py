"""Momentum contrast: an encoder that tells two views of a face from the queued keys of others.

He et al., "Momentum Contrast for Unsupervised Visual Representation Learning" (CVPR 2020,
https://arxiv.org/abs/1911.05722), algorithm 1, with one queue for all faces or one for each class.
MoCo and EmoCo are built from it. Nothing here tells AUs: the encoder is what later trainings start
from, and what linear probes are fitted on.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float32, Int, PRNGKeyArray, UInt8

from au_jax import augment, losses
from au_jax.errors import UserError, unknown
from au_jax.methods.base import Context, PyTree, only_stream
from au_jax.models import AUNet
from au_jax.models.layers import xavier

FEATURES = 128
_HIDDEN = 2048
_HEAD = "projector"


class ProjectedNet(nn.Module):
    """An encoder and its two-layer projector, features -> 2048, ReLU -> 128, of length 1.

    Attributes:
      net: the encoder, its only head being the projector's hidden layer.
    """

    net: AUNet

    @nn.compact
    def __call__(
        self, images: Float32[Array, "examples side side 3"], train: bool
    ) -> Float32[Array, "examples features"]:
        no_pose = jnp.full((len(images), 3), jnp.nan, jnp.float32)
        hidden = self.net(images, no_pose, train)[_HEAD]
        return losses.unit(nn.Dense(FEATURES, kernel_init=xavier, name="output")(nn.relu(hidden)))


@dataclasses.dataclass(frozen=True)
class Encoder:
    """An encoder with its projector, and how it normalises.

    Attributes:
      net: the networks E and h. augmentation: of every view.
      groups: in how many parts of a batch BatchNorm takes its statistics; 1: of the whole batch.
    """

    net: ProjectedNet
    augmentation: augment.Augment
    groups: int

    @classmethod
    def of(cls, context: Context, bn: str, bn_groups: int) -> "Encoder":
        """The encoder in a training's context.

        Args:
          bn: "sync" for the statistics of the whole batch, as EmoCo's paper says, or "split" for
            those of `bn_groups` parts, between which keys are shuffled, as MoCo's code has it.

        Raises:
          UserError: `bn` is neither; the batch does not divide; there is not one stream alone.
        """
        if bn not in ("sync", "split"):
            raise unknown("bn", bn, ("sync", "split"))
        _, facts = only_stream(context, "momentum contrast")
        groups = bn_groups if bn == "split" else 1
        if groups < 1 or facts.share % groups:
            raise UserError(
                f"a batch of {facts.share} examples cannot be split into bn_groups={groups}; give "
                "a divisor of it"
            )
        net = ProjectedNet(context.network.build({_HEAD: _HIDDEN}))
        return cls(net, context.augmentation, groups)

    def init(self, key: PRNGKeyArray) -> tuple[PyTree, PyTree]:
        """Returns (params, batch_stats)."""
        side = self.augmentation.image_size
        variables = self.net.init(key, jnp.zeros((2, side, side, 3)), train=False)
        return variables["params"], variables.get("batch_stats", {})

    def view(
        self, key: PRNGKeyArray, images: UInt8[Array, "examples height width 3"]
    ) -> Float32[Array, "examples side side 3"]:
        """One augmented view of every image."""
        return augment.augment_images(key, images, self.augmentation)

    def apply(
        self,
        key: PRNGKeyArray,
        params: PyTree,
        batch_stats: PyTree,
        images: Float32[Array, "examples side side 3"],
    ) -> tuple[Float32[Array, "examples features"], PyTree]:
        """A training pass: embeddings of length 1, and new batch statistics.

        Of several groups, running statistics become the mean of theirs.

        Args:
          key: of dropout, where the network has any.
        """

        def one_group(key: jax.Array, images: jax.Array) -> tuple[Any, PyTree]:
            variables = {"params": params, "batch_stats": batch_stats}
            embeddings, updated = self.net.apply(
                variables, images, train=True, rngs={"dropout": key}, mutable=["batch_stats"]
            )
            return embeddings, updated.get("batch_stats", {})

        if self.groups == 1:
            return one_group(key, images)
        parts = images.reshape(self.groups, -1, *images.shape[1:])
        embeddings, stats = jax.vmap(one_group)(jax.random.split(key, self.groups), parts)
        return embeddings.reshape(len(images), -1), jax.tree.map(lambda leaf: leaf.mean(0), stats)

    def shuffled_apply(
        self,
        key: PRNGKeyArray,
        params: PyTree,
        batch_stats: PyTree,
        images: Float32[Array, "examples side side 3"],
    ) -> tuple[Float32[Array, "examples features"], PyTree]:
        """`apply` with the images shuffled between the groups, embeddings in their own order.

        A key and its query would otherwise share their group's statistics, and could be matched by
        these alone (MoCo, section 3.3).
        """
        dropout_key = jax.random.fold_in(key, 0)
        if self.groups == 1:
            return self.apply(dropout_key, params, batch_stats, images)
        order = jax.random.permutation(key, len(images))
        embeddings, stats = self.apply(dropout_key, params, batch_stats, images[order])
        return embeddings[jnp.argsort(order)], stats


@dataclasses.dataclass(frozen=True)
class Queues:
    """Queues of the newest keys, one for each class or one for all.

    Their state is {"keys": float32 [Q, K, D] of length 1, "index": int32 [Q, K], which example each
    slot holds, -1 for none, "next": int32 [Q], the slot that is overwritten next}.

    Attributes:
      count: Q. slots: K of each.
    """

    count: int
    slots: int

    def init(self) -> dict[str, jax.Array]:
        return {
            "keys": jnp.zeros((self.count, self.slots, FEATURES)),
            "index": jnp.full((self.count, self.slots), -1, jnp.int32),
            "next": jnp.zeros(self.count, jnp.int32),
        }

    def enqueued(
        self,
        state: dict[str, jax.Array],
        keys: Float32[Array, "examples features"],
        classes: Int[Array, " examples"],
        index: Int[Array, " examples"],
    ) -> dict[str, jax.Array]:
        """The state with the keys of a batch in place of each class's oldest ones.

        Args:
          classes: the class of each key; -1 leaves it out.
        """
        number = jnp.minimum(classes, self.count - 1)
        mine = number[:, None] == jnp.arange(self.count)[None]
        counts = mine.sum(0, dtype=jnp.int32)
        rank = jnp.take_along_axis(
            jnp.cumsum(mine, 0, dtype=jnp.int32), jnp.maximum(number, 0)[:, None], 1
        )[:, 0]
        at = (state["next"][number] + rank - 1) % self.slots
        # Of more keys than slots the last ones stay; what lies outside the queues is dropped.
        stays = (number >= 0) & (rank > counts[number] - self.slots)
        queue = jnp.where(stays, number, self.count)
        return {
            "keys": state["keys"].at[queue, at].set(keys, mode="drop"),
            "index": state["index"].at[queue, at].set(index, mode="drop"),
            "next": (state["next"] + counts) % self.slots,
        }


def momentum_update(keys: PyTree, queries: PyTree, momentum: float) -> PyTree:
    """theta_k := m theta_k + (1 - m) theta_q: MoCo, Eq. 2; EmoCo (FG 2021), Eq. 3.

    Parameters alone are averaged; the key encoder keeps its own batch statistics.
    """
    return optax.incremental_update(jax.lax.stop_gradient(queries), keys, 1 - momentum)
