"""A network's variables as one safetensors file, by Flax names, that is read without unpickling.

An array is called by its path: `params/backbone/stem/conv/kernel`, `batch_stats/...`. A file may be
in half precision, which takes half the room: its kernels are float16, and are read as float32.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from au_jax.errors import UserError
from au_jax.files import atomic_files, finite_weights
from au_jax.methods.base import PyTree

AGAIN = "copy the folder or export the run again"


def named(tree: PyTree) -> dict[str, np.ndarray]:
    """{path: array} of a pytree of dictionaries, its arrays or their shapes."""
    return {_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def unnamed(arrays: Mapping[str, Any], like: PyTree) -> PyTree:
    """The pytree with the structure of `like` whose arrays `named` made `arrays` of."""
    return jax.tree_util.tree_map_with_path(lambda path, _: arrays[_name(path)], like)


def _name(path: tuple) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def write(path: Path, tree: PyTree, half: bool = False) -> None:
    """Writes variables, on the host or a device.

    Args:
      half: whether in half precision. Arrays of one axis, such as biases and the statistics of
        BatchNorm, are few and stay as they are.

    Raises:
      UserError: a value is too large for half precision; the disk is full, or the folder cannot be
        written.
    """
    arrays = {n: np.ascontiguousarray(a) for n, a in named(jax.device_get(tree)).items()}
    if half:
        arrays = {name: _halved(name, array) for name, array in arrays.items()}
    with atomic_files.replacing(path) as temporary:
        temporary.write_bytes(save(arrays))


def _may_be_half(array: Any) -> bool:
    return len(array.shape) >= 2 and array.dtype == np.float32


def _halved(name: str, array: np.ndarray) -> np.ndarray:
    if not _may_be_half(array):
        return array
    if np.abs(array).max(initial=0) > np.finfo(np.float16).max:
        raise UserError(f"'{name}' has values that half precision cannot hold; leave out --half")
    return array.astype(np.float16)


def read(path: Path, shapes: PyTree) -> PyTree:
    """The variables of a file.

    Args:
      shapes: a pytree of `jax.ShapeDtypeStruct`, those that they must have.

    Returns:
      The same pytree of NumPy arrays.

    Raises:
      UserError: the file is missing or damaged, or lacks an array, has one that is not wanted, or
        one of another shape or dtype.
    """
    try:
        arrays = load_file(path)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; {AGAIN}") from error
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}); {AGAIN}") from error
    wanted = named(shapes)
    for name in sorted(wanted.keys() - arrays.keys()):
        raise UserError(f"{path} lacks the array '{name}' of its network; export the run again")
    for name in sorted(arrays.keys() - wanted.keys()):
        raise UserError(
            f"{path} has an array '{name}', which its network does not have; export the run again"
        )
    for name, shape in wanted.items():
        if _may_be_half(shape) and arrays[name].dtype == np.float16:
            arrays[name] = arrays[name].astype(np.float32)
        array = arrays[name]
        if array.shape != shape.shape or array.dtype != shape.dtype:
            raise UserError(
                f"'{name}' of {path} is {array.dtype} {list(array.shape)}, and its network has "
                f"{shape.dtype} {list(shape.shape)}; export the run again"
            )
    finite_weights.check(arrays.items(), path, "copy the folder again, or export another run")
    return unnamed(arrays, shapes)
