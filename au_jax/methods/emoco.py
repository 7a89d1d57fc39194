"""EmoCo and MoCo: contrastive pretraining of a face encoder, with emotions or without.

Sun, Zeng and Shan, "Emotion-aware Contrastive Learning for Facial Action Unit Detection" (FG 2021),
section III. Two views of a face are told from other faces of the same emotion, in a space centred
on that emotion, while the emotion itself is classified. MoCo (He et al., CVPR 2020,
https://arxiv.org/abs/1911.05722) is the case of one class, of the contrastive loss alone, and of no
centring.
"""

from collections.abc import Sequence
from typing import Annotated

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from au_jax import aus as au_names
from au_jax import losses
from au_jax.allowed import Decay, OneOf, Range, Unique, Weight
from au_jax.errors import UserError, unknown
from au_jax.methods.base import Context, Method, PyTree, emotion_classes, shown_emotions
from au_jax.methods.momentum_contrast import FEATURES, Encoder, Queues, momentum_update
from au_jax.models.layers import xavier


def create(
    context: Context,
    *,
    emotions: Annotated[Sequence[Annotated[str, OneOf(au_names.EMOTIONS)]], Unique()] = (),
    emotion_weight: Weight = 1.0,
    contrast: bool = True,
    multi_queue: bool = True,
    intra_class_normalization: bool = True,
    queue: Annotated[int, Range(ge=1, le=2**24)] = 65536,
    temperature: Annotated[float, Range(gt=0, le=100)] = 0.2,
    momentum: Decay = 0.999,
    bn: Annotated[str, OneOf(("sync", "split"))] = "sync",
    bn_groups: Annotated[int, Range(ge=1, le=4096)] = 8,
) -> Method:
    """EmoCo in a training's context. It tells no AUs; its encoder is what others start from.

    A face whose emotion is unknown has no part in either loss and enters no queue.

    Args:
      emotions: those to learn from; by default all that the data have. Faces of another one count
        as unknown. Each emotion has a queue of its own.
      emotion_weight: lambda of Eq. 1; with 0 emotions are not classified.
      contrast: whether there is L_cont; without it this is a classifier of emotions.
      multi_queue: whether each emotion has its queue, or all share one.
      intra_class_normalization: whether vectors are centred on their emotion (Eq. 4).
      queue: K, the slots of each queue.
      temperature: tau.
      momentum: m of the key encoder.
      bn, bn_groups: see `Encoder.of`.

    Raises:
      UserError: no face has a known emotion; an emotion is not one of `aus.EMOTIONS` or has no
        faces; there is nothing to learn; or see `Encoder.of`.
    """
    encoder = Encoder.of(context, bn, bn_groups)
    ((stream, facts),) = context.streams.items()
    shown = shown_emotions(context, "emoco", rival="moco")
    for emotion in emotions:
        if emotion not in shown:
            raise unknown(f"emotion of stream '{stream}'", emotion, shown)
    learned = [e for e in shown if e in emotions or not emotions]
    if not (contrast or emotion_weight):
        raise UserError("method emoco has neither contrast nor an emotion_weight; give it one")
    left_out = facts.records - sum(facts.emotions[au_names.EMOTIONS.index(e)] for e in learned)
    notes = [f"learns from the emotions {', '.join(learned)}"]
    if left_out:
        notes.append(
            f"{left_out} of {facts.records} faces have no known emotion of these: they are left "
            "out of both losses and of every queue"
        )
    return _method(
        encoder,
        stream,
        class_of=emotion_classes(learned),
        classes=len(learned),
        emotion_weight=emotion_weight,
        queues=Queues(len(learned) if multi_queue else 1, queue) if contrast else None,
        normalized=intra_class_normalization,
        temperature=temperature,
        momentum=momentum,
        notes=tuple(notes),
    )


def create_moco(
    context: Context,
    *,
    queue: Annotated[int, Range(ge=1, le=2**24)] = 65536,
    temperature: Annotated[float, Range(gt=0, le=100)] = 0.2,
    momentum: Decay = 0.999,
    bn: Annotated[str, OneOf(("sync", "split"))] = "sync",
    bn_groups: Annotated[int, Range(ge=1, le=4096)] = 8,
) -> Method:
    """MoCo in a training's context: no labels, and one queue.

    Args:
      queue: K, its slots.
      temperature: tau; that of MoCo v2 with its projector.
      momentum: m of the key encoder.
      bn, bn_groups: see `Encoder.of`.

    Raises:
      UserError: see `Encoder.of`.
    """
    encoder = Encoder.of(context, bn, bn_groups)
    (stream,) = context.streams
    return _method(
        encoder,
        stream,
        class_of=jnp.zeros_like(emotion_classes(())),
        classes=1,
        emotion_weight=0.0,
        queues=Queues(1, queue),
        normalized=False,
        temperature=temperature,
        momentum=momentum,
    )


def _method(
    encoder: Encoder,
    stream: str,
    *,
    class_of: Int[Array, " codes"],
    classes: int,
    emotion_weight: Weight,
    queues: Queues | None,
    normalized: bool,
    temperature: float,
    momentum: float,
    notes: tuple[str, ...] = (),
) -> Method:
    """Both methods; without `queues` there is no contrast.

    Args:
      class_of: of each code of an emotion, see `emotion_classes`. classes: how many there are.
    """
    has_prototypes = bool(emotion_weight) or (normalized and queues is not None)

    def init(key: jax.Array) -> tuple[PyTree, PyTree, PyTree]:
        encoder_key, emotion_key = jax.random.split(key)
        net_params, net_stats = encoder.init(encoder_key)
        params, batch_stats = {"encoder": net_params}, {"encoder": net_stats}
        if has_prototypes:
            kernel = xavier(emotion_key, (FEATURES, classes), jnp.float32)
            params["emotion"] = {"kernel": kernel}
        return params, batch_stats, started(params, batch_stats, {})

    def started(params: PyTree, batch_stats: PyTree, method_state: PyTree) -> PyTree:
        del method_state
        if queues is None:
            return {}
        # Copies: a state is donated to the step, and may hold no array twice.
        copied = jax.tree.map(jnp.copy, {"params": params, "batch_stats": batch_stats})
        return {**{name: tree["encoder"] for name, tree in copied.items()}, "queues": queues.init()}

    def loss(params: PyTree, batch_stats: PyTree, method_state: PyTree, batch: PyTree, step, key):
        images, index = batch[stream]["image"], batch[stream]["index"]
        label = class_of[batch[stream]["emotion"].astype(jnp.int32)]
        query_key, key_key, shuffle_key = jax.random.split(key, 3)
        dropout_key = jax.random.fold_in(query_key, 0)
        q, net_stats = encoder.apply(
            dropout_key, params["encoder"], batch_stats["encoder"], encoder.view(query_key, images)
        )
        value, logs = jnp.zeros(()), {}
        if emotion_weight:
            scores = jnp.dot(q, params["emotion"]["kernel"], precision="highest")
            logs["loss_emotion"] = losses.emotion_loss(scores, label)
            logs["accuracy_emotion"] = losses.mean_of_known(scores.argmax(1) == label, label >= 0)
            value += emotion_weight * logs["loss_emotion"]
        if queues is not None:
            # MoCo's order: q, the key encoder's update, k, the logits, and last the queues.
            key_params = momentum_update(method_state["params"], params["encoder"], momentum)
            k, key_stats = encoder.shuffled_apply(
                shuffle_key, key_params, method_state["batch_stats"], encoder.view(key_key, images)
            )
            queued = method_state["queues"]
            prototypes = losses.unit(params["emotion"]["kernel"].T) if normalized else None
            shared = queues.count == 1 and not normalized
            logs["loss_contrast"], nearest = losses.contrastive_loss(
                q,
                k,
                jnp.minimum(label, 0) if shared else label,
                index,
                queued["keys"],
                queued["index"],
                temperature,
                prototypes,
            )
            logs["accuracy_contrast"] = losses.mean_of_known(nearest, label >= 0)
            value += logs["loss_contrast"]
            method_state = {
                "params": key_params,
                "batch_stats": key_stats,
                "queues": queues.enqueued(queued, k, label, index),
            }
        return value, ({"encoder": net_stats}, method_state, logs)

    return Method(
        aus=(),
        init=init,
        loss=loss,
        started=started,
        unlabelled=(stream,),
        notes=notes,
    )
