"""Supervised training on AUs by ABAW3's weighted BCE and multi-label loss.

Jiang et al., "Facial Action Unit Recognition With Multi-models Ensembling" (ABAW3, 2022), section
3.3, Eq. 1 to 6. One output layer learns from all streams alike.
"""

from collections.abc import Sequence
from typing import Annotated

import jax.numpy as jnp

from au_jax import losses
from au_jax.allowed import OneOf, Range, Share, Unique, Weight
from au_jax.errors import UserError, unknown
from au_jax.methods.base import Context, Method, PyTree
from au_jax.methods.one_network import OneNetwork

_HEAD = "opt"
_TERMS = {"bce": losses.au_weighted_bce, "multi_label": losses.multi_label_loss}
Term = Annotated[str, OneOf(_TERMS)]


def create(
    context: Context,
    *,
    terms: Annotated[Sequence[Annotated[str, OneOf(_TERMS)]], Unique(least=1)] = (
        "bce",
        "multi_label",
    ),
    weights: Sequence[Weight | Annotated[int, Range(ge=0, le=10**6)]] = (),
    label_smoothing: Share = 0.1,
) -> Method:
    """The method in a training's context.

    Args:
      terms: the losses whose sum is learned, Eq. 6: "bce" (Eq. 1 to 4), "multi_label" (Eq. 5). With
        all labels known either alone is half of their sum.
      weights: W, one number for each AU, in their order; by default all are 1. The paper's stands
        at `losses.au_weighted_bce`.
      label_smoothing: see `losses.smooth_labels`; 0.1 is ours, the paper does not give its own.

    Raises:
      UserError: a term is unknown, there is none, or there is not one weight for each AU.
    """
    aus = context.aus
    if not terms:
        raise UserError(f"method multi_label has no terms; give one or more of {', '.join(_TERMS)}")
    for term in terms:
        if term not in _TERMS:
            raise unknown("term of method multi_label", term, _TERMS)
    if weights and len(weights) != len(aus):
        raise UserError(
            f"method multi_label has {len(weights)} weights for {len(aus)} AUs "
            f"({', '.join(aus)}); give one for each, or none"
        )
    network = OneNetwork.of(context, (_HEAD,), _HEAD)
    weight_of_au = jnp.asarray(weights or [1.0] * len(aus), jnp.float32)

    def loss(params: PyTree, batch_stats: PyTree, method_state: PyTree, batch: PyTree, step, key):
        labels = jnp.concatenate([batch[stream]["labels"] for stream in context.streams])
        by_head, labels, stats = network.forward(key, params, batch_stats, batch, labels)
        given = by_head[_HEAD], labels, weight_of_au, label_smoothing
        return sum(_TERMS[term](*given) for term in terms), (stats, method_state, {})

    return Method(aus=aus, init=network.init, loss=loss, predict=network.predict)
