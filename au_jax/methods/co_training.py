"""Two-network co-training on clean and noisy labels: networks, views and selective learning.

Li et al., "ReCoT: Regularized Co-Training for Facial Action Unit Recognition with Noisy Labels"
(BMVC 2023), section 3.2. ReCoT and its rivals are built from the same parts, so that what differs
between them is their objective: same heads, same initial weights of the first network, same draws.

A batch has the streams "clean" and "noisy" (a method may need one of them only). Labels stay those
of the stored image: where an augmentation flips an image and with it left and right AUs, the
network's outputs are put back, so that two views of one image can be compared.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32, Int8, Num, PRNGKeyArray, UInt8

from au_jax import augment, losses
from au_jax import aus as au_names
from au_jax.errors import UserError
from au_jax.methods.base import Context, PyTree, Variables
from au_jax.models import AUNet
from au_jax.models.layers import xavier

STREAMS = CLEAN, NOISY = ("clean", "noisy")
VIEWS = ("view1", "view2")
_HIDDEN = 512


class PerceptronNet(nn.Module):
    """A two-layer perceptron per head: features -> 512, ReLU -> outputs (the size is ours).

    Attributes:
      net: the backbone, its heads being the hidden layers.
      outputs: of each head.
    """

    net: AUNet
    outputs: int

    @nn.compact
    def __call__(self, images: jax.Array, pose: jax.Array, train: bool) -> dict[str, jax.Array]:
        """Returns the logits of each head: float32 [B, outputs]. The arguments are `AUNet`'s."""
        return {
            head: nn.Dense(self.outputs, kernel_init=xavier, name=f"output_{head}")(nn.relu(hidden))
            for head, hidden in self.net(images, pose, train).items()
        }


class Seen(NamedTuple):
    """An augmented batch.

    Attributes:
      images: in [0, 1]. pose: pitch, yaw, roll, degrees.
      columns: the column of the stored image's labels that each label of this image is; the other
        way round as well.
    """

    images: Float32[Array, "examples side side 3"]
    pose: Float32[Array, "examples 3"]
    columns: Int8[Array, "examples aus"]


def rearranged(
    values: Num[Array, "examples aus"], columns: Int8[Array, "examples aus"]
) -> Num[Array, "examples aus"]:
    """Values of the stored images' AUs as of the augmented images', or back."""
    return jnp.take_along_axis(values, columns.astype(jnp.int32), 1)


def joined(batch: PyTree, streams: Sequence[str], field: str) -> jax.Array:
    """One field of all `streams`, one after the other."""
    return jnp.concatenate([batch[stream][field] for stream in streams])


@dataclasses.dataclass(frozen=True)
class Networks:
    """The one or two networks of a method, each with its own augmentation of every image.

    Parameters and batch statistics are {view: tree}. The first network begins with the same weights
    whatever the number of networks and heads.

    Attributes:
      views: the networks' names.
      aus: what the networks tell. augmentation: how their training images are augmented.
      ratios: r_k of selective learning, one per AU.
      net: the network that is trained. predictor: its part that predicts, the clean head.
    """

    views: tuple[str, ...]
    aus: tuple[str, ...]
    augmentation: augment.Augment
    ratios: tuple[float, ...]
    net: PerceptronNet
    predictor: PerceptronNet

    @classmethod
    def of(
        cls,
        context: Context,
        selective_ratios: Sequence[float],
        *,
        views: int = 1,
        heads: Sequence[str] = (CLEAN,),
        streams: Sequence[str] = STREAMS,
    ) -> "Networks":
        """The networks in a training's context.

        Args:
          selective_ratios: r_k of every AU, see `selective_masks`; 0 leaves nothing out.
          views: how many, 1 or 2.
          heads: of each; the clean one predicts.
          streams: that the method learns from.

        Raises:
          UserError: the context's streams are others; there are not 1 or 2 views; a ratio is
            missing or out of its range; or images are flipped, and an AU's mirror image is not
            among the AUs.
        """
        aus = context.aus
        if set(context.streams) != set(streams):
            raise UserError(
                f"the method learns from the streams {', '.join(streams)}, but its stage has "
                f"{', '.join(context.streams)}; give it just these, or choose another method"
            )
        if views not in (1, 2):
            raise UserError(f"views is {views}; give 1 or 2 networks")
        if len(selective_ratios) != len(aus):
            raise UserError(
                f"selective_ratios has {len(selective_ratios)} numbers, but there are {len(aus)} "
                f"AUs; give one for each of {', '.join(aus)}"
            )
        for au, ratio in zip(aus, selective_ratios, strict=True):
            if not 0 <= ratio <= 1:
                raise UserError(
                    f"the selective_ratios of {au} is {ratio}; give a number from 0 to 1"
                )
        alone = [au for au, both in zip(aus, au_names.mirror_known(aus), strict=True) if not both]
        if context.augmentation.flip and alone:
            raise UserError(
                f"a flip turns {alone[0]} into {au_names.MIRROR[alone[0]]}, which is not among the "
                "AUs; add it to them, or set augmentation.flip to 0"
            )

        def build(heads: Sequence[str]) -> PerceptronNet:
            return PerceptronNet(context.network.build(dict.fromkeys(heads, _HIDDEN)), len(aus))

        return cls(
            views=VIEWS[:views],
            aus=aus,
            augmentation=context.augmentation,
            ratios=tuple(selective_ratios),
            net=build(heads),
            predictor=build((CLEAN,)),
        )

    def init(self, key: jax.Array) -> tuple[PyTree, PyTree, PyTree]:
        """Returns (params, batch_stats, {}): a method without a state of its own."""
        side = self.augmentation.image_size
        images, pose = jnp.zeros((2, side, side, 3)), jnp.zeros((2, 3))
        variables = {
            view: self.net.init(jax.random.fold_in(key, number), images, pose, train=False)
            for number, view in enumerate(self.views)
        }
        params = {view: v["params"] for view, v in variables.items()}
        return params, {view: v.get("batch_stats", {}) for view, v in variables.items()}, {}

    def augmented(self, key: PRNGKeyArray, batch: PyTree, streams: Sequence[str]) -> Seen:
        """One view of all `streams`, one after the other."""
        images, pose = joined(batch, streams, "image"), joined(batch, streams, "pose")
        columns = jnp.arange(len(self.aus), dtype=jnp.int8)[None]
        columns = jnp.broadcast_to(columns, (len(images), len(self.aus)))
        images, columns, pose = augment.augment(
            key, images, columns, pose, self.augmentation, self.aus
        )
        return Seen(images, pose, columns)

    def apply(
        self,
        key: PRNGKeyArray,
        params: PyTree,
        batch_stats: PyTree,
        images: Float32[Array, "examples side side 3"],
        pose: Float32[Array, "examples 3"],
    ) -> tuple[dict[str, Float32[Array, "examples aus"]], PyTree]:
        """A training pass of one network, with its own trees, `key` for its dropout.

        Returns:
          The logits of each head, and new batch statistics.
        """
        by_head, updated = self.net.apply(
            {"params": params, "batch_stats": batch_stats},
            images,
            pose,
            train=True,
            rngs={"dropout": key},
            mutable=["batch_stats"],
        )
        return by_head, updated.get("batch_stats", {})

    def keys(self, key: jax.Array) -> Iterator[tuple[jax.Array, jax.Array]]:
        """Yields each network's keys, for augmentation and dropout."""
        for number in range(len(self.views)):
            augment_key, dropout_key = jax.random.split(jax.random.fold_in(key, number))
            yield augment_key, dropout_key

    def forward(
        self,
        key: PRNGKeyArray,
        params: PyTree,
        batch_stats: PyTree,
        batch: PyTree,
        streams: Sequence[str],
    ) -> tuple[dict[str, Float32[Array, "views examples aus"]], PyTree]:
        """A training pass of each network over its own augmentation of `streams`.

        All streams go in one pass, so that batch statistics are those of the whole batch.

        Returns:
          The logits of each head, as of the stored images, and new batch statistics.
        """
        each, updated = [], {}
        for view, (augment_key, dropout_key) in zip(self.views, self.keys(key), strict=True):
            seen = self.augmented(augment_key, batch, streams)
            by_head, updated[view] = self.apply(
                dropout_key, params[view], batch_stats[view], seen.images, seen.pose
            )
            each.append({h: rearranged(values, seen.columns) for h, values in by_head.items()})
        return {head: jnp.stack([e[head] for e in each]) for head in each[0]}, updated

    def evaluate(
        self,
        variables: Variables,
        images: UInt8[Array, "examples height width 3"],
        pose: Float32[Array, "examples 3"],
        net: PerceptronNet,
    ) -> dict[str, Float32[Array, "views examples aus"]]:
        """The logits of each head of `net` on plain images."""
        crops = augment.center_crop(images, self.augmentation.image_size)
        each: list[Any] = [
            net.apply({kind: tree[view] for kind, tree in variables.items()}, crops, pose, False)
            for view in self.views
        ]
        return {head: jnp.stack([e[head] for e in each]) for head in each[0]}

    def predict(
        self,
        variables: Variables,
        images: UInt8[Array, "examples height width 3"],
        pose: Float32[Array, "examples 3"],
    ) -> Float32[Array, "examples aus"]:
        """The logit of the networks' mean clean probability."""
        return mean_logits(self.evaluate(variables, images, pose, self.predictor)[CLEAN])

    def kept(self, params: PyTree, batch_stats: PyTree, method_state: PyTree) -> Variables:
        """What `predict` needs: all but the noisy head."""
        del method_state

        def clean(tree: Mapping[str, Any]) -> dict[str, Any]:
            return {name: part for name, part in tree.items() if not name.endswith(f"_{NOISY}")}

        kept = {view: clean(tree) | {"net": clean(tree["net"])} for view, tree in params.items()}
        return {"params": kept, "batch_stats": batch_stats}

    def selective_masks(
        self, key: PRNGKeyArray, labels: Int8[Array, "examples aus"]
    ) -> Bool[Array, "views examples aus"]:
        """Which entries count by selective learning, drawn for each view.

        The 0/1 mask of Eq. 2. With half = r_k times the known labels of AU k in the batch: where
        its positives are fewer, ceil(half) of its negatives are drawn and the others left out (as
        in the released code of MLCR, with which ReCoT shares authors).
        """
        numbers = jnp.arange(len(self.views))
        keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(numbers)
        return jax.vmap(lambda k: losses.balanced_mask(k, labels, self.ratios, "released"))(keys)

    def clean_loss(
        self,
        key: PRNGKeyArray,
        logits: Float[Array, "views examples aus"],
        labels: Int8[Array, "examples aus"],
    ) -> Float32[Array, ""]:
        """L_clean of ReCoT, Eq. 2, the mean over the views."""
        return losses.selective_loss(logits, labels[None] == 1, self.selective_masks(key, labels))


def mean_logits(
    logits: Float[Array, "voters *#shape"], votes: Bool[Array, "voters *#shape"] | None = None
) -> Float32[Array, "*shape"]:
    """The logit of the mean probability of K views: sigmoid(result) = mean of sigmoid(logits).

    Computed from the logits, so that it neither overflows nor loses probabilities near 0 and 1.

    Args:
      votes: False leaves an entry out of the mean; every view votes when not given. At least one
        must vote.
    """
    logits = logits.astype(jnp.float32)
    # The number of voters cancels in log p - log (1 - p).
    present = jax.nn.logsumexp(jax.nn.log_sigmoid(logits), 0, where=votes)
    absent = jax.nn.logsumexp(jax.nn.log_sigmoid(-logits), 0, where=votes)
    return present - absent
