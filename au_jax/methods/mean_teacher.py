"""Mean teacher: a student that agrees with the running average of its own weights.

Tarvainen and Valpola, "Mean Teachers Are Better Role Models" (NeurIPS 2017,
https://arxiv.org/abs/1703.01780), section 2. Noisy images are used without their labels. MT in
ReCoT's tables.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from au_jax import losses
from au_jax.allowed import Decay, Share, Weight
from au_jax.methods.base import Context, Method, PyTree, Variables
from au_jax.methods.co_training import CLEAN, NOISY, STREAMS, Networks


def averaged(teacher: PyTree, student: PyTree, step: Int[Array, ""], decay: float) -> PyTree:
    """The teacher's parameters after the update of `step` (0 for the first).

    The decay grows with 1 - 1 / (step + 2) up to `decay`, as in the authors' code.
    """
    kept = jnp.minimum(1 - 1 / (step + 2), decay)
    return optax.incremental_update(student, teacher, 1 - kept)


def create(
    context: Context,
    *,
    selective_ratios: Sequence[Share],
    consistency_weight: Weight,
    decay: Decay = 0.999,
    ramp_up_share: Share = 0.2,
) -> Method:
    """The method in a training's context. The teacher predicts.

    Args:
      selective_ratios: see `Networks.of`.
      consistency_weight: of the mean squared difference between student's and teacher's
        probabilities, over clean and noisy images, each under its own augmentation.
      decay: of the average; that of ReCoT's tables.
      ramp_up_share: of the steps, over which that weight is let in (ours), see `losses.ramp_up`.
    """
    networks = Networks.of(context, selective_ratios)
    ramp_up_steps = context.steps_in(ramp_up_share)

    def init(key: jax.Array) -> tuple[PyTree, PyTree, PyTree]:
        params, batch_stats, none = networks.init(key)
        return params, batch_stats, started(params, batch_stats, none)

    def started(params: PyTree, batch_stats: PyTree, method_state: PyTree) -> PyTree:
        del method_state
        return {"params": params, "batch_stats": batch_stats}

    def loss(params: PyTree, batch_stats: PyTree, method_state: PyTree, batch: PyTree, step, key):
        forward_key, select_key, teacher_key = jax.random.split(key, 3)
        by_head, batch_stats = networks.forward(forward_key, params, batch_stats, batch, STREAMS)
        # The teacher, too, normalises by the batch and keeps its own running statistics.
        teacher, teacher_stats = networks.forward(
            teacher_key, method_state["params"], method_state["batch_stats"], batch, STREAMS
        )
        labels = batch[CLEAN]["labels"]
        logits = by_head[CLEAN]
        gap = jax.nn.sigmoid(logits) - jax.nn.sigmoid(teacher[CLEAN])
        logs = {
            "loss_clean": networks.clean_loss(select_key, logits[:, : len(labels)], labels),
            "loss_consistency": jnp.square(gap).mean(),
        }
        weight = consistency_weight * losses.ramp_up(step, ramp_up_steps)
        value = logs["loss_clean"] + weight * logs["loss_consistency"]
        return value, (batch_stats, method_state | {"batch_stats": teacher_stats}, logs)

    def after_update(params: PyTree, method_state: PyTree, step: jax.Array) -> PyTree:
        return method_state | {"params": averaged(method_state["params"], params, step, decay)}

    def kept(params: PyTree, batch_stats: PyTree, method_state: PyTree) -> Variables:
        del params, batch_stats
        return method_state

    return Method(
        networks.aus,
        init,
        loss,
        networks.predict,
        kept,
        after_update,
        started=started,
        unlabelled=(NOISY,),
    )
