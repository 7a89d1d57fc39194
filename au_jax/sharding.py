"""Data parallelism over devices: batches are sharded, and parameters replicated but for a few."""

import os
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from au_jax.errors import UserError

PyTree = Any

# Arrays to be sharded have a multiple of this many rows, which the usual numbers of devices divide.
_ROWS = 64


def devices() -> list[jax.Device]:
    """The devices of this machine, or of all hosts.

    Raises:
      UserError: there is none of the kind that JAX_PLATFORMS names.
    """
    try:
        return jax.devices()
    except (RuntimeError, AssertionError) as error:  # the latter without a word, where no GPU is
        asked = os.environ.get("JAX_PLATFORMS", "")
        cause = f" ({str(error).splitlines()[0]})" if str(error) else ""
        raise UserError(
            f"JAX_PLATFORMS={asked} gives no device{cause}; give cpu, cuda or tpu, as this machine "
            "has, or leave it unset"
        ) from error


def make_mesh(count: int | None = None) -> Mesh:
    """A mesh with the single axis "data" over the first `count` devices (all by default)."""
    used = devices()[:count]
    return jax.make_mesh((len(used),), ("data",), axis_types=(AxisType.Auto,), devices=used)


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole of an array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def sharded(mesh: Mesh) -> NamedSharding:
    """An array whose leading axis is split over the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def padded(rows: int) -> int:
    """The rows, padding among them, of a parameter that is to be sharded.

    They do not depend on the devices, so that a checkpoint has one shape on any number of them.
    """
    return -(-rows // _ROWS) * _ROWS


def put_batch(batch: PyTree, mesh: Mesh) -> PyTree:
    """Puts this process's part of a batch, a pytree of numpy arrays, on its devices.

    Returns:
      The same pytree of global arrays, their leading axis sharded over the devices of `mesh`.
    """
    sharding = sharded(mesh)
    if jax.process_count() == 1:
        return jax.device_put(batch, sharding)
    with jax.transfer_guard_host_to_device("allow"):  # This transfer is meant.
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, x), batch)


def replicate(tree: PyTree, mesh: Mesh) -> PyTree:
    """Copies a pytree of host arrays to every device."""
    return jax.device_put(tree, replicated(mesh))


def gather(array: jax.Array) -> np.ndarray:
    """The whole of a sharded array on this process's host."""
    if jax.process_count() == 1:
        return np.asarray(jax.device_get(array))
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(array, tiled=True))


def barrier(name: str) -> None:
    """Waits for every process, so that one may then read what another has written.

    Args:
      name: of this barrier, the same in every process.
    """
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def check_shares(shares: Mapping[str, int], devices: int, micro_batches: int = 1) -> None:
    """Checks that every stream's share of the batch divides by the number of devices.

    Args:
      shares: {stream: examples of each global batch}.
      micro_batches: how many each device takes its examples in, which must divide them, too.

    Raises:
      UserError: a share does not divide; the error names the nearest one that does.
    """
    parts = devices * micro_batches
    by = f" times train.accumulate={micro_batches}" if micro_batches > 1 else ""
    for name, share in shares.items():
        if share % parts:
            nearest = max(parts, round(share / parts) * parts)
            raise UserError(
                f"stream '{name}' has a share of {share} examples, which {devices} devices{by} do "
                f"not divide; the nearest share that they do is {nearest}"
            )


def describe(mesh: Mesh) -> str:
    """One phrase that names the devices of `mesh`."""
    device = mesh.devices.flat[0]
    count = mesh.devices.size
    plural = "" if count == 1 else "s"
    return f"{count} {device.platform.upper()} device{plural} ({device.device_kind})"
