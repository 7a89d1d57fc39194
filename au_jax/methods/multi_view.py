"""Multi-view co-regularisation: two networks that agree, by weights that differ.

Wang et al., "TAL EmotioNet Challenge 2020: Rethinking the Model Chosen Problem in Multi-Task
Learning" (CVPR Workshops 2020, https://arxiv.org/abs/2004.09862), section 2.2, after Niu et al.
(MLCR, NeurIPS 2019, https://arxiv.org/abs/1910.11012), which adds unlabelled images.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from au_jax import augment, losses
from au_jax.allowed import OneOf, Share, Weight
from au_jax.errors import UserError
from au_jax.methods.base import Context, Method, PyTree, Variables
from au_jax.methods.co_training import VIEWS, mean_logits
from au_jax.models.au_net import HEAD_PREFIX

_HEAD = "aus"


def create(
    context: Context,
    *,
    balance_alpha: Share | Sequence[Share] = 0.2,
    balance_rule: Annotated[str, OneOf(("printed", "released"))] = "printed",
    lambda_mv: Weight = 800.0,
    lambda_cr: Weight = 200.0,
    signed: bool = False,
) -> Method:
    """The method in a training's context.

    Both views see the same augmented batch (ours: the paper's views are two networks over one
    image), and each begins from its own random weights. All streams are labelled: A alone, or A
    and the filtered set C.

    Args:
      balance_alpha, balance_rule: see `losses.balanced_mask`; the paper's.
      lambda_mv, lambda_cr: of L_mv and L_cr, divided by the number of AUs here. The paper gives
        none. MLCR's released 400 and 100 stand beside (L1 + L2) / 2, each summed over the AUs; with
        the paper's sum L1 + L2 of both views, ours a mean over the AUs, the same ratio is twice
        that.
      signed: see `losses.multi_view_loss`.

    Raises:
      UserError: `balance_alpha` has not one number for each AU.
    """
    if isinstance(balance_alpha, Sequence) and len(balance_alpha) != len(context.aus):
        raise UserError(
            f"balance_alpha has {len(balance_alpha)} numbers, but there are {len(context.aus)} "
            f"AUs; give one for all, or one for each of {', '.join(context.aus)}"
        )
    aus, image_size, streams = context.aus, context.image_size, tuple(context.streams)
    net = context.network.build({_HEAD: len(aus)})

    def init(key: jax.Array) -> tuple[PyTree, PyTree, PyTree]:
        images = jnp.zeros((2, image_size, image_size, 3))
        variables = {
            view: net.init(k, images, jnp.zeros((2, 3)), train=False)
            for view, k in zip(VIEWS, jax.random.split(key), strict=True)
        }
        params = {view: v["params"] for view, v in variables.items()}
        batch_stats = {view: v.get("batch_stats", {}) for view, v in variables.items()}
        return params, batch_stats, {}

    def loss(params: PyTree, batch_stats: PyTree, method_state: PyTree, batch: PyTree, step, key):
        augment_key, balance_key, *dropout_keys = jax.random.split(key, 4)
        # One pass over all streams, so that batch statistics are those of the whole batch.
        images, labels, pose = (
            jnp.concatenate([batch[stream][field] for stream in streams])
            for field in ("image", "labels", "pose")
        )
        images, labels, pose = augment.augment(
            augment_key, images, labels, pose, context.augmentation, aus
        )
        counted = losses.balanced_mask(balance_key, labels, balance_alpha, balance_rule)
        logits, updated = {}, {}
        for view, dropout_key in zip(VIEWS, dropout_keys, strict=True):
            by_head, changed = net.apply(
                {"params": params[view], "batch_stats": batch_stats[view]},
                images,
                pose,
                train=True,
                rngs={"dropout": dropout_key},
                mutable=["batch_stats"],
            )
            logits[view], updated[view] = by_head[_HEAD], changed.get("batch_stats", {})
        recognition = sum(
            losses.selective_loss(logits[view], labels == 1, counted) for view in VIEWS
        )
        first, second = (params[view][HEAD_PREFIX + _HEAD] for view in VIEWS)
        multi_view = losses.multi_view_loss(
            first["kernel"], first["bias"], second["kernel"], second["bias"], signed
        )
        co_regularization = losses.co_regularization_loss(*(logits[view] for view in VIEWS))
        total = (
            recognition
            + lambda_mv / len(aus) * multi_view
            + lambda_cr / len(aus) * co_regularization
        )
        logs = {
            "recognition": recognition,
            "multi_view": multi_view,
            "co_regularization": co_regularization,
        }
        return total, (updated, method_state, logs)

    def predict(variables: Variables, images: jax.Array, pose: jax.Array) -> jax.Array:
        crops = augment.center_crop(images, image_size)
        views = []
        for view in VIEWS:
            of_view = {kind: by_view[view] for kind, by_view in variables.items()}
            by_head: Any = net.apply(of_view, crops, pose, train=False)
            views.append(by_head[_HEAD])
        return mean_logits(jnp.stack(views))

    return Method(aus=aus, init=init, loss=loss, predict=predict)
