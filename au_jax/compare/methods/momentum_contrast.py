"""Momentum contrast in PyTorch: an encoder with a projector, a key encoder and queues of keys.

He et al., "Momentum Contrast for Unsupervised Visual Representation Learning" (CVPR 2020,
https://arxiv.org/abs/1911.05722), algorithm 1, with one queue for all faces or one for each class.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from au_jax.compare.counterpart import PyTree, StateDict, linear_state
from au_jax.export.pytorch import networks, weights
from au_jax.methods.momentum_contrast import FEATURES
from au_jax.models.network_spec import NetworkSpec

_HIDDEN = 2048
_HEAD = "projector"


class ProjectedNet(nn.Module):
    """An encoder and its two-layer projector, features -> 2048, ReLU -> 128, of length 1."""

    def __init__(self, spec: NetworkSpec, image_size: int):
        super().__init__()
        self.net = networks.build(spec, {_HEAD: _HIDDEN}, image_size)
        self.output = nn.Linear(_HIDDEN, FEATURES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Embeddings of length 1, [B, 128], of faces whose pose is not known."""
        return F.normalize(self.output(F.relu(self.net(images)[_HEAD])), dim=1)


def projected_state(
    spec: NetworkSpec, params: PyTree, batch_stats: PyTree, prefix: str = ""
) -> StateDict:
    """The state dict of a `ProjectedNet`, its names after `prefix`."""
    state = weights.state_dict(spec, params["net"], batch_stats.get("net", {}), f"{prefix}net.")
    return state | linear_state(f"{prefix}output", params["output"])


def in_groups(net: nn.Module, images: torch.Tensor, groups: int) -> torch.Tensor:
    """A pass in which BatchNorm takes its statistics in parts of the batch; see MoCo, section 3.3.

    Running statistics become the mean of those of the parts.
    """
    if groups == 1:
        return net(images)
    embeddings, of_groups = [], []
    for part in images.chunk(groups):
        buffers = {name: buffer.clone() for name, buffer in net.named_buffers()}
        embeddings.append(functional_call(net, buffers, (part,)))
        of_groups.append(buffers)
    with torch.no_grad():
        for name, buffer in net.named_buffers():
            if buffer.is_floating_point():
                buffer.copy_(torch.stack([buffers[name] for buffers in of_groups]).mean(0))
    return torch.cat(embeddings)


class Queues:
    """The newest keys, of each class or of all, in first-in first-out order.

    Attributes:
      keys: [Q, K, 128], of length 1. index: int64 [Q, K], the example of each slot, -1 for none.
      following: the slot of each queue that is overwritten next.
    """

    def __init__(self, keys: torch.Tensor, index: torch.Tensor, following: list[int]):
        self.keys, self.index, self.following = keys, index, following

    @torch.compiler.disable
    def enqueue(self, keys: torch.Tensor, classes: torch.Tensor, index: torch.Tensor) -> None:
        """Puts a batch's keys in place of the oldest; those of class -1 are left out."""
        count, slots = self.index.shape
        for queue in range(count):
            mine = classes == queue if count > 1 else classes >= 0
            entering = int(mine.sum())
            place = torch.arange(entering, device=keys.device) + self.following[queue]
            # Of more keys than slots the last stay.
            place = place[-slots:] % slots
            # Under autocast keys may come in bfloat16.
            self.keys[queue, place] = keys[mine][-slots:].to(self.keys.dtype)
            self.index[queue, place] = index[mine][-slots:]
            self.following[queue] = (self.following[queue] + entering) % slots


def contrastive_loss(
    queries: torch.Tensor,
    keys: torch.Tensor,
    index: torch.Tensor,
    negatives: torch.Tensor,
    queued: torch.Tensor,
    temperature: float,
) -> torch.Tensor:
    """InfoNCE of each query, [B], against its key and the queue's.

    Args:
      queries, keys: [B, D]. index: [B], which example each is.
      negatives: [K, D]. queued: [K], the example of each, -1 for an empty slot. Neither empty slots
        nor older keys of the query's example are negatives.
    """
    near = (queries * keys).sum(1, keepdim=True)
    left_out = (queued < 0) | (queued == index[:, None])
    far = (queries @ negatives.T).masked_fill(left_out, float("-inf"))
    logits = torch.cat([near, far], 1) / temperature
    first = torch.zeros_like(index, dtype=torch.long)
    return F.cross_entropy(logits, first, reduction="none")


@torch.no_grad()
def momentum_update(key_net: nn.Module, query_net: nn.Module, momentum: float) -> None:
    """theta_k := m theta_k + (1 - m) theta_q: MoCo, Eq. 2. Batch statistics are left alone."""
    for key, query in zip(key_net.parameters(), query_net.parameters(), strict=True):
        key.lerp_(query, 1 - momentum)
