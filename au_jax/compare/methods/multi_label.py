"""ABAW3's weighted BCE and multi-label loss in PyTorch.

Jiang et al., "Facial Action Unit Recognition With Multi-models Ensembling" (ABAW3, 2022), section
3.3, Eq. 1 to 6.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import torch
import torch.nn.functional as F

from au_jax.compare.counterpart import Counterpart, Drawn, Logs, PyTree, evaluating
from au_jax.compare.methods.one_network import build, draw_batch
from au_jax.export.pytorch import weights as jax_weights
from au_jax.methods.base import Context

_HEAD = "opt"


def weighted_entries(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, smoothing: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """w_n BCE(x, y) with smoothed labels, [B, A], 0 of unknown labels; and which are known.

    Args:
      logits: [B, A]. labels: [B, A], -1 unknown. weights: [A].
    """
    known, present = labels >= 0, (labels == 1).to(logits.dtype)
    target = (1 - smoothing) * present + smoothing / 2
    entries = F.binary_cross_entropy_with_logits(logits, target, weights, reduction="none")
    return known * entries, known


def weighted_bce(entries: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """The mean over all known labels, Eq. 1 to 4 (torch's BCEWithLogitsLoss)."""
    return entries.sum() / known.sum().clamp(min=1)


def multi_label(entries: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """The mean over the known AUs of an image, then over images that have any, Eq. 5."""
    of_image = entries.sum(1) / known.sum(1).clamp(min=1)
    return of_image.sum() / known.any(1).sum().clamp(min=1)


_TERMS = {"bce": weighted_bce, "multi_label": multi_label}


def create(
    context: Context,
    *,
    terms: Sequence[str],
    weights: Sequence[int | float],
    label_smoothing: float,
) -> Counterpart:
    """The counterpart of `au_jax.methods.multi_label.create`, whose options these are."""
    module = build(context, (_HEAD,))
    weight_of_au = torch.tensor(list(weights) or [1.0] * len(context.aus))
    module.register_buffer(
        "weight_of_au", weight_of_au.to(torch.get_default_dtype()), persistent=False
    )

    def draw(method_state: PyTree, batch: PyTree, step: jax.Array, key: jax.Array) -> Drawn:
        labels = jnp.concatenate([batch[stream]["labels"] for stream in context.streams])
        return draw_batch(context, batch, labels, key)

    def loss(drawn: Drawn) -> tuple[torch.Tensor, Logs]:
        logits = module(drawn["images"], drawn["pose"])[_HEAD]
        weights_of_aus = module.get_buffer("weight_of_au")
        entries, known = weighted_entries(logits, drawn["labels"], weights_of_aus, label_smoothing)
        total = logits.new_zeros(())
        for term in terms:
            total = total + _TERMS[term](entries, known)
        return total, {}

    def predict(images: torch.Tensor, pose: torch.Tensor) -> torch.Tensor:
        with evaluating(module):
            return module(images, pose)[_HEAD]

    state = functools.partial(jax_weights.state_dict, context.network)
    return Counterpart(module, draw, loss, state, predict=predict)
