"""Winograd's 3x3 convolution F(2x2, 3x3): a tile of 2 x 2 outputs by 16 products in place of 36.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016), sections
4.1 and 5, whose matrices B^T, G and A^T stand below. https://arxiv.org/abs/1509.09308
"""

from collections.abc import Sequence
from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Grid = Sequence[Sequence[jax.Array]]  # rows of arrays of one shape

_INPUT = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])  # B^T
_KERNEL = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])  # G
_OUTPUT = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])  # A^T


def convolve(
    images: Float[Array, "B H W C"], kernel: Float[Array, "3 3 C N"]
) -> Float[Array, "B H W N"]:
    """Convolves images, padded by one pixel of zeros on every side, with stride 1.

    In float32 the result differs from that of the direct sum by rounding, a few units in the
    seventh digit of the largest value.
    """
    batch, height, width, channels = images.shape
    rows, columns = -(-height // 2), -(-width // 2)
    tiles = _transform(_INPUT, _tiles(images, rows, columns))
    taps = _transform(_KERNEL, [list(row) for row in kernel])
    # Four products to a call are as quick as one to a call, and quicker to compile.
    products = [
        list(jnp.stack(tile).reshape(4, -1, channels) @ jnp.stack(tap))
        for tile, tap in zip(tiles, taps, strict=True)
    ]
    outputs = [
        [tile.reshape(batch, rows, columns, -1) for tile in row]
        for row in _transform(_OUTPUT, products)
    ]
    side_by_side = jnp.stack([jnp.stack(row, 3) for row in outputs], 2)
    return side_by_side.reshape(batch, 2 * rows, 2 * columns, -1)[:, :height, :width]


def _tiles(images: jax.Array, rows: int, columns: int) -> Grid:
    """The pixels of all tiles of 4 x 4, which are two apart: 4 x 4 arrays [B, rows, columns, C]."""
    below, right = 2 * rows + 1 - images.shape[1], 2 * columns + 1 - images.shape[2]
    padded = jnp.pad(images, ((0, 0), (1, below), (1, right), (0, 0)))
    return [
        [padded[:, i : i + 2 * rows - 1 : 2, j : j + 2 * columns - 1 : 2] for j in range(4)]
        for i in range(4)
    ]


def _transform(matrix: np.ndarray, grid: Grid) -> Grid:
    """matrix . grid . matrix^T, written out as sums of arrays, which XLA fuses."""
    by_row = [[_combined(row, column) for column in zip(*grid, strict=True)] for row in matrix]
    return [[_combined(column, row) for column in matrix] for row in by_row]


def _combined(factors: np.ndarray, arrays: Sequence[jax.Array]) -> jax.Array:
    weighted = [float(f) * a for f, a in zip(factors, arrays, strict=True) if f]
    return reduce(jnp.add, weighted)
