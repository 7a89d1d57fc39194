"""Multi-task supervised training: one output per AU and data set.

Werner, Saxen and Al-Hamadi, "Facial Action Unit Recognition in the Wild with Multi-Task CNN
Self-Training for the EmotioNet Challenge" (CVPR Workshops 2020), section 2. With one stream and
one head it is plain supervised training; with pseudo-labels in the second stream it is the student.
"""

from typing import Any

import jax
import jax.numpy as jnp

from au_jax import augment, losses
from au_jax.errors import unknown
from au_jax.methods.base import Context, Method, PyTree, Variables


def create(
    context: Context,
    *,
    predict_head: str = "opt",
    damping: float = 0.5,
    label_smoothing: float = 0.2,
) -> Method:
    """The method in a training's context.

    Streams that name one head share it (the paper's ablation "no multi-task"). A stream with the
    field `soft`, float32 [b, A], learns those probabilities, not its labels.

    Args:
      predict_head: the head that predicts; the paper's is that of the manually labelled set.
      damping: alpha of each stream's class weights, see `losses.damped_class_weights`; the paper
        has 0.5 for expression AUs and 0.7 for pose AUs.
      label_smoothing: see `losses.smooth_labels`; the paper's.

    Raises:
      UserError: no stream has the head that predicts.
    """
    aus, image_size = context.aus, context.image_size
    heads = {name: facts.head for name, facts in context.streams.items()}
    if predict_head not in heads.values():
        raise unknown("predict_head", predict_head, dict.fromkeys(heads.values()))
    net = context.network.build(dict.fromkeys(heads.values(), len(aus)))
    weights = {
        name: jnp.asarray(losses.damped_class_weights(facts.positives, facts.negatives, damping))
        for name, facts in context.streams.items()
    }

    def init(key: jax.Array) -> tuple[PyTree, PyTree, PyTree]:
        images = jnp.zeros((2, image_size, image_size, 3))
        variables = net.init(key, images, jnp.zeros((2, 3)), train=False)
        return variables["params"], variables.get("batch_stats", {}), {}

    def loss(params: PyTree, batch_stats: PyTree, method_state: PyTree, batch: PyTree, step, key):
        augment_key, dropout_key = jax.random.split(key)
        # One pass over all streams, so that batch statistics are those of the whole batch.
        images, pose = (
            jnp.concatenate([batch[stream][field] for stream in heads])
            for field in ("image", "pose")
        )
        labels = jnp.concatenate(
            [batch[stream].get("soft", batch[stream]["labels"]) for stream in heads]
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

    return Method(aus=aus, init=init, loss=loss, predict=predict)
