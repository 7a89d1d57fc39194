"""Memory, work and faults of a training step, from shapes alone: no data and no accelerator needed.

The step is compiled for the devices at hand, which tells its memory and work, and lowered for each
of `PLATFORMS`, whose texts `lowered_checks` looks through.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import optax
from jax.sharding import Mesh
from rich.console import Console
from rich.table import Column, Table

from au_jax import sharding
from au_jax.benchmark import collectives, lowered_checks
from au_jax.methods.base import Method
from au_jax.models import cpu_ops
from au_jax.training.step import TrainState, init_state, make_train_step

PLATFORMS = ("cpu", "cuda", "tpu")
_MIB = 2**20


def measure(
    method: Method,
    optimizer: optax.GradientTransformation,
    batch: Mapping[str, Any],
    mesh: Mesh,
    precision: str,
) -> dict[str, Any]:
    """What the lowered and the compiled step say of themselves.

    Args:
      batch: {stream: {field: jax.ShapeDtypeStruct}}, the global batch.
      mesh: the devices to compile for.
      precision: that the network is to compute in, see `models.network_spec.NetworkSpec`.

    Returns:
      "precision"; "images" of a step on each device; "parameters", how many are trained; "bytes" on
      each device: of the "network" (parameters and batch statistics), of the state of the
      "optimizer" and of the "method" (queues, label tables, averaged networks), of the "batch", and
      "temporary", which the step needs beside these, for its activations above all; "flops" of a
      step on each device, the body of a loop counted once; "faults", {platform: sentences} of
      `lowered_checks.problems`. With several devices also "collectives", see `collectives.summary`,
      and sentences of `collectives.problems` among the faults as those of "several devices".

      Temporary bytes and flops are those of the devices compiled for: another platform's compiler
      joins and keeps other arrays. The other figures are the same on each.

    Raises:
      UserError: the devices do not divide a stream's share of the batch.
    """
    devices = mesh.devices.size
    shares = {name: fields["image"].shape[0] for name, fields in batch.items()}
    sharding.check_shares(shares, devices)
    state = jax.eval_shape(lambda: init_state(method, optimizer, 0, mesh))

    traced = trace(method, optimizer, batch, mesh, state)
    faults = {
        platform: lowered_checks.problems(text, precision, donated_names(state))
        for platform, text in texts(traced)
    }
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    compiled = traced["cpu" if on_cpu else "cuda"].lower().compile()
    own = jax.tree.map(
        lambda leaf, lies: jax.ShapeDtypeStruct(lies.shard_shape(leaf.shape), leaf.dtype),
        state,
        compiled.input_shardings[0][0],
    )
    figures: dict[str, Any] = {
        "precision": precision,
        "images": sum(shares.values()) // devices,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        "bytes": {
            "network": _bytes((own.params, own.batch_stats)),
            "optimizer": _bytes(own.opt_state),
            "method": _bytes(own.method_state),
            "batch": _bytes(batch) // devices,
            "temporary": compiled.memory_analysis().temp_size_in_bytes,
        },
        "flops": compiled.cost_analysis().get("flops"),
        "faults": faults,
    }
    if devices > 1:
        whole = jax.tree.map(lambda leaf, mine: leaf.shape == mine.shape, state.params, own.params)
        kernels = [
            leaf.shape
            for leaf, is_whole in zip(*map(jax.tree.leaves, (state.params, whole)), strict=True)
            if is_whole
        ]
        found = collectives.collectives(compiled.as_text())
        figures["collectives"] = collectives.summary(found, kernels)
        faults["several devices"] = collectives.problems(found, kernels)
    return figures


def trace(
    method: Method, optimizer: optax.GradientTransformation, batch: Any, mesh: Mesh, state: Any
) -> dict[str, Any]:
    """The train step traced for the CPU and for accelerators, which have one form (`cpu_ops`)."""
    traced = {}
    for platform in ("cpu", "cuda"):
        with cpu_ops.traced_for(platform):
            traced[platform] = make_train_step(method, optimizer, mesh).trace(state, batch)
    return traced


def texts(traced: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each of `PLATFORMS` with the StableHLO text of the step of `trace`, lowered for it."""
    for platform in PLATFORMS:
        lowered = traced.get(platform, traced["cuda"]).lower(lowering_platforms=(platform,))
        yield platform, lowered.as_text(debug_info=True)


def donated_names(state: TrainState) -> list[str]:
    """The arrays of a state, as a lowered step names its arguments."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return [f"state{jax.tree_util.keystr(path)}" for path, _ in leaves]


def _bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def verdict(figures: Mapping[str, Any]) -> list[str]:
    """Sentences on what `measure` found: faults, or that there are none, and collectives."""
    faults = {where: sentences for where, sentences in figures["faults"].items() if sentences}
    said = [f"on {where}, {s}" for where, sentences in faults.items() for s in sentences]
    if not said:
        said.append(f"lowers for {', '.join(PLATFORMS)}: checks hold")
    if "collectives" in figures:
        exchanged = dict(figures["collectives"])
        groups = exchanged.pop("gradient_groups")
        kinds = [
            f"{kind} {of_kind['count']} times with {of_kind['bytes'] / _MIB:,.1f} MiB in all"
            for kind, of_kind in exchanged.items()
        ]
        said.append(f"devices exchange by {', '.join(kinds)}; gradients in {groups} of these")
    return said


def show(trainings: Mapping[str, Mapping[str, Any]], mesh: Mesh) -> None:
    """Prints the figures of `measure` of several trainings as a table."""
    memory = ("network", "optimizer", "method", "batch", "temporary")
    table = Table(
        Column("stage", overflow="fold"),
        "images",
        "parameters",
        *memory,
        "GFLOP",
        title=f"one step, MiB on each device, for {sharding.describe(mesh)}; nothing was run",
    )
    for name, figures in trainings.items():
        table.add_row(
            name,
            f"{figures['images']}",
            f"{figures['parameters']:,}",
            *(f"{figures['bytes'][part] / _MIB:,.1f}" for part in memory),
            f"{figures['flops'] / 1e9:,.1f}",
        )
    Console(width=100).print(table)
