"""ReCoT in PyTorch: regularised co-training with clean and noisy labels.

Li et al., "ReCoT: Regularized Co-Training for Facial Action Unit Recognition with Noisy Labels"
(BMVC 2023), section 3. Refined labels are those of the JAX side, whose table `draw` reads: both
sides learn from the same labels in every epoch.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import torch
import torch.nn.functional as F

from au_jax.compare.counterpart import Counterpart, Drawn, Logs, PyTree
from au_jax.compare.methods.co_training import (
    Views,
    co_regularization_loss,
    draw_views,
    selective_loss,
)
from au_jax.methods.base import Context
from au_jax.methods.co_training import CLEAN, NOISY, STREAMS, Networks
from au_jax.methods.recot import epochs_before_refining, refined_labels


def small_loss(values: torch.Tensor, among: torch.Tensor, gamma: float) -> torch.Tensor:
    """The entries with the smallest losses, floor(gamma N) of the N in `among`; one at least.

    Args:
      values: losses [B, A]. among: bool [B, A].
    """
    number = among.sum()
    # Rounded first: 0.9 x 10 is 9 and never a little less.
    kept = (gamma * number.double()).round(decimals=9).floor().clamp(min=1)
    ordered = values.detach().masked_fill(~among, float("inf")).flatten()
    rank = ordered.argsort(stable=True).argsort().view_as(values)
    return among & (rank < kept)


def noisy_loss(
    logits: torch.Tensor,
    ranked_by: torch.Tensor,
    labels: torch.Tensor,
    alpha: float,
    beta: float,
    gamma: float,
) -> torch.Tensor:
    """L_noisy of a view, Eq. 4: the other view's small-loss entries, positives and negatives apart.

    Args:
      logits, ranked_by: [B, A], of this view and of the other, whose sigmoid is p_noisy.
    """
    target = (labels == 1).to(logits.dtype)
    entries = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    theirs = F.binary_cross_entropy_with_logits(ranked_by, target, reduction="none")
    total = logits.new_zeros(())
    for weight, label in ((alpha, 1), (beta, 0)):
        chosen = small_loss(theirs, labels == label, gamma)
        total = total + weight * (entries * chosen).sum() / chosen.sum().clamp(min=1)
    return total


def create(
    context: Context,
    *,
    selective_ratios: Sequence[float],
    views: int,
    lambda_n: float,
    lambda_cons: float,
    alpha: float,
    beta: float,
    gamma: float,
    mu: float,
    phi: float,
    corrected: bool,
    refine_after: float,
) -> Counterpart:
    """The counterpart of `au_jax.methods.recot.create`, whose options these are."""
    del mu, phi, corrected  # Of the refinement, which the JAX side computes.
    heads = STREAMS if lambda_n else (CLEAN,)
    networks = Networks.of(context, selective_ratios, views=views, heads=heads)
    module = Views(context, networks.views, heads)
    refine_from = epochs_before_refining(refine_after, context.epochs)

    def noisy_labels(method_state: PyTree, noisy: PyTree) -> jax.Array:
        if not refine_after:
            return noisy["labels"]
        refined = refined_labels(noisy["labels"], method_state["fusion"][noisy["index"]])
        return jnp.where(method_state["finished"] >= refine_from, refined, noisy["labels"])

    def draw(method_state: PyTree, batch: PyTree, step: jax.Array, key: jax.Array) -> Drawn:
        forward_key, select_key = jax.random.split(key)
        clean = batch[CLEAN]["labels"]
        drawn = {
            "views": draw_views(networks, forward_key, batch, STREAMS),
            "labels": clean,
            "counted": networks.selective_masks(select_key, clean),
        }
        if lambda_n:
            drawn["noisy_labels"] = noisy_labels(method_state, batch[NOISY])
        return drawn

    def loss(drawn: Drawn) -> tuple[torch.Tensor, Logs]:
        by_head = module(drawn["views"])
        f_clean, share = by_head[CLEAN], len(drawn["labels"])
        total = selective_loss(f_clean[:, :share], drawn["labels"], drawn["counted"])
        logs = {"loss_clean": total}
        if lambda_n:
            p_noisy = (f_clean + by_head[NOISY])[:, share:]  # As logits, Eq. 3.
            of_views = [
                noisy_loss(logits, ranked_by, drawn["noisy_labels"], alpha, beta, gamma)
                for logits, ranked_by in zip(p_noisy, p_noisy.flip(0), strict=True)
            ]
            logs["loss_noisy"] = torch.stack(of_views).mean()
            total = total + lambda_n * logs["loss_noisy"]
        if lambda_cons:
            logs["loss_consistency"] = co_regularization_loss(f_clean[0], f_clean[-1])
            total = total + lambda_cons * logs["loss_consistency"]
        return total, logs

    predict = functools.partial(module.predict, CLEAN)
    return Counterpart(module, draw, loss, module.state_of, predict=predict)
