"""What a method is: the pure functions of one training objective."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

PyTree = Any
Variables = dict[str, PyTree]  # {"params": ..., "batch_stats": ...}


def keep_all(params: PyTree, batch_stats: PyTree, method_state: PyTree) -> Variables:
    """What is kept of a state for prediction when the trained network itself predicts."""
    del method_state
    return {"params": params, "batch_stats": batch_stats}


@dataclasses.dataclass(frozen=True)
class Method:
    """The pure functions of one training objective over a batch of named streams.

    Attributes:
      aus: the AUs that `predict` returns, in order.
      init: key -> (params, batch_stats, method_state). `method_state` is any pytree: queues,
        momentum networks, label tables.
      loss: (params, batch_stats, method_state, batch, key) -> (loss, (batch_stats, method_state,
        logs)); `logs` are scalars by name.
      predict: (variables, images uint8 [B, H, W, 3], pose float32 [B, 3]) -> logits float32 [B, A].
      kept: (params, batch_stats, method_state) -> the variables that `predict` takes and that every
        epoch's checkpoint holds (the averaged network for a mean teacher).
      after_update: (params, method_state) -> method_state, after the optimiser's update.
      end_of_epoch: (state, passes) -> state, once an epoch; `passes(stream)` iterates over the
        device batches of that stream's source in order, padded, `valid` marking what counts.
      started: (params, batch_stats, method_state) -> method_state, where a training begins with
        other weights than those of `init`.
      label_tables: method_state -> {stream: float32 [N, A]}, the probabilities that the method
        holds of a stream's records, kept every epoch for reports.
    """

    aus: tuple[str, ...]
    init: Callable[[jax.Array], tuple[PyTree, PyTree, PyTree]]
    loss: Callable[..., tuple[jax.Array, tuple[PyTree, PyTree, dict[str, jax.Array]]]]
    predict: Callable[[Variables, jax.Array, jax.Array], jax.Array]
    kept: Callable[[PyTree, PyTree, PyTree], Variables] = keep_all
    after_update: Callable[[PyTree, PyTree], PyTree] | None = None
    end_of_epoch: Callable[..., Any] | None = None
    started: Callable[[PyTree, PyTree, PyTree], PyTree] | None = None
    label_tables: Callable[[PyTree], dict[str, jax.Array]] | None = None
