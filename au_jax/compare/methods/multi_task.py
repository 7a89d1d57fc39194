"""Multi-task supervised training in PyTorch: one output per AU and data set.

Werner, Saxen and Al-Hamadi, "Facial Action Unit Recognition in the Wild with Multi-Task CNN
Self-Training for the EmotioNet Challenge" (CVPR Workshops 2020), section 2.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import torch
import torch.nn.functional as F

from au_jax.compare.counterpart import Counterpart, Drawn, Logs, PyTree, evaluating
from au_jax.compare.methods.one_network import build, draw_batch
from au_jax.export.pytorch import weights
from au_jax.methods.base import Context


def class_weights(
    positives: Sequence[float], negatives: Sequence[float], damping: float
) -> torch.Tensor:
    """Damped weights of absent and present labels, [A, 2], whose mean over all labels is 1.

    An AU that lacks one of the two has weight 1 for both.
    """
    counts = torch.tensor([negatives, positives], dtype=torch.float64).T
    scale = counts.sum(1, keepdim=True) / (counts ** (1 - damping)).sum(1, keepdim=True)
    balanced = (counts > 0).all(1, keepdim=True)
    return torch.where(balanced, counts**-damping * scale, 1.0)


def balanced_loss(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, smoothing: float
) -> torch.Tensor:
    """Class-balanced binary cross entropy with smoothed labels, the mean over known labels.

    Args:
      logits: [B, A].
      labels: [B, A], 1, 0 and -1 (or NaN) for unknown; or probabilities of a present AU.
      weights: [B, A, 2], of absent and of present labels.
    """
    known = labels >= 0
    present = torch.where(known, labels, 0).to(logits.dtype)
    total = torch.zeros_like(logits)
    for label, probability in ((0, 1 - present), (1, present)):
        target = torch.full_like(logits, (1 - smoothing) * label + smoothing / 2)
        entries = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        total = total + probability * weights[..., label] * entries
    return torch.where(known, total, 0).sum() / known.sum().clamp(min=1)


def create(
    context: Context,
    *,
    predict_head: str,
    damping: float,
    label_smoothing: float,
    lambda_m: Sequence[float],
) -> Counterpart:
    """The counterpart of `au_jax.methods.multi_task.create`, whose options these are."""
    heads = {stream: facts.head for stream, facts in context.streams.items()}
    shares = [facts.share for facts in context.streams.values()]
    module = build(context, dict.fromkeys(heads.values()))
    of_streams = [
        weight
        * class_weights(facts.positives, facts.negatives, damping).expand(facts.share, -1, -1)
        for weight, facts in zip(
            lambda_m or (1.0,) * len(heads), context.streams.values(), strict=True
        )
    ]
    weight_of_entry = torch.cat(of_streams).to(torch.get_default_dtype())
    module.register_buffer("weight_of_entry", weight_of_entry, persistent=False)

    def draw(method_state: PyTree, batch: PyTree, step: jax.Array, key: jax.Array) -> Drawn:
        labels = [batch[stream].get("soft", batch[stream]["labels"]) for stream in heads]
        return draw_batch(context, batch, jnp.concatenate(labels), key)

    def loss(drawn: Drawn) -> tuple[torch.Tensor, Logs]:
        by_head = module(drawn["images"], drawn["pose"])
        # Each stream's examples are judged by the head of their data set.
        logits = torch.cat(
            [by_head[head].split(shares)[number] for number, head in enumerate(heads.values())]
        )
        return balanced_loss(
            logits, drawn["labels"], module.get_buffer("weight_of_entry"), label_smoothing
        ), {}

    def predict(images: torch.Tensor, pose: torch.Tensor) -> torch.Tensor:
        with evaluating(module):
            return module(images, pose)[predict_head]

    return Counterpart(
        module, draw, loss, functools.partial(weights.state_dict, context.network), predict=predict
    )
