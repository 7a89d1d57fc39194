"""Checks of a lowered train step's StableHLO text: float64, transposed images, host callbacks...

A step that is only lowered, not compiled, already shows what would make it slow on a GPU or TPU,
and it is lowered for these on any machine. Each check reads the text that
`Lowered.as_text(debug_info=True)` gives, and answers with a sentence that names the first operation
which breaks it. What XLA itself does later is not in this text: on a GPU it may choose another
layout for a convolution, say.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

# As StableHLO names the precisions of `models.network_spec`.
ELEMENT_TYPES = {"float32": "f32", "bfloat16": "bf16", "float64": "f64"}

# The Flax scope of a backbone but for its dense tail, MobileNet's and IResNet's. That tail and what
# is outside of the backbone compute in float32 whatever the precision, as their numbers are few and
# their rounding would count: the augmentation of images, the output layers, the projections and
# class centres of pretrainings, and all losses.
_BACKBONE = re.compile(r"\bbackbone/(?!pooled/|(?:pyramid_)?embedding/dense/)")

# IResNet's tail flattens its last maps in PyTorch's order, so that insightface's weights fit.
_FLATTENING = re.compile(r"\bbackbone/(?:pyramid_)?embedding/")

_LOCATION = re.compile(r'^(#loc\d*) = loc\("([^"]*)"', re.MULTILINE)
_OPERATION = re.compile(r"(?:= |^\s*\"?)((?:stablehlo|chlo)\.\w+)")
_REFERENCE = re.compile(r"loc\((#loc\d*)\)$")
_TENSOR = re.compile(r"tensor<((?:\d+x)*)([^>]+)>")
_FLOAT64 = re.compile(r"[<x]f64[>,]")
_TO_HOST = re.compile(r"custom_call @\w*callback|stablehlo\.(?:send|recv|infeed|outfeed)\b")


class Tensor(NamedTuple):
    """The type of an array: its shape, and what its elements are, such as bf16."""

    shape: tuple[int, ...]
    element: str


class Operation(NamedTuple):
    """One line of the text.

    Attributes:
      name: such as stablehlo.convolution.
      path: of the function transformations and Flax modules that it stems from, "" where unknown.
      line: the whole of it.
    """

    name: str
    path: str
    line: str

    @property
    def operands(self) -> list[Tensor]:
        """The types of what it reads."""
        types = self.line.rpartition(" : ")[2].partition(" -> ")[0]
        return [
            Tensor(tuple(int(n) for n in shape.split("x")[:-1]), element)
            for shape, element in _TENSOR.findall(types)
        ]

    def __str__(self) -> str:
        return f"{self.name.partition('.')[2]} in {self.path or 'an unnamed part'}"


def problems(text: str, precision: str, donated: Iterable[str]) -> list[str]:
    """A sentence for each check that a lowered step breaks; none where all hold.

    Args:
      text: of a lowered step with its debug information.
      precision: of the network, a key of `ELEMENT_TYPES`.
      donated: the names of the arguments that the step may overwrite, as the text has them:
        `state.params['head']['kernel']`.
    """
    found = list(operations(text))
    return [
        *_sentence("computes in float64", wide(found)),
        *_sentence(f"does not compute in {precision}", otherwise_computed(found, precision)),
        *_sentence("moves the channels of images", transposed(found)),
        *_sentence("talks to the host", host_calls(found)),
        *_sentence("is copied, as its donation is not taken", undonated(text, donated)),
    ]


def _sentence(fault: str, faulty: Sequence[object]) -> Iterator[str]:
    if faulty:
        others = f" ({len(faulty) - 1} more)" if len(faulty) > 1 else ""
        yield f"{faulty[0]} {fault}{others}"


def operations(text: str) -> Iterator[Operation]:
    """The operations of a lowered step, in order."""
    paths = dict(_LOCATION.findall(text))
    for line in text.splitlines():
        name = _OPERATION.search(line)
        if name:
            at = _REFERENCE.search(line)
            yield Operation(name[1], paths.get(at[1], "") if at else "", line)


def wide(found: Iterable[Operation]) -> list[Operation]:
    """Those with an array of float64, which accelerators compute slowly or not at all."""
    return [o for o in found if _FLOAT64.search(o.line)]


def otherwise_computed(found: Iterable[Operation], precision: str) -> list[Operation]:
    """Convolutions, and matrix products of a backbone, whose operands have another precision."""
    element = ELEMENT_TYPES[precision]
    return [
        o
        for o in found
        if (
            o.name == "stablehlo.convolution"
            or (o.name == "stablehlo.dot_general" and _BACKBONE.search(o.path))
        )
        and any(operand.element != element for operand in o.operands)
    ]


def transposed(found: Iterable[Operation]) -> list[Operation]:
    """Those that turn [..., H, W, C] into [..., C, H, W] or back: a copy of a whole activation."""
    return [
        o
        for o in found
        if o.name == "stablehlo.transpose"
        and _moves_channels(o.line)
        and not _FLATTENING.search(o.path)
    ]


def _moves_channels(line: str) -> bool:
    written = re.search(r"dims = \[([\d, ]+)\]", line)
    axes = [int(n) for n in written[1].split(",")] if written else []
    leading = list(range(len(axes) - 3))
    moved = [[*leading, *(len(leading) + n for n in last)] for last in ((2, 0, 1), (1, 2, 0))]
    return len(axes) > 3 and axes in moved


def host_calls(found: Iterable[Operation]) -> list[Operation]:
    """Those that wait for Python or for a transfer while the step runs."""
    return [o for o in found if _TO_HOST.search(o.line)]


def undonated(text: str, donated: Iterable[str]) -> list[str]:
    """The arguments among `donated` that no result takes the memory of."""
    signature = re.search(r"func\.func public @main\((.*)\) -> ", text)
    taken = set()
    for argument in re.split(r"%arg\d+: ", signature[1] if signature else ""):
        name = re.search(r'loc\("(.*)"\)', argument)
        if name and ("tf.aliasing_output" in argument or "jax.buffer_donor" in argument):
            taken.add(name[1])
    return [name for name in donated if name not in taken]
