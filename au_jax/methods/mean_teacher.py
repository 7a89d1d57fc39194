"""Mean teacher: a student that agrees with the running average of its own weights.

Tarvainen and Valpola, "Mean Teachers Are Better Role Models" (NeurIPS 2017), section 2. Noisy
images are used without their labels. MT in ReCoT's tables.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from au_jax import losses
from au_jax.methods.base import Method, PyTree, Variables
from au_jax.methods.co_training import CLEAN, STREAMS, Networks


def averaged(teacher: PyTree, student: PyTree, step: jax.Array, decay: float) -> PyTree:
    """The teacher's parameters after update `step` (1 for the first).

    The decay grows with 1 - 1 / (step + 1) up to `decay`, as in the authors' code.
    """
    kept = jnp.minimum(1 - 1 / (step + 1), decay)
    return jax.tree.map(lambda t, s: kept * t + (1 - kept) * s, teacher, student)


def create(
    *,
    aus: Sequence[str],
    network: Mapping[str, Any],
    image_size: int,
    augmentation: Mapping[str, Any],
    selective_ratios: Sequence[float],
    decay: float,
    consistency_weight: float,
    ramp_up_steps: int,
) -> Method:
    """The method, from JSON-able values. The teacher predicts.

    Args:
      aus, network, image_size, augmentation, selective_ratios: see `Networks.of`.
      decay: of the average; 0.999 in ReCoT's tables.
      consistency_weight: of the mean squared difference between student's and teacher's
        probabilities, over clean and noisy images, each under its own augmentation.
      ramp_up_steps: over which that weight is let in, see `ramp_up`.
    """
    networks = Networks.of(aus, network, image_size, augmentation, selective_ratios)

    def init(key: jax.Array) -> tuple[PyTree, PyTree, PyTree]:
        params, batch_stats, none = networks.init(key)
        return params, batch_stats, started(params, batch_stats, none)

    def started(params: PyTree, batch_stats: PyTree, method_state: PyTree) -> PyTree:
        del method_state
        return {"params": params, "batch_stats": batch_stats, "step": jnp.zeros((), jnp.int32)}

    def loss(params: PyTree, batch_stats: PyTree, method_state: PyTree, batch: PyTree, key):
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
        weight = consistency_weight * losses.ramp_up(method_state["step"], ramp_up_steps)
        value = logs["loss_clean"] + weight * logs["loss_consistency"]
        return value, (batch_stats, method_state | {"batch_stats": teacher_stats}, logs)

    def after_update(params: PyTree, method_state: PyTree) -> PyTree:
        step = method_state["step"] + 1
        teacher = averaged(method_state["params"], params, step, decay)
        return method_state | {"params": teacher, "step": step}

    def kept(params: PyTree, batch_stats: PyTree, method_state: PyTree) -> Variables:
        del params, batch_stats
        return {name: method_state[name] for name in ("params", "batch_stats")}

    return Method(networks.aus, init, loss, networks.predict, kept, after_update, started=started)
