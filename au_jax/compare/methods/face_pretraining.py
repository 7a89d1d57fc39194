"""Supervised pretraining of a face encoder in PyTorch: identities by ArcFace, or emotions.

Two of the pretrainings of Jiang et al., "Facial Action Unit Recognition With Multi-models
Ensembling" (ABAW3, 2022), section 4.1.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import torch
import torch.nn.functional as F
from torch import nn

from au_jax import augment
from au_jax.compare.counterpart import Counterpart, Drawn, Logs, PyTree, StateDict, linear_state
from au_jax.export.pytorch import networks, weights
from au_jax.losses import sample_classes
from au_jax.methods.base import Context, emotion_classes, only_stream, shown_emotions


def arcface_loss(
    embeddings: torch.Tensor,
    centres: torch.Tensor,
    labels: torch.Tensor,
    scale: float,
    margin: float,
) -> torch.Tensor:
    """Softmax cross entropy of s cos(theta), the true class having s cos(theta + m).

    Deng et al., "ArcFace" (CVPR 2019, https://arxiv.org/abs/1801.07698), equation 3, without "easy
    margin".

    Args:
      embeddings: [B, D]. centres: [C, D], of any length.
      labels: [B], -1 leaves an example out.

    Returns:
      The mean over the examples that count.
    """
    cosines = F.linear(F.normalize(embeddings), F.normalize(centres)).clamp(-1, 1)
    known = labels >= 0
    place = labels.clamp(min=0)[:, None]
    cosine = cosines.gather(1, place)
    sine = (1 - cosine**2).clamp(min=1e-7).sqrt()
    with_margin = torch.where(
        cosine > math.cos(math.pi - margin),
        cosine * math.cos(margin) - sine * math.sin(margin),
        cosine - margin * math.sin(math.pi - margin),
    )
    logits = scale * cosines.scatter(1, place, with_margin)
    entries = F.cross_entropy(logits, labels, ignore_index=-1, reduction="sum")
    return entries / known.sum().clamp(min=1)


class IdentityNet(nn.Module):
    """A backbone, and the centre of each class, [identities, features]."""

    def __init__(self, net: networks.AUNet, identities: int):
        super().__init__()
        self.net = net
        self.centres = nn.Parameter(torch.empty(identities, net.features).normal_(std=0.01))


def create_identity(context: Context, *, scale: float, margin: float, sampled: int) -> Counterpart:
    """The counterpart of `au_jax.methods.face_pretraining.create_identity`, whose options these
    are."""
    stream, facts = only_stream(context, "method face_identity")
    module = IdentityNet(_encoder(context), facts.identities)

    def draw(method_state: PyTree, batch: PyTree, step: jax.Array, key: jax.Array) -> Drawn:
        net_key, sample_key = jax.random.split(key)
        label = batch[stream]["identity"]
        drawn = {"images": _draw_images(context, net_key, batch[stream]["image"]), "label": label}
        if sampled:
            known = jnp.maximum(label, 0)
            rows, places = sample_classes(sample_key, known, facts.identities, sampled)
            drawn |= {"rows": rows, "label": jnp.where(label >= 0, places, -1)}
        return drawn

    def loss(drawn: Drawn) -> tuple[torch.Tensor, Logs]:
        features = module.net.pooled(drawn["images"])
        centres = module.centres[drawn["rows"].long()] if sampled else module.centres
        return arcface_loss(features, centres, drawn["label"].long(), scale, margin), {}

    def state(params: PyTree, batch_stats: PyTree) -> StateDict:
        stats = batch_stats.get("net", {})
        of_net = weights.state_dict(context.network, params["net"], stats, "net.")
        # Behind the centres are rows of padding, which have no part in anything.
        return of_net | {"centres": params["centres"]["kernel"][: facts.identities]}

    return Counterpart(module, draw, loss, state)


def create_expression(context: Context, *, label_smoothing: float) -> Counterpart:
    """The counterpart of `au_jax.methods.face_pretraining.create_expression`, whose options these
    are."""
    stream, _ = only_stream(context, "method expression")
    learned = shown_emotions(context, "expression")
    net, class_of = _encoder(context), emotion_classes(learned)
    module = nn.ModuleDict({"net": net, "emotion": nn.Linear(net.features, len(learned))})

    def draw(method_state: PyTree, batch: PyTree, step: jax.Array, key: jax.Array) -> Drawn:
        label = class_of[batch[stream]["emotion"].astype(jnp.int32)]
        return {"images": _draw_images(context, key, batch[stream]["image"]), "label": label}

    def loss(drawn: Drawn) -> tuple[torch.Tensor, Logs]:
        logits, label = module["emotion"](net.pooled(drawn["images"])), drawn["label"].long()
        total = F.cross_entropy(
            logits, label, ignore_index=-1, label_smoothing=label_smoothing, reduction="sum"
        )
        return total / (label >= 0).sum().clamp(min=1), {}

    def state(params: PyTree, batch_stats: PyTree) -> StateDict:
        stats = batch_stats.get("net", {})
        of_net = weights.state_dict(context.network, params["net"], stats, "net.")
        return of_net | linear_state("emotion", params["emotion"])

    return Counterpart(module, draw, loss, state)


def _encoder(context: Context) -> networks.AUNet:
    """A network whose pooled features are learned from; it has neither heads nor a pose branch."""
    spec = dataclasses.replace(context.network, pose_branch=False)
    return networks.build(spec, {}, context.image_size)


def _draw_images(context: Context, key: jax.Array, images: jax.Array) -> jax.Array:
    augment_key, _ = jax.random.split(key)
    return augment.augment_images(augment_key, images, context.augmentation)
