"""Supervised pretraining of a face encoder: on face identities by ArcFace, or on emotions.

Two of the three pretrainings of Jiang et al., "Facial Action Unit Recognition With Multi-models
Ensembling" (ABAW3, 2022), section 4.1; the third, on AUs, is any method that learns them. Neither
tells AUs: their backbone is what later trainings start from. The paper does not print their losses.
"""

import dataclasses
from typing import Annotated

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32, Int

from au_jax import augment, losses, sharding
from au_jax.allowed import CountOrNone, Range, Share
from au_jax.errors import UserError
from au_jax.methods.base import (
    Context,
    Method,
    PyTree,
    emotion_classes,
    only_stream,
    shown_emotions,
)
from au_jax.models import AUNet
from au_jax.models.layers import xavier

# Standard deviation of the initial class centres, insightface's.
_SPREAD = 0.01


def create_identity(
    context: Context,
    *,
    scale: Annotated[float, Range(gt=0, le=10_000)] = 64.0,
    margin: Annotated[float, Range(ge=0, le=1.5)] = 0.5,
    sampled: CountOrNone = 0,
) -> Method:
    """Learns to tell the subjects of a stream apart, in a training's context.

    The margin softmax of ArcFace (Deng et al., CVPR 2019, https://arxiv.org/abs/1801.07698) over
    one class centre for each subject. A face whose subject is unknown has no part in the loss. The
    centres are shared out over the devices (An et al., "Partial FC", 2020,
    https://arxiv.org/abs/2010.05222); rows of padding behind them have no part in anything.

    Args:
      scale, margin: s and m of `losses.arcface_loss`; ArcFace's.
      sampled: how many class centres a step draws, see `losses.sample_classes`; 0 for all. The
        others move by momentum and weight decay alone.

    Raises:
      UserError: there is not one stream alone, its faces are not of two subjects at least, or
        `sampled` lies out of its range.
    """
    stream, facts = only_stream(context, "method face_identity")
    identities = facts.identities
    if identities < 2:
        raise UserError(
            f"stream '{stream}' has faces of {identities} named subjects, but method face_identity "
            "tells at least two apart; name a split of a data set that has them"
        )
    encoder = _Encoder.of(context)

    def drawn(
        key: jax.Array, identity: Int[Array, " examples"]
    ) -> tuple[Int[Array, " sampled"], Int[Array, " examples"]]:
        """The identities of a step, and where each example's one is among them."""
        return losses.sample_classes(key, identity, identities, sampled)

    if sampled:  # A number out of range is refused here, not at the first step.
        identity = jax.ShapeDtypeStruct((facts.share,), jnp.int32)
        jax.eval_shape(drawn, jax.random.PRNGKey(0), identity)

    def init(key: jax.Array) -> tuple[PyTree, PyTree, PyTree]:
        net_key, centre_key = jax.random.split(key)
        features, params, batch_stats = encoder.init(net_key)
        centres = _SPREAD * jax.random.normal(centre_key, (identities, features))
        kernel = jnp.pad(centres, ((0, sharding.padded(identities) - identities), (0, 0)))
        return {"net": params, "centres": {"kernel": kernel}}, {"net": batch_stats}, {}

    def loss(params: PyTree, batch_stats: PyTree, method_state: PyTree, batch: PyTree, step, key):
        net_key, sample_key = jax.random.split(key)
        features, net_stats = encoder.apply(
            net_key, params["net"], batch_stats["net"], batch[stream]["image"]
        )
        label, centres = batch[stream]["identity"], params["centres"]["kernel"]
        known = label >= 0
        # Compiled for several devices, each compares all faces with its own centres; or, where some
        # are drawn, its own faces with all of those.
        if sampled:
            rows, places = drawn(sample_key, jnp.maximum(label, 0))
            cosines = losses.class_cosines(features, centres[rows])
            label = jnp.where(known, places, -1)
        else:
            cosines = losses.class_cosines(features, centres, identities)
        value, nearest = losses.arcface_loss(cosines, label, scale, margin)
        logs = {"accuracy_identity": losses.mean_of_known(nearest, known)}
        return value, ({"net": net_stats}, method_state, logs)

    return Method(
        aus=(),
        init=init,
        loss=loss,
        unlabelled=(stream,),
        identified=(stream,),
        sharded=("centres",),
        notes=(f"learns to tell {identities} subjects apart",),
    )


def create_expression(context: Context, *, label_smoothing: Share = 0.0) -> Method:
    """Learns the emotions of a stream by cross entropy, in a training's context.

    A face whose emotion is unknown has no part in the loss. The classes are the emotions that the
    stream has.

    Args:
      label_smoothing: s, the share of each target that is spread evenly over all classes; the
        paper does not give its own.

    Raises:
      UserError: there is not one stream alone, or no face has a known emotion.
    """
    stream, facts = only_stream(context, "method expression")
    learned = shown_emotions(context, "expression")
    notes = [f"learns the emotions {', '.join(learned)}"]
    left_out = facts.records - sum(facts.emotions)
    if left_out:
        notes.append(
            f"{left_out} of {facts.records} faces have no known emotion: they are left out of the "
            "loss"
        )
    encoder = _Encoder.of(context)
    class_of = emotion_classes(learned)

    def init(key: jax.Array) -> tuple[PyTree, PyTree, PyTree]:
        net_key, head_key = jax.random.split(key)
        features, params, batch_stats = encoder.init(net_key)
        head = {
            "kernel": xavier(head_key, (features, len(learned)), jnp.float32),
            "bias": jnp.zeros(len(learned)),
        }
        return {"net": params, "emotion": head}, {"net": batch_stats}, {}

    def loss(params: PyTree, batch_stats: PyTree, method_state: PyTree, batch: PyTree, step, key):
        features, net_stats = encoder.apply(
            key, params["net"], batch_stats["net"], batch[stream]["image"]
        )
        logits = features @ params["emotion"]["kernel"] + params["emotion"]["bias"][None]
        label = class_of[batch[stream]["emotion"].astype(jnp.int32)]
        value = _smoothed_emotion_loss(logits, label, label_smoothing)
        logs = {"accuracy_emotion": losses.mean_of_known(logits.argmax(1) == label, label >= 0)}
        return value, ({"net": net_stats}, method_state, logs)

    return Method(
        aus=(),
        init=init,
        loss=loss,
        unlabelled=(stream,),
        notes=tuple(notes),
    )


@dataclasses.dataclass(frozen=True)
class _Encoder:
    """A network without outputs, whose pooled features are learned from.

    Attributes:
      net: the network. augmentation: of every image.
    """

    net: AUNet
    augmentation: augment.Augment

    @classmethod
    def of(cls, context: Context) -> "_Encoder":
        return cls(context.network.build({}), context.augmentation)

    def init(self, key: jax.Array) -> tuple[int, PyTree, PyTree]:
        """Returns (number of features, params, batch_stats)."""
        side = self.augmentation.image_size
        features, variables = self.net.init_with_output(
            key, jnp.zeros((2, side, side, 3)), train=False, method="pooled"
        )
        return features.shape[1], variables["params"], variables.get("batch_stats", {})

    def apply(
        self, key: jax.Array, params: PyTree, batch_stats: PyTree, images: jax.Array
    ) -> tuple[Float32[Array, "examples features"], PyTree]:
        """A training pass over augmented images: their features, and new batch statistics."""
        augment_key, dropout_key = jax.random.split(key)
        images = augment.augment_images(augment_key, images, self.augmentation)
        features, updated = self.net.apply(
            {"params": params, "batch_stats": batch_stats},
            images,
            train=True,
            rngs={"dropout": dropout_key},
            mutable=["batch_stats"],
            method="pooled",
        )
        return features, updated.get("batch_stats", {})


def _smoothed_emotion_loss(
    logits: Float32[Array, "examples classes"], label: Int[Array, " examples"], smoothing: float
) -> Float32[Array, ""]:
    """Cross entropy of the targets (1 - s) y + s / K over K classes, where the label is known."""
    value = losses.emotion_loss(logits, label)
    if not smoothing:
        return value
    of_class = jax.vmap(lambda k: losses.emotion_loss(logits, jnp.where(label >= 0, k, -1)))
    return (1 - smoothing) * value + smoothing * of_class(jnp.arange(logits.shape[1])).mean()
