"""Trees of many small arrays as a few long ones, for work that treats every element alike.

An optimiser does the same few operations on every parameter. One kernel for each of them and each
of a network's hundred biases and scales takes more time to compile than the network itself.
"""

import collections
import math
from collections.abc import Collection
from typing import Any

import jax
import jax.numpy as jnp
from flax import traverse_util

# Elements from which an array stays by itself: joining copies it.
_LARGE = 2**16
# The branch of a joined tree that has the long arrays.
_JOINED = "joined"


def join(tree: Any, apart: Collection[str] = ()) -> dict[str, Any]:
    """The tree with its small arrays one after another in long ones.

    Arrays of one name ("kernel", "bias") and dtype share a long one, which has their name, so that
    a rule that goes by names holds for it.

    Args:
      tree: nested dicts of arrays.
      apart: branches whose arrays are left alone.
    """
    large, small = {}, collections.defaultdict(list)
    for path, leaf in _flat(tree):
        if _is_large(path, leaf, apart):
            large[path] = leaf
        else:
            small[_group(path, leaf)].append(leaf.reshape(-1))
    long = {group: jnp.concatenate(leaves) for group, leaves in small.items()}
    return traverse_util.unflatten_dict(large | long)


def split(joined: dict[str, Any], like: Any, apart: Collection[str] = ()) -> Any:
    """The tree that `join` made `joined` of.

    Args:
      like: a tree of the same arrays' shapes.
      apart: as for `join`.
    """
    arrays = dict(_flat(joined))
    taken: collections.Counter = collections.Counter()
    leaves = []
    for path, leaf in _flat(like):
        if _is_large(path, leaf, apart):
            leaves.append(arrays[path])
        else:
            group = _group(path, leaf)
            start, taken[group] = taken[group], taken[group] + math.prod(leaf.shape)
            leaves.append(arrays[group][start : taken[group]].reshape(leaf.shape))
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _flat(tree: Any) -> list[tuple[tuple[str, ...], Any]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [(tuple(key.key for key in path), leaf) for path, leaf in leaves]


def _is_large(path: tuple[str, ...], leaf: Any, apart: Collection[str]) -> bool:
    return path[0] in apart or math.prod(leaf.shape) >= _LARGE


def _group(path: tuple[str, ...], leaf: Any) -> tuple[str, ...]:
    return (_JOINED, str(leaf.dtype), path[-1])
