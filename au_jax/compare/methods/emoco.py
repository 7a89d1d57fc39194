"""EmoCo and MoCo in PyTorch: contrastive pretraining of a face encoder.

Sun, Zeng and Shan, "Emotion-aware Contrastive Learning for Facial Action Unit Detection" (FG 2021),
section III; MoCo (He et al., CVPR 2020, https://arxiv.org/abs/1911.05722) is the case of one class,
of the contrastive loss alone, and of no centring.
"""

import copy
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import torch
import torch.nn.functional as F
from torch import nn

from au_jax import augment
from au_jax.compare.counterpart import (
    Counterpart,
    Drawn,
    Logs,
    PyTree,
    StateDict,
    linear_state,
    load_state,
)
from au_jax.compare.methods.momentum_contrast import (
    FEATURES,
    ProjectedNet,
    Queues,
    contrastive_loss,
    in_groups,
    momentum_update,
    projected_state,
)
from au_jax.methods.base import Context, emotion_classes, shown_emotions


class EmoCo:
    """The networks, the key encoder with its queues, and the losses.

    Attributes:
      module: the encoder with its projector, and the weights of emotions, [classes, 128].
      key_encoder, queues: set by `begin`.
    """

    key_encoder: ProjectedNet
    queues: Queues

    def __init__(
        self,
        context: Context,
        *,
        class_of: jax.Array,
        classes: int,
        emotion_weight: float,
        contrast: bool,
        normalized: bool,
        temperature: float,
        momentum: float,
        bn: str,
        bn_groups: int,
    ):
        self.context, self.class_of, self.classes = context, class_of, classes
        self.emotion_weight, self.contrast, self.normalized = emotion_weight, contrast, normalized
        self.temperature, self.momentum = temperature, momentum
        self.groups = bn_groups if bn == "split" else 1
        self.encoder = ProjectedNet(context.network, context.image_size)
        self.module = nn.ModuleDict({"encoder": self.encoder})
        if emotion_weight or (normalized and contrast):
            self.emotion = nn.Linear(FEATURES, classes, bias=False)
            self.module["emotion"] = self.emotion

    def draw(self, method_state: PyTree, batch: PyTree, step: jax.Array, key: jax.Array) -> Drawn:
        ((stream, _),) = self.context.streams.items()
        faces = batch[stream]
        query_key, key_key, shuffle_key = jax.random.split(key, 3)
        queries, keys = (
            augment.augment_images(view_key, faces["image"], self.context.augmentation)
            for view_key in (query_key, key_key)
        )
        order = jnp.arange(len(queries))
        if self.groups > 1:
            order = jax.random.permutation(shuffle_key, len(queries))
        label = self.class_of[faces["emotion"].astype(jnp.int32)]
        return {
            "queries": queries,
            "keys": keys,
            "order": order,
            "label": label,
            "index": faces["index"],
        }

    def begin(self, method_state: PyTree) -> None:
        if not self.contrast:
            return
        self.key_encoder = copy.deepcopy(self.encoder).requires_grad_(False)
        state = projected_state(
            self.context.network, method_state["params"], method_state["batch_stats"]
        )
        load_state(self.key_encoder, state)
        like = self.encoder.output.weight
        queues = {
            name: torch.tensor(jax.device_get(x)) for name, x in method_state["queues"].items()
        }
        self.queues = Queues(
            queues["keys"].to(like), queues["index"].long().to(like.device), queues["next"].tolist()
        )

    def loss(self, drawn: Drawn) -> tuple[torch.Tensor, Logs]:
        label, logs = drawn["label"].long(), {}
        known = label >= 0
        q = in_groups(self.encoder, drawn["queries"], self.groups)
        total = q.new_zeros(())
        if self.emotion_weight:
            entries = F.cross_entropy(self.emotion(q), label, ignore_index=-1, reduction="sum")
            logs["loss_emotion"] = entries / known.sum().clamp(min=1)
            total = total + self.emotion_weight * logs["loss_emotion"]
        if self.contrast:
            momentum_update(self.key_encoder, self.encoder, self.momentum)
            k = self.keys_of(drawn["keys"], drawn["order"])
            logs["loss_contrast"] = self.contrast_of(q, k, label, drawn["index"])
            total = total + logs["loss_contrast"]
            self.queues.enqueue(k, label, drawn["index"].long())
        return total, logs

    @torch.no_grad()
    def keys_of(self, images: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
        """k, of images shuffled between the parts of the batch, in the order of the queries."""
        return in_groups(self.key_encoder, images[order], self.groups)[order.argsort()]

    @torch.compiler.disable  # How many faces a class has changes from step to step.
    def contrast_of(
        self, q: torch.Tensor, k: torch.Tensor, label: torch.Tensor, index: torch.Tensor
    ) -> torch.Tensor:
        """L_cont, Eq. 5: each class in a space centred on its emotion, against its own queue."""
        entries, count = [], len(self.queues.keys)
        for number in range(self.classes):
            mine = label == number
            queue = number if count > 1 else 0
            # A copy, as the queue is overwritten before the gradient is taken.
            query, key, negatives = q[mine], k[mine], self.queues.keys[queue].clone()
            if self.normalized:
                prototype = F.normalize(self.emotion.weight[number].detach(), dim=0)
                query, key, negatives = (
                    F.normalize(v - prototype, dim=1) for v in (query, key, negatives)
                )  # N(v), Eq. 4.
            queued, example = self.queues.index[queue], index[mine]
            entries.append(
                contrastive_loss(query, key, example, negatives, queued, self.temperature)
            )
        return torch.cat(entries).sum() / (label >= 0).sum().clamp(min=1)

    def state(self, params: PyTree, batch_stats: PyTree) -> StateDict:
        stats = batch_stats.get("encoder", {})
        state = projected_state(self.context.network, params["encoder"], stats, "encoder.")
        if "emotion" in params:
            state |= linear_state("emotion", params["emotion"])
        return state

    def counterpart(self) -> Counterpart:
        return Counterpart(self.module, self.draw, self.loss, self.state, self.begin)


def create(
    context: Context,
    *,
    emotions: Sequence[str],
    emotion_weight: float,
    contrast: bool,
    multi_queue: bool,
    intra_class_normalization: bool,
    queue: int,
    temperature: float,
    momentum: float,
    bn: str,
    bn_groups: int,
) -> Counterpart:
    """The counterpart of `au_jax.methods.emoco.create`, whose options these are."""
    del multi_queue, queue  # The queues are those that a training begins with.
    shown = shown_emotions(context, "emoco", rival="moco")
    learned = [e for e in shown if e in emotions or not emotions]
    return EmoCo(
        context,
        class_of=emotion_classes(learned),
        classes=len(learned),
        emotion_weight=emotion_weight,
        contrast=contrast,
        normalized=intra_class_normalization,
        temperature=temperature,
        momentum=momentum,
        bn=bn,
        bn_groups=bn_groups,
    ).counterpart()


def create_moco(
    context: Context, *, queue: int, temperature: float, momentum: float, bn: str, bn_groups: int
) -> Counterpart:
    """The counterpart of `au_jax.methods.emoco.create_moco`, whose options these are."""
    del queue  # It is the one that a training begins with.
    return EmoCo(
        context,
        class_of=jnp.zeros_like(emotion_classes(())),
        classes=1,
        emotion_weight=0.0,
        contrast=True,
        normalized=False,
        temperature=temperature,
        momentum=momentum,
        bn=bn,
        bn_groups=bn_groups,
    ).counterpart()
