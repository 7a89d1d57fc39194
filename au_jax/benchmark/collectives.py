"""Collectives of a data-parallel step (all-reduce, all-gather...), from its compiled HLO text."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

_KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
_COLLECTIVE = re.compile(rf" = (\(.*?\)|\S+) ({'|'.join(_KINDS)})(?:-start)?\(")
_ARRAY = re.compile(r"\b([a-z]+)(\d*)\[([\d,]*)\]")


class Collective(NamedTuple):
    """One exchange between the devices.

    Attributes:
      kind: such as all-reduce.
      shapes: of the arrays that it results in. size: of all of them, bytes.
    """

    kind: str
    shapes: tuple[tuple[int, ...], ...]
    size: int


def collectives(text: str) -> list[Collective]:
    """The collectives of a compiled step, in order."""
    found = []
    for result, kind in _COLLECTIVE.findall(text):
        shapes, size = [], 0
        for _, bits, written in _ARRAY.findall(result):
            shape = tuple(int(n) for n in written.split(",") if n)
            shapes.append(shape)
            size += math.prod(shape) * max(1, int(bits or 8) // 8)  # without bits: pred
        found.append(Collective(kind, tuple(shapes), size))
    return found


def summary(found: Iterable[Collective], kernels: Sequence[tuple[int, ...]]) -> dict[str, Any]:
    """How many collectives of each kind a step has, and their bytes.

    Args:
      kernels: the shapes of the parameters that lie whole on every device; those of at least two
        axes count.

    Returns:
      {kind: {"count", "bytes"}}, and "gradient_groups", how many all-reduces the gradients of these
      parameters go in: as many as XLA's combiner leaves. All the others follow from the statistics
      of BatchNorm over the global batch, one after another, and from the loss.
    """
    found = list(found)
    kinds = {
        kind: {
            "count": sum(c.kind == kind for c in found),
            "bytes": sum(c.size for c in found if c.kind == kind),
        }
        for kind in _KINDS
        if any(c.kind == kind for c in found)
    }
    sizes = set(_sizes(kernels))
    groups = [c for c in found if c.kind == "all-reduce" and sizes & set(_sizes(c.shapes))]
    return {**kinds, "gradient_groups": len(groups)}


def problems(found: Iterable[Collective], kernels: Sequence[tuple[int, ...]]) -> list[str]:
    """A sentence for gradients that are not summed over the devices once, and for gathered kernels.

    Arrays are told by their number of elements, as a gradient may be summed in another form than
    that of its parameter.

    Args:
      kernels: see `summary`.
    """
    found, wanted = list(found), _sizes(kernels)
    summed = _sizes(s for c in found if c.kind == "all-reduce" for s in c.shapes)
    gathered = _sizes(s for c in found if c.kind == "all-gather" for s in c.shapes)
    sentences = []
    for size in sorted(wanted):
        if summed[size] != wanted[size]:
            sentences.append(
                f"{summed[size]} arrays of {size:,} elements are summed over the devices, but "
                f"{wanted[size]} parameters have as many"
            )
        if gathered[size]:
            sentences.append(f"an array as large as a parameter, {size:,} elements, is gathered")
    return sentences


def _sizes(shapes: Iterable[tuple[int, ...]]) -> Counter[int]:
    """How many arrays with at least two axes there are of each number of elements."""
    return Counter(math.prod(s) for s in shapes if sum(n > 1 for n in s) > 1)
