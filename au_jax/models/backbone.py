"""What all backbones share: their fields and their call."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from au_jax.models.features import Features
from au_jax.models.layers import Style


class Backbone(nn.Module):
    """A network from normalised images, float [B, H, W, 3], to `Features`.

    The fields are those of `layers.Style`.
    """

    dtype: Any = jnp.float32
    padding: str = "same"
    bn_epsilon: float = 1e-5
    bn_momentum: float = 0.9

    @property
    def style(self) -> Style:
        return Style(self.dtype, self.padding, self.bn_epsilon, self.bn_momentum)

    def __call__(self, images: jax.Array, train: bool) -> Features:
        raise NotImplementedError
