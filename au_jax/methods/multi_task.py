"""Multi-task supervised training: one output per AU and data set.

Werner, Saxen and Al-Hamadi, "Facial Action Unit Recognition in the Wild with Multi-Task CNN
Self-Training for the EmotioNet Challenge" (CVPR Workshops 2020), section 2. With one stream and
one head it is plain supervised training; with pseudo-labels in the second stream it is the student.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from au_jax import augment, losses
from au_jax.methods.base import Method, PyTree, Variables
from au_jax.models.network_spec import NetworkSpec


def create(
    *,
    aus: Sequence[str],
    network: Mapping[str, Any],
    image_size: int,
    augmentation: Mapping[str, Any],
    heads: Mapping[str, str],
    predict_head: str,
    class_weights: Mapping[str, Sequence[Sequence[float]]],
    label_smoothing: float,
) -> Method:
    """The method, from JSON-able values.

    A stream with the field `soft`, float32 [b, A], learns those probabilities, not its labels.

    Args:
      aus: the AUs of every head, in order.
      network: the fields of `NetworkSpec`.
      image_size: pixels of the square input.
      augmentation: the fields of `augment.Augment`, less the image size.
      heads: the head that each stream trains, {stream: head}. Streams that name one head share it
        (the paper's ablation "no multi-task").
      predict_head: the head that predicts; the paper's is that of the manually labelled set.
      class_weights: w_m(y) of each stream, [A, 2]: of absent and of present labels.
      label_smoothing: 0.2 in the paper.
    """
    net = NetworkSpec(**network).build(dict.fromkeys(heads.values(), len(aus)))
    noise = augment.Augment(image_size=image_size, **augmentation)
    weights = {name: jnp.asarray(w, jnp.float32) for name, w in class_weights.items()}

    def init(key: jax.Array) -> tuple[PyTree, PyTree, PyTree]:
        images = jnp.zeros((2, image_size, image_size, 3))
        variables = net.init(key, images, jnp.zeros((2, 3)), train=False)
        return variables["params"], variables["batch_stats"], {}

    def loss(params: PyTree, batch_stats: PyTree, method_state: PyTree, batch: PyTree, key):
        augment_key, dropout_key = jax.random.split(key)
        # One pass over all streams, so that batch statistics are those of the whole batch.
        images, pose = (
            jnp.concatenate([batch[stream][field] for stream in heads])
            for field in ("image", "pose")
        )
        labels = jnp.concatenate(
            [batch[stream].get("soft", batch[stream]["labels"]) for stream in heads]
        )
        images, labels, pose = augment.augment(augment_key, images, labels, pose, noise, aus)
        by_head, updated = net.apply(
            {"params": params, "batch_stats": batch_stats},
            images,
            pose,
            train=True,
            rngs={"dropout": dropout_key},
            mutable=["batch_stats"],
        )
        logits, entry_weights, start = [], [], 0
        for stream, head in heads.items():
            share = batch[stream]["labels"].shape[0]
            logits.append(by_head[head][start : start + share])
            entry_weights.append(jnp.broadcast_to(weights[stream], (share, len(aus), 2)))
            start += share
        value = losses.weighted_bce(
            jnp.concatenate(logits), labels, jnp.concatenate(entry_weights), label_smoothing
        )
        return value, (updated["batch_stats"], method_state, {})

    def predict(variables: Variables, images: jax.Array, pose: jax.Array) -> jax.Array:
        crops = augment.center_crop(images, image_size)
        by_head: Any = net.apply(variables, crops, pose, train=False)
        return by_head[predict_head]

    return Method(aus=tuple(aus), init=init, loss=loss, predict=predict)
