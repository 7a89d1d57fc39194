"""Weights of a backbone in the PyTorch files that people have, and by PyTorch's names.

Both torchvision's names of the arrays and timm's are read (for ResNets they are the same), for
IResNets insightface's, and for OwnNets ours. Which padding, BatchNorm epsilon and normalisation the
weights need stands in `weight_schemes`.
"""

import pickle
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError
from safetensors.numpy import load_file

from au_jax.errors import UserError, unknown
from au_jax.files import finite_weights
from au_jax.models import BACKBONES
from au_jax.models.alexnet import AlexNet
from au_jax.models.efficientnet import EfficientNet, LargeEfficientNet
from au_jax.models.iresnet import IResNet
from au_jax.models.mobilenet_v3 import BLOCKS, MobileNetV3Large
from au_jax.models.ownnet import OwnNet
from au_jax.models.resnet import ResNet

Tree = Mapping[str, Any]
# Our module's path and its name in the file.
Names = Iterator[tuple[tuple[str, ...], str]]

# Ours and PyTorch's names of a module's arrays.
_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "slope": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
_BACKBONE = "backbone."
_COUNTER = ".num_batches_tracked"
# PyTorch's modules that are 1x1 convolutions over pooled features, dense layers here.
_CONVOLUTION_NAME = re.compile(r"(^|\.)(conv\w*|fc[12])$")
_BLOCK_PARTS = ("expand", "depthwise", "squeeze", "project")


def initialised_parts(backbone_name: str, params: Tree, given: Iterable[str] = ()) -> list[str]:
    """The parts of a backbone that a weights file has no arrays of, so that they stay as they are.

    Args:
      given: the names of the file's arrays. With none of them, all parts that a file may lack.
    """
    named = {name.partition(".")[0] for name in given}
    parts = _PARTS_OF_OUR_FILES.get(BACKBONES[backbone_name][0], {})
    return [part for part, theirs in parts.items() if part in params and theirs not in named]


def backbone_of(state: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], list[str]]:
    """The backbone's arrays in those of a file, which may hold a whole network as this package has.

    Returns:
      Its arrays by the backbone's own names, and the other parts of the network, such as
      "heads.opt"; of a backbone's file all its arrays, and none.
    """
    if not any(name.startswith(_BACKBONE) for name in state):
        return dict(state), []
    of_backbone = {
        name.removeprefix(_BACKBONE): array
        for name, array in state.items()
        if name.startswith(_BACKBONE)
    }
    others = {name.rpartition(".")[0] for name in state if not name.startswith(_BACKBONE)}
    return of_backbone, sorted(others)


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Returns the arrays of a `.safetensors`, `.pth`, `.pt` or `.bin` file by name.

    Files other than `.safetensors` need PyTorch and are read without unpickling objects.

    Raises:
      UserError: the file cannot be read, or holds more than arrays.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no weights file '{path}'; give the path of an existing file")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
            raise UserError(
                f"'{path}' is not a readable safetensors file ({error}); fetch it again"
            ) from None
    if path.suffix not in (".pth", ".pt", ".bin"):
        raise unknown(f"ending of the weights file '{path}'", path.suffix, (".safetensors", ".pth"))
    try:
        import torch
    except ImportError:
        raise UserError(
            f"reading '{path}' needs PyTorch; install torch, or give the weights as .safetensors"
        ) from None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(
            f"'{path}' holds pickled objects, which are not read for safety; save the network's "
            "state_dict() alone"
        ) from None
    except Exception:  # zipfile, pickle and PyTorch each raise their own
        raise UserError(f"'{path}' is not a readable PyTorch file; fetch it again") from None
    if not isinstance(state, dict) or not all(torch.is_tensor(a) for a in state.values()):
        raise UserError(
            f"'{path}' holds more than a network's arrays; save the network's state_dict() alone"
        )
    return {name: array.float().numpy() for name, array in state.items()}


def is_timm(state: Mapping[str, np.ndarray]) -> bool:
    """Whether the arrays have timm's names, where those differ from torchvision's."""
    return "conv_stem.weight" in state


def convert(
    state: Mapping[str, np.ndarray],
    backbone_name: str,
    params: Tree,
    batch_stats: Tree,
    source: str,
) -> tuple[Any, Any]:
    """Puts the arrays of a backbone's PyTorch state dict into the backbone's trees.

    A 1000-class classifier among them is dropped; every other array must have its place, and every
    place its array. Only an IResNet may have `initialised_parts`, which stay as they are, and with
    the pyramid it drops the file's last layers (`bn2`, `fc`, `features`).

    Args:
      state: see `backbone_of` for one of a whole network.
      backbone_name: one of `models.BACKBONES`.
      params, batch_stats: the backbone's own trees (for an `AUNet`, those under "backbone"), as
        arrays or `jax.ShapeDtypeStruct`; `batch_stats` is {} for a network without BatchNorm.
      source: what the error messages call the state dict.

    Returns:
      New (params, batch_stats), float32.

    Raises:
      UserError: the arrays do not fit the backbone or are not finite, or it has no PyTorch names.
    """
    names, dropped = _scheme(backbone_name)
    prefix = dict(names(params, is_timm(state)))
    initialised = initialised_parts(backbone_name, params, state)

    places, kept = {}, {}
    for collection, tree in (("params", params), ("batch_stats", batch_stats)):
        for (*module, leaf), value in flatten_dict(tree).items():
            if module[0] in initialised:
                kept[(collection, *module, leaf)] = value
                continue
            places[(collection, *module, leaf)] = (
                f"{prefix[tuple(module)]}.{_LEAVES[leaf]}",
                value.shape,
            )
    wanted = {name for name, _ in places.values()}
    given = {
        name
        for name in state
        if name in wanted or not (name.endswith(_COUNTER) or name.rpartition(".")[0] in dropped)
    }
    _refuse(f"'{source}' lacks arrays of {backbone_name}", wanted - given)
    _refuse(f"'{source}' has arrays that {backbone_name} lacks", given - wanted)

    filled = {place: _arranged(state[name], len(shape)) for place, (name, shape) in places.items()}
    _refuse(
        f"'{source}' has arrays of other shapes than {backbone_name}",
        [
            f"{name} {_theirs(filled[place].shape)} instead of {_theirs(shape)}"
            for place, (name, shape) in places.items()
            if filled[place].shape != shape
        ],
    )
    finite_weights.check(
        ((name, state[name]) for name in sorted(wanted)), f"'{source}'", "fetch it again"
    )
    imported = {place: jnp.asarray(array, jnp.float32) for place, array in filled.items()}
    trees = unflatten_dict(kept | imported)
    return trees["params"], trees.get("batch_stats", {})


def state_dict(
    backbone_name: str, params: Tree, batch_stats: Tree, timm: bool
) -> dict[str, np.ndarray]:
    """The arrays of a backbone by PyTorch's names and in its layouts: the inverse of `convert`.

    It only renames and transposes, so that a tree of gradients goes through it as well.

    Args:
      backbone_name: a name of `models.BACKBONES`.
      params, batch_stats: the backbone's own trees; the statistics may be {}.
      timm: whether the names are timm's, where those differ from torchvision's.

    Returns:
      {name: array of the dtype given}: a convolution's weight is [out, in, rows, columns].

    Raises:
      UserError: there is no such backbone, or it has no PyTorch names.
    """
    names, _ = _scheme(backbone_name)
    prefix = dict(names(params, timm))
    arrays = {}
    for tree in (params, batch_stats):
        for (*module, leaf), value in flatten_dict(tree).items():
            name = prefix[tuple(module)]
            arrays[f"{name}.{_LEAVES[leaf]}"] = _in_pytorchs_order(np.asarray(value), name)
    return arrays


def _in_pytorchs_order(array: np.ndarray, module: str) -> np.ndarray:
    """[rows, columns, in, out] or [in, out] as PyTorch's [out, in, rows, columns] or [out, in]."""
    if array.ndim == 2 and _CONVOLUTION_NAME.search(module):
        array = array[None, None]
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T


def _scheme(backbone_name: str) -> tuple[Callable[[Tree, bool], Names], tuple[str, ...]]:
    """The row of `_SCHEMES` for a backbone."""
    if backbone_name not in BACKBONES:
        raise unknown("backbone", backbone_name, BACKBONES)
    scheme = _SCHEMES.get(BACKBONES[backbone_name][0])
    if scheme is None:
        readable = [name for name, (kind, _) in BACKBONES.items() if kind in _SCHEMES]
        raise unknown("backbone with ImageNet weights", backbone_name, readable)
    return scheme


def _arranged(array: np.ndarray, rank: int) -> np.ndarray:
    """PyTorch's [out, in, rows, columns] or [out, in] as [rows, columns, in, out] or [in, out]."""
    if array.ndim == 4:
        array = array.transpose(2, 3, 1, 0)
        # A 1x1 convolution over pooled features is a dense layer here.
        return array[0, 0] if rank == 2 and array.shape[:2] == (1, 1) else array
    return array.T


def _theirs(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape in PyTorch's order of axes."""
    return (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape[::-1]


def _refuse(problem: str, names: Iterable[str]) -> None:
    listed = sorted(names)
    if listed:
        more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
        raise UserError(
            f"{problem}: {', '.join(listed[:3])}{more}; give the weights of that very network"
        )


def _conv_norm(ours: tuple[str, ...], conv: str, norm: str) -> Names:
    yield (*ours, "conv"), conv
    yield (*ours, "norm"), norm


def _inverted_residual(block: str, parts: Tree, theirs: str, timm: bool) -> Names:
    present = [part for part in _BLOCK_PARTS if part in parts]
    if not timm:
        for position, part in enumerate(present):
            name = f"{theirs}.block.{position}"
            if part == "squeeze":
                yield (block, part, "reduce"), f"{name}.fc1"
                yield (block, part, "expand"), f"{name}.fc2"
            else:
                yield from _conv_norm((block, part), f"{name}.0", f"{name}.1")
        return
    project = "conv_pwl" if "expand" in parts else "conv_pw"
    convs = {"expand": "conv_pw", "depthwise": "conv_dw", "project": project}
    if "squeeze" in parts:
        yield (block, "squeeze", "reduce"), f"{theirs}.se.conv_reduce"
        yield (block, "squeeze", "expand"), f"{theirs}.se.conv_expand"
    for number, part in enumerate((part for part in present if part != "squeeze"), 1):
        yield from _conv_norm((block, part), f"{theirs}.{convs[part]}", f"{theirs}.bn{number}")


def _mobilenet(params: Tree, timm: bool) -> Names:
    number = 1
    for stage, (_, blocks) in enumerate(groupby(BLOCKS, key=lambda block: block.features)):
        for position, _ in enumerate(blocks):
            theirs = f"blocks.{stage}.{position}" if timm else f"features.{number}"
            yield from _inverted_residual(f"block{number}", params[f"block{number}"], theirs, timm)
            number += 1
    if timm:
        yield from _conv_norm(("stem",), "conv_stem", "bn1")
        yield from _conv_norm(("head",), f"blocks.{stage + 1}.0.conv", f"blocks.{stage + 1}.0.bn1")
        yield ("pooled",), "conv_head"
    else:
        yield from _conv_norm(("stem",), "features.0.0", "features.0.1")
        yield from _conv_norm(("head",), f"features.{number}.0", f"features.{number}.1")
        yield ("pooled",), "classifier.0"


def _efficientnet(params: Tree, timm: bool) -> Names:
    for block, parts in params.items():
        if match := re.fullmatch(r"stage(\d+)_block(\d+)", block):
            stage, position = int(match[1]), int(match[2]) - 1
            theirs = f"blocks.{stage - 1}.{position}" if timm else f"features.{stage}.{position}"
            yield from _inverted_residual(block, parts, theirs, timm)
    if timm:
        yield from _conv_norm(("stem",), "conv_stem", "bn1")
        yield from _conv_norm(("head",), "conv_head", "bn2")
    else:
        yield from _conv_norm(("stem",), "features.0.0", "features.0.1")
        yield from _conv_norm(("head",), "features.8.0", "features.8.1")


def _resnet(params: Tree, timm: bool) -> Names:
    yield from _conv_norm(("stem",), "conv1", "bn1")
    for block, parts in params.items():
        if match := re.fullmatch(r"stage(\d+)_block(\d+)", block):
            theirs = f"layer{match[1]}.{int(match[2]) - 1}"
            for part in parts:
                if part == "shortcut":
                    names = f"{theirs}.downsample.0", f"{theirs}.downsample.1"
                else:
                    names = f"{theirs}.{part}", f"{theirs}.{part.replace('conv', 'bn')}"
                yield from _conv_norm((block, part), *names)


def _alexnet(params: Tree, timm: bool) -> Names:
    for module, theirs in {
        "conv1": "features.0",
        "conv2": "features.3",
        "conv3": "features.6",
        "conv4": "features.8",
        "conv5": "features.10",
        "hidden1": "classifier.1",
        "hidden2": "classifier.4",
    }.items():
        yield (module,), theirs


def _iresnet(params: Tree, timm: bool) -> Names:
    yield from _conv_norm(("stem",), "conv1", "bn1")
    yield ("prelu",), "prelu"
    for block in params:
        if match := re.fullmatch(r"stage(\d+)_block(\d+)", block):
            theirs = f"layer{match[1]}.{int(match[2]) - 1}"
            yield (block, "norm"), f"{theirs}.bn1"
            yield from _conv_norm((block, "conv1"), f"{theirs}.conv1", f"{theirs}.bn2")
            yield (block, "prelu"), f"{theirs}.prelu"
            yield from _conv_norm((block, "conv2"), f"{theirs}.conv2", f"{theirs}.bn3")
            downsample = f"{theirs}.downsample.0", f"{theirs}.downsample.1"
            yield from _conv_norm((block, "shortcut"), *downsample)
    yield ("embedding", "norm"), "bn2"
    yield ("embedding", "dense"), "fc"
    yield ("embedding", "features"), "features"
    yield ("embedding", "features", "norm"), "features"
    for attention in ("attention1", "attention4"):
        for part, name in _ATTENTION.items():
            yield (attention, part), f"{attention}.{name}"
    yield from _pyramid("pyramid_embedding", "pyramid")


_ATTENTION = {"reduce": "conv1", "norm": "bn1", "rows": "conv_h", "columns": "conv_w"}
_PYRAMID = {
    "lateral1": "output1",
    "lateral2": "output2",
    "lateral3": "output3",
    "merge1": "merge1",
    "merge2": "merge2",
}
_CONTEXT = {
    "near": "conv3X3",
    "shared": "conv5X5_1",
    "wide": "conv5X5_2",
    "widest1": "conv7X7_2",
    "widest2": "conv7x7_3",
}


def _pyramid(ours: str, theirs: str) -> Names:
    """A pyramid with context modules, each by the names of its authors' code."""
    parts = {("pyramid", part): f"fpn.{name}" for part, name in _PYRAMID.items()}
    for level in range(3):
        for part, name in _CONTEXT.items():
            parts[f"context{level + 1}", part] = f"ssh.{level}.{name}"
    for path, name in parts.items():
        yield from _conv_norm((ours, *path), f"{theirs}.{name}.0", f"{theirs}.{name}.1")
    yield (ours, "dense"), f"{theirs}.fc"


def _ownnet(params: Tree, timm: bool) -> Names:
    for module in params:
        yield from _conv_norm((module,), module, module.replace("conv", "bn"))


# How each network's modules are called in a file, and the file's modules that are dropped where the
# network has no place for them: its last layers.
_SCHEMES: dict[type, tuple[Callable[[Tree, bool], Names], tuple[str, ...]]] = {
    OwnNet: (_ownnet, ()),
    MobileNetV3Large: (_mobilenet, ("classifier", "classifier.3")),
    EfficientNet: (_efficientnet, ("classifier", "classifier.1")),
    LargeEfficientNet: (_efficientnet, ("classifier", "classifier.1")),
    ResNet: (_resnet, ("fc",)),
    AlexNet: (_alexnet, ("classifier.6",)),
    IResNet: (_iresnet, ("bn2", "fc", "features")),
}
# The parts that only files of this package have, and their names there.
_PARTS_OF_OUR_FILES: dict[type, dict[str, str]] = {
    IResNet: {
        "attention1": "attention1",
        "attention4": "attention4",
        "pyramid_embedding": "pyramid",
    },
}
