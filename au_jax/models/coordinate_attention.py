"""Coordinate attention: gates for the rows and the columns of a map.

Source: Hou et al., "Coordinate Attention for Efficient Mobile Network Design" (CVPR 2021), section
3.2, https://arxiv.org/abs/2103.02907, and its code (https://github.com/houqb/CoordAttention).
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from au_jax.models.layers import Style, batch_norm, xavier

_REDUCTION = 32
_FEWEST = 8


class CoordinateAttention(nn.Module):
    """Multiplies each row and each column of a map by a gate in (0, 1) for each channel.

    The gates come from the means of all rows and of all columns, through a dense layer that they
    share, BatchNorm and hard swish, and a dense layer for each of the two.
    """

    style: Style

    @nn.compact
    def __call__(self, images: Float[Array, "B H W C"], train: bool) -> Float[Array, "B H W C"]:
        dtype = self.style.dtype
        height, channels = images.shape[1], images.shape[3]

        def dense(units: int, name: str) -> nn.Dense:
            return nn.Dense(units, dtype=dtype, kernel_init=xavier, name=name)

        means = jnp.concatenate([images.mean(2), images.mean(1)], 1)
        x = dense(max(_FEWEST, channels // _REDUCTION), "reduce")(means)
        x = nn.hard_swish(batch_norm(self.style, "norm")(x, train))
        rows = nn.sigmoid(dense(channels, "rows")(x[:, :height]))
        columns = nn.sigmoid(dense(channels, "columns")(x[:, height:]))
        return images * rows[:, :, None] * columns[:, None]
