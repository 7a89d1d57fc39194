"""The train step: pure, jitted, data parallel, its state donated."""

import dataclasses
from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from au_jax import sharding
from au_jax.methods.base import Method


@flax.struct.dataclass
class TrainState:
    """All that a step reads and writes: arrays, or their shapes where jax asks for those alone.

    Attributes:
      step: int32 scalar, updates done.
      params, batch_stats: of the method's networks.
      opt_state: the optimiser's.
      method_state: the method's own (queues, momentum networks, label tables).
      key: uint32 [2], the run's key; a step draws from `fold_in(key, step)`.
    """

    step: Any
    params: Any
    batch_stats: Any
    opt_state: Any
    method_state: Any
    key: Any


def init_state(
    method: Method, optimizer: optax.GradientTransformation, seed: int, mesh: Mesh
) -> TrainState:
    """The state before the first step, on every device of `mesh`."""

    def init(key: jax.Array) -> TrainState:
        # Initial values alone are drawn by "rbg", which compiles in a fraction of threefry's time.
        init_key = jax.random.key(seed, impl="rbg")
        params, batch_stats, method_state = method.init(init_key)
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            batch_stats=batch_stats,
            opt_state=optimizer.init(params),
            method_state=method_state,
            key=key,
        )

    return jax.jit(init, out_shardings=sharding.replicated(mesh))(jax.random.PRNGKey(seed))


def make_train_step(method: Method, optimizer: optax.GradientTransformation, mesh: Mesh) -> Any:
    """Returns the jitted `step(state, batch) -> (state, logs)`, compiled on its first call.

    The batch is sharded over the devices and the state replicated, so that batch statistics are
    those of the global batch and results do not depend on the number of devices.
    """

    def step(state: TrainState, batch: Any) -> tuple[TrainState, dict[str, jax.Array]]:
        key = jax.random.fold_in(state.key, state.step)
        gradient = jax.value_and_grad(method.loss, has_aux=True)
        (loss, (batch_stats, method_state, logs)), grads = gradient(
            state.params, state.batch_stats, state.method_state, batch, state.step, key
        )
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        if method.after_update is not None:
            method_state = method.after_update(params, method_state, state.step)
        state = dataclasses.replace(
            state,
            step=state.step + 1,
            params=params,
            batch_stats=batch_stats,
            opt_state=opt_state,
            method_state=method_state,
        )
        return state, {"loss": loss, **logs}

    whole, split = sharding.replicated(mesh), sharding.sharded(mesh)
    return jax.jit(
        step, in_shardings=(whole, split), out_shardings=(whole, whole), donate_argnums=0
    )
