"""The train step, pure and jitted, and the layout of its donated state over the devices."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding

from au_jax import sharding
from au_jax.methods.base import Method
from au_jax.training import finite
from au_jax.training.joined import join, split


@flax.struct.dataclass
class TrainState:
    """All that a step reads and writes: arrays, or their shapes where jax asks for those alone.

    Attributes:
      step: int32 scalar, updates done.
      params, batch_stats: of the method's networks.
      opt_state: the optimiser's, of the params as `joined.join` gives them.
      method_state: the method's own (queues, momentum networks, label tables).
      key: uint32 [2], the run's key; a step draws from `fold_in(key, step)`.
    """

    step: Any
    params: Any
    batch_stats: Any
    opt_state: Any
    method_state: Any
    key: Any


@functools.lru_cache(maxsize=4)  # One function is traced once for shapes, layout and values.
def _initializer(
    method: Method, optimizer: optax.GradientTransformation
) -> Callable[[jax.Array, jax.Array], TrainState]:
    """The function from the keys of initial values and of the run to the state before step 1."""

    def init(init_key: jax.Array, key: jax.Array) -> TrainState:
        params, batch_stats, method_state = method.init(init_key)
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            batch_stats=batch_stats,
            opt_state=optimizer.init(join(params, method.sharded)),
            method_state=method_state,
            key=key,
        )

    return init


def _keys(seed: int) -> tuple[jax.Array, jax.Array]:
    # Initial values alone are drawn by "rbg", which compiles in a fraction of threefry's time.
    return jax.random.key(seed, impl="rbg"), jax.random.PRNGKey(seed)


def layout(method: Method, optimizer: optax.GradientTransformation, mesh: Mesh) -> TrainState:
    """How a training's state lies on the devices of `mesh`: the sharding of each of its arrays.

    An array lies whole on every device, but for the params of `Method.sharded` and the optimiser's
    arrays of them, which are split along their first axis where the devices divide it.
    """
    whole, split = sharding.replicated(mesh), sharding.sharded(mesh)
    state = jax.eval_shape(_initializer(method, optimizer), *_keys(0))

    def of_leaf(path: tuple, leaf: jax.ShapeDtypeStruct) -> NamedSharding:
        part, *keys = path
        # An optimiser's state holds trees of the params' structure inside of tuples.
        names = [key.key for key in keys if isinstance(key, jax.tree_util.DictKey)]
        named = part.name in ("params", "opt_state") and names[:1] and names[0] in method.sharded
        return split if named and leaf.shape[0] % mesh.devices.size == 0 else whole

    laid_out: TrainState = jax.tree_util.tree_map_with_path(of_leaf, state)
    return laid_out


def init_state(
    method: Method, optimizer: optax.GradientTransformation, seed: int, mesh: Mesh
) -> TrainState:
    """The state before the first step, laid out over the devices of `mesh`."""
    init = _initializer(method, optimizer)
    return jax.jit(init, out_shardings=layout(method, optimizer, mesh))(*_keys(seed))


def make_train_step(method: Method, optimizer: optax.GradientTransformation, mesh: Mesh) -> Any:
    """Returns the jitted `step(state, batch) -> (state, logs)`, compiled on its first call.

    The logs are the loss, those of the method, the norm of the gradient, and what is `finite`.

    The batch is sharded over the devices and the state laid out as `layout` says. Batch statistics
    are those of the global batch, and results do not depend on the number of devices.
    """

    def step(state: TrainState, batch: Any) -> tuple[TrainState, dict[str, jax.Array]]:
        key = jax.random.fold_in(state.key, state.step)
        gradient = jax.value_and_grad(method.loss, has_aux=True)
        (loss, (batch_stats, method_state, logs)), grads = gradient(
            state.params, state.batch_stats, state.method_state, batch, state.step, key
        )
        grads, params = (join(tree, method.sharded) for tree in (grads, state.params))
        updates, opt_state = optimizer.update(grads, state.opt_state, params)
        updated = optax.apply_updates(params, updates)
        params = split(updated, state.params, method.sharded)
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
        norm = optax.tree.norm(grads)
        told = finite.finite(join(batch_stats), loss, norm, updated)
        return state, {"loss": loss, **logs, "gradient_norm": norm, "finite": told}

    laid_out = layout(method, optimizer, mesh)
    return jax.jit(
        step,
        in_shardings=(laid_out, sharding.sharded(mesh)),
        out_shardings=(laid_out, sharding.replicated(mesh)),
        donate_argnums=0,
    )
