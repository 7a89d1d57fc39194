"""Whether a batch fits through a network in the memory, told from shapes before the first one."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from au_jax.data.sources import Source
from au_jax.errors import UserError
from au_jax.training.scoring import Forward

# The layers whose inputs and outputs lie in memory, whatever a compiler does with the others.
_LAYERS = ("conv_general_dilated", "dot_general")
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_FLOATS = 4
# What XLA's programs took of it on a CPU, four networks: 1.6 to 1.7 times their largest layer.
_TIMES = 1.5
# No network has in its largest layer so many times the values of its input.
_MOST_TIMES = 200


def check_batch(
    function: Forward,
    variables: Any,
    sources: Iterable[Source],
    batch: int,
    mesh: Mesh,
    field: str,
) -> None:
    """Checks that a batch fits through a network in the memory of each device.

    Args:
      function: (variables, images, pose) -> [B, ...], see `scoring.make_pass`.
      variables: of it, or their shapes.
      sources: what passes through it. batch: examples at once.
      field: that sets `batch`, as the command line has it.

    Raises:
      UserError: it needs more than there is; names a batch that may do.
    """
    available = free_memory(mesh)
    devices = mesh.devices.size
    for source in sources:
        image = source.images(np.array([0])).shape[1:]
        if -(-batch // devices) * math.prod(image) * _FLOATS * _MOST_TIMES < available:
            continue  # tracing the network takes a moment
        one = _TIMES * _largest_layer(function, variables, image)
        needed = -(-batch // devices) * one
        if needed > available:
            raise UserError(
                f"{field} is {batch}, which needs about {needed / 2**20:,.0f} MiB of the "
                f"{available / 2**20:,.0f} MiB of memory that are free; give at most "
                f"{max(1, int(available / 4 / one)) * devices}"
            )


def free_memory(mesh: Mesh) -> int:
    """Bytes that a batch may take on each device; of a CPU its share of what is free."""
    local = mesh.local_devices  # those of other hosts tell nothing
    told = local[0].memory_stats() or {}
    if "bytes_limit" in told:
        return int(told["bytes_limit"])
    free = [_available()]
    for file in map(Path, _LIMITS):
        if file.is_file() and file.read_text().strip().isdecimal():
            free.append(int(file.read_text()))
    return min(free) // len(local)


def _available() -> int:
    """What Linux says can be had without swapping; elsewhere no limit is known."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        return 2**63
    lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
    return int(lines["MemAvailable"].split()[0]) * 1024


def _largest_layer(function: Forward, variables: Any, image: tuple[int, ...]) -> int:
    """Bytes of one example's inputs and outputs of the layer that has most of them."""
    two = (jax.ShapeDtypeStruct((2, *image), jnp.uint8), jax.ShapeDtypeStruct((2, 3), jnp.float32))
    traced = jax.make_jaxpr(function)(variables, *two)
    sizes = [
        sum(v.aval.size * v.aval.dtype.itemsize for v in (layer.invars[0], *layer.outvars)) // 2
        for layer in _layers(traced.jaxpr)
    ]
    return max((math.prod(image), *sizes))


def _layers(jaxpr: Any) -> Iterator[Any]:
    for equation in jaxpr.eqns:
        if equation.primitive.name in _LAYERS:
            yield equation
        for parameter in equation.params.values():
            inner = getattr(parameter, "jaxpr", parameter)
            if hasattr(inner, "eqns"):
                yield from _layers(inner)
