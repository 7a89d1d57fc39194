"""Two-network co-training in PyTorch: perceptron heads, views, selective and agreement losses.

Li et al., "ReCoT: Regularized Co-Training for Facial Action Unit Recognition with Noisy Labels"
(BMVC 2023), section 3.2.
"""

from collections.abc import Iterable, Mapping, Sequence

import jax
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from au_jax.compare.counterpart import Drawn, PyTree, StateDict, evaluating, linear_state
from au_jax.export.pytorch import networks, weights
from au_jax.methods.base import Context
from au_jax.methods.co_training import Networks
from au_jax.models.network_spec import NetworkSpec

_HIDDEN = 512


class PerceptronNet(nn.Module):
    """A backbone with a two-layer perceptron for each head: features -> 512, ReLU -> outputs."""

    def __init__(self, context: Context, heads: Iterable[str]):
        super().__init__()
        hidden, outputs = dict.fromkeys(heads, _HIDDEN), len(context.aus)
        self.net = networks.build(context.network, hidden, context.image_size)
        self.outputs = nn.ModuleDict({head: nn.Linear(_HIDDEN, outputs) for head in hidden})

    def forward(self, images: torch.Tensor, pose: torch.Tensor) -> dict[str, torch.Tensor]:
        """The logits of each head, [B, outputs]."""
        hidden = self.net(images, pose)
        return {head: output(F.relu(hidden[head])) for head, output in self.outputs.items()}


def perceptron_state(
    spec: NetworkSpec, params: PyTree, batch_stats: PyTree, prefix: str
) -> StateDict:
    """The state dict of a `PerceptronNet`, its names after `prefix`."""
    state = weights.state_dict(spec, params["net"], batch_stats.get("net", {}), f"{prefix}net.")
    for name, layer in params.items():
        if name != "net":
            state |= linear_state(f"{prefix}outputs.{name.removeprefix('output_')}", layer)
    return state


class Views(nn.Module):
    """One or two networks, each of which sees an augmentation of its own."""

    def __init__(self, context: Context, views: Sequence[str], heads: Sequence[str]):
        super().__init__()
        self.views = nn.ModuleDict({view: PerceptronNet(context, heads) for view in views})
        self.spec = context.network

    def by_head(
        self, view: str, images: torch.Tensor, pose: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """The logits of each head of one network, [B, outputs]."""
        return self.views[view](images, pose)

    def forward(self, seen: Mapping[str, Drawn]) -> dict[str, torch.Tensor]:
        """The logits of each head, [views, B, outputs], in the order of the stored images' AUs."""
        of_view = []
        for view in self.views:
            columns = seen[view]["columns"].long()
            by_head = self.by_head(view, seen[view]["images"], seen[view]["pose"])
            # A flip exchanges left and right AUs: each output goes back to its own.
            of_view.append({head: x.gather(1, columns) for head, x in by_head.items()})
        return {head: torch.stack([x[head] for x in of_view]) for head in of_view[0]}

    def state_of(self, params: PyTree, batch_stats: PyTree) -> StateDict:
        """The state dict of these networks with the values of the JAX trees."""
        state: StateDict = {}
        for view, tree in params.items():
            stats = batch_stats.get(view, {})
            state |= perceptron_state(self.spec, tree, stats, f"views.{view}.")
        return state

    def predict(self, head: str, images: torch.Tensor, pose: torch.Tensor) -> torch.Tensor:
        """The logit of the networks' mean probability, [B, outputs]."""
        with evaluating(self):
            return mean_logit([self.by_head(view, images, pose)[head] for view in self.views])


def draw_views(
    networks_of_jax: Networks, key: jax.Array, batch: PyTree, streams: Iterable[str]
) -> dict[str, dict[str, jax.Array]]:
    """Each view's images, head angles and columns, drawn as `Networks.forward` draws them."""
    streams = tuple(streams)
    return {
        view: networks_of_jax.augmented(augment_key, batch, streams)._asdict()
        for view, (augment_key, _) in zip(
            networks_of_jax.views, networks_of_jax.keys(key), strict=True
        )
    }


def selective_loss(
    logits: torch.Tensor, labels: torch.Tensor, counted: torch.Tensor
) -> torch.Tensor:
    """Binary cross entropy of the entries that count, divided by the number of all (Eq. 2).

    Args:
      logits: [..., B, A]. labels: [B, A], 1 where the AU is present.
      counted: bool, of the shape of `logits`, or one that broadcasts to it.
    """
    present = (labels == 1).to(logits.dtype).expand_as(logits)
    entries = F.binary_cross_entropy_with_logits(logits, present, reduction="none")
    return (entries * counted).mean()


def co_regularization_loss(logits1: torch.Tensor, logits2: torch.Tensor) -> torch.Tensor:
    """The mean Jensen-Shannon divergence of two predictions of each AU, nats (Eq. 5)."""
    divergence = torch.zeros_like(logits1)
    for sign in (1, -1):  # The AU is present, the AU is absent.
        log1, log2 = F.logsigmoid(sign * logits1), F.logsigmoid(sign * logits2)
        middle = torch.logaddexp(log1, log2) - np.log(2)
        for log in (log1, log2):
            divergence = divergence + F.kl_div(middle, log, reduction="none", log_target=True) / 2
    return divergence.mean()


def mean_logit(logits: list[torch.Tensor]) -> torch.Tensor:
    """The logit of the mean probability of several predictions of the same AUs."""
    stacked = torch.stack(logits)
    present, absent = F.logsigmoid(stacked), F.logsigmoid(-stacked)
    return torch.logsumexp(present, 0) - torch.logsumexp(absent, 0)
