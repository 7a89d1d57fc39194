"""Multi-label co-regularisation in PyTorch: two networks, whose classifiers go through a graph.

Niu et al., "Multi-Label Co-Regularization for Semi-Supervised Facial Action Unit Recognition"
(NeurIPS 2019, https://arxiv.org/abs/1910.11012).
"""

import functools
from collections.abc import Sequence

import jax
import torch
import torch.nn.functional as F
from torch import nn

from au_jax.compare.counterpart import Counterpart, Drawn, Logs, PyTree, StateDict, linear_state
from au_jax.compare.methods.co_training import (
    Views,
    co_regularization_loss,
    draw_views,
    selective_loss,
)
from au_jax.methods.base import Context
from au_jax.methods.co_training import CLEAN, STREAMS, VIEWS, Networks
from au_jax.methods.mlcr import GRAPH

_WEIGHT, _BIAS = f"outputs.{CLEAN}.weight", f"outputs.{CLEAN}.bias"


def edges(dependencies: Sequence[Sequence[float]]) -> torch.Tensor:
    """What each AU (row) takes of each AU (column), [A, A]; see `au_graph.adjacency`."""
    strength = torch.tensor(dependencies, dtype=torch.float64).abs()
    scale = torch.diag(strength.sum(1).rsqrt())
    # Rounded as those of the JAX side.
    return ((strength @ scale).T @ scale).float()


class TwoViews(Views):
    """Two networks, each with a classifier for every AU."""

    def __init__(self, context: Context):
        super().__init__(context, VIEWS, (CLEAN,))

    def classifiers(self, view: str) -> torch.Tensor:
        """The weights and the bias of each AU, [A, D + 1]."""
        net = self.views[view]
        return torch.cat([net.get_parameter(_WEIGHT), net.get_parameter(_BIAS)[:, None]], 1)


class RelatedViews(TwoViews):
    """The same, predicting with the classifiers that a graph convolution makes of theirs."""

    def __init__(self, context: Context):
        super().__init__(context)
        width = self.classifiers(VIEWS[0]).shape[1]
        self.graph = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(2))
        self.edges: torch.Tensor
        of_clean = context.streams[CLEAN].dependencies
        self.register_buffer("edges", edges(of_clean), persistent=False)

    def by_head(
        self, view: str, images: torch.Tensor, pose: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        first, second = self.graph
        hidden = F.leaky_relu(self.edges @ first(self.classifiers(view)), 0.2)
        nodes = self.edges @ second(hidden)
        related = {_WEIGHT: nodes[:, :-1], _BIAS: nodes[:, -1]}
        return torch.func.functional_call(self.views[view], related, (images, pose))

    def state_of(self, params: PyTree, batch_stats: PyTree) -> StateDict:
        state = super().state_of({view: params[view] for view in self.views}, batch_stats)
        for number, layer in enumerate(("layer1", "layer2")):
            state |= linear_state(f"graph.{number}", params[GRAPH][layer])
        return state


def create(
    context: Context,
    *,
    selective_ratios: Sequence[float],
    lambda_mv: float,
    lambda_cr: float,
    graph: bool,
) -> Counterpart:
    """The counterpart of `au_jax.methods.mlcr.create`, whose options these are."""
    networks, count = Networks.of(context, selective_ratios, views=2), len(context.aus)
    module = RelatedViews(context) if graph else TwoViews(context)

    def draw(method_state: PyTree, batch: PyTree, step: jax.Array, key: jax.Array) -> Drawn:
        forward_key, select_key = jax.random.split(key)
        labels = batch[CLEAN]["labels"]
        return {
            "views": draw_views(networks, forward_key, batch, STREAMS),
            "labels": labels,
            "counted": networks.selective_masks(select_key, labels),
        }

    def loss(drawn: Drawn) -> tuple[torch.Tensor, Logs]:
        logits, labels = module(drawn["views"])[CLEAN], drawn["labels"]
        first, second = (module.classifiers(view) for view in VIEWS)
        logs = {
            "loss_clean": selective_loss(logits[:, : len(labels)], labels, drawn["counted"]),
            "loss_multi_view": F.cosine_similarity(first, second, dim=1).abs().mean(),
            "loss_co_regularization": co_regularization_loss(*logits),
        }
        # The weights are those of a loss summed over AUs; this is their mean.
        total = (
            logs["loss_clean"]
            + lambda_mv / count * logs["loss_multi_view"]
            + lambda_cr / count * logs["loss_co_regularization"]
        )
        return total, logs

    predict = functools.partial(module.predict, CLEAN)
    return Counterpart(module, draw, loss, module.state_of, predict=predict)
