"""Multi-view co-regularisation in PyTorch: two networks that agree, by weights that differ.

Wang et al., "TAL EmotioNet Challenge 2020: Rethinking the Model Chosen Problem in Multi-Task
Learning" (CVPR Workshops 2020, https://arxiv.org/abs/2004.09862), section 2.2.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import torch
import torch.nn.functional as F
from torch import nn

from au_jax import augment
from au_jax.compare.counterpart import Counterpart, Drawn, Logs, PyTree, StateDict, evaluating
from au_jax.compare.methods.co_training import (
    co_regularization_loss,
    mean_logit,
    selective_loss,
)
from au_jax.export.pytorch import networks, weights
from au_jax.losses import balanced_mask
from au_jax.methods.base import Context
from au_jax.methods.co_training import VIEWS

_HEAD = "aus"


def create(
    context: Context,
    *,
    balance_alpha: float | Sequence[float],
    balance_rule: str,
    lambda_mv: float,
    lambda_cr: float,
    signed: bool,
) -> Counterpart:
    """The counterpart of `au_jax.methods.multi_view.create`, whose options these are."""
    aus = context.aus
    nets = [networks.build(context.network, {_HEAD: len(aus)}, context.image_size) for _ in VIEWS]
    module = nn.ModuleDict(dict(zip(VIEWS, nets, strict=True)))

    def draw(method_state: PyTree, batch: PyTree, step: jax.Array, key: jax.Array) -> Drawn:
        augment_key, balance_key, *_ = jax.random.split(key, 4)
        images, labels, pose = (
            jnp.concatenate([batch[stream][field] for stream in context.streams])
            for field in ("image", "labels", "pose")
        )
        images, labels, pose = augment.augment(
            augment_key, images, labels, pose, context.augmentation, aus
        )
        counted = balanced_mask(balance_key, labels, balance_alpha, balance_rule)
        return {"images": images, "pose": pose, "labels": labels, "counted": counted}

    def loss(drawn: Drawn) -> tuple[torch.Tensor, Logs]:
        logits1, logits2 = (net(drawn["images"], drawn["pose"])[_HEAD] for net in nets)
        labels, counted = drawn["labels"], drawn["counted"]
        recognition = selective_loss(logits1, labels, counted) + selective_loss(
            logits2, labels, counted
        )
        first, second = (
            torch.cat([head.get_parameter("weight"), head.get_parameter("bias")[:, None]], 1)
            for head in (net.heads[_HEAD] for net in nets)
        )
        cosine = F.cosine_similarity(first, second, dim=1)
        multi_view = (cosine if signed else cosine.abs()).mean()
        co_regularization = co_regularization_loss(logits1, logits2)
        # The weights are those of a loss summed over AUs; this is their mean.
        total = (
            recognition
            + lambda_mv / len(aus) * multi_view
            + lambda_cr / len(aus) * co_regularization
        )
        return total, {
            "recognition": recognition,
            "multi_view": multi_view,
            "co_regularization": co_regularization,
        }

    def state(params: PyTree, batch_stats: PyTree) -> StateDict:
        joined: StateDict = {}
        for view in VIEWS:
            stats = batch_stats.get(view, {})
            joined |= weights.state_dict(context.network, params[view], stats, f"{view}.")
        return joined

    def predict(images: torch.Tensor, pose: torch.Tensor) -> torch.Tensor:
        with evaluating(module):
            return mean_logit([net(images, pose)[_HEAD] for net in nets])

    return Counterpart(module, draw, loss, state, predict=predict)
