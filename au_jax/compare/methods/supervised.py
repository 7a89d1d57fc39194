"""Supervised training with selective learning in PyTorch: the baselines of ReCoT's tables.

Li et al., ReCoT (BMVC 2023), Table 4(a).
"""

import functools
from collections.abc import Sequence

import jax
import torch

from au_jax.compare.counterpart import Counterpart, Drawn, Logs, PyTree
from au_jax.compare.methods.co_training import Views, draw_views, selective_loss
from au_jax.methods.base import Context
from au_jax.methods.co_training import CLEAN, Networks, joined


def create(context: Context, *, selective_ratios: Sequence[float], views: int) -> Counterpart:
    """The counterpart of `au_jax.methods.supervised.create`, whose options these are."""
    networks = Networks.of(context, selective_ratios, views=views)
    module = Views(context, networks.views, (CLEAN,))

    def draw(method_state: PyTree, batch: PyTree, step: jax.Array, key: jax.Array) -> Drawn:
        forward_key, select_key = jax.random.split(key)
        labels = joined(batch, tuple(context.streams), "labels")
        return {
            "views": draw_views(networks, forward_key, batch, context.streams),
            "labels": labels,
            "counted": networks.selective_masks(select_key, labels),
        }

    def loss(drawn: Drawn) -> tuple[torch.Tensor, Logs]:
        logits = module(drawn["views"])[CLEAN]
        return selective_loss(logits, drawn["labels"], drawn["counted"]), {}

    predict = functools.partial(module.predict, CLEAN)
    return Counterpart(module, draw, loss, module.state_of, predict=predict)
