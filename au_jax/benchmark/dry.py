"""Memory and work of a training step, from shapes alone: no data and no accelerator are needed."""

from collections.abc import Mapping
from typing import Any

import jax
import optax
from jax.sharding import Mesh
from rich.console import Console
from rich.table import Table

from au_jax import sharding
from au_jax.methods.base import Method
from au_jax.training.step import init_state, make_train_step

_MIB = 2**20


def measure(
    method: Method,
    optimizer: optax.GradientTransformation,
    batch: Mapping[str, Any],
    mesh: Mesh,
) -> dict[str, float]:
    """What the compiled step says of itself, on the devices of `mesh`.

    Args:
      batch: {stream: {field: jax.ShapeDtypeStruct}}.

    Returns:
      {"parameters": how many are trained; "state_mib": of the training state, on each device;
      "batch_mib": of the whole batch; "temporary_mib": what the step needs beside both, on each
      device; "gflops": of a step on each device, the body of a loop counted once}.
    """
    state = jax.eval_shape(lambda: init_state(method, optimizer, 0, mesh))
    compiled = make_train_step(method, optimizer, mesh).lower(state, batch).compile()
    of_device = jax.tree.map(
        lambda leaf, lies: jax.ShapeDtypeStruct(lies.shard_shape(leaf.shape), leaf.dtype),
        state,
        compiled.input_shardings[0][0],
    )
    memory = compiled.memory_analysis()
    return {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        "state_mib": _bytes(of_device) / _MIB,
        "batch_mib": _bytes(batch) / _MIB,
        "temporary_mib": memory.temp_size_in_bytes / _MIB,
        "gflops": compiled.cost_analysis().get("flops", float("nan")) / 1e9,
    }


def _bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def show(figures: Mapping[str, Mapping[str, float]], mesh: Mesh) -> None:
    """Prints the figures of `measure` of several stages as a table."""
    table = Table(
        "stage",
        "parameters",
        "state, MiB",
        "batch, MiB",
        "temporary, MiB",
        "GFLOP",
        title=f"one compiled step, for {sharding.describe(mesh)}; nothing was run",
    )
    for stage, of_stage in figures.items():
        rounded = (f"{of_stage[f]:,.0f}" for f in list(of_stage)[1:])
        table.add_row(stage, f"{of_stage['parameters']:,}", *rounded)
    Console().print(table)
