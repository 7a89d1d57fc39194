"""The base class of backbones: their fields and their call."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from au_jax.models.features import Features
from au_jax.models.layers import Style


class Backbone(nn.Module):
    """A network from normalised images to `Features`.

    The fields are those of `layers.Style`.
    """

    dtype: Any = jnp.float32
    padding: str = "same"
    bn_epsilon: float = 1e-5
    bn_momentum: float = 0.9

    @property
    def style(self) -> Style:
        return Style(self.dtype, self.padding, self.bn_epsilon, self.bn_momentum)

    def __call__(self, images: Float[Array, "B H W 3"], train: bool) -> Features:
        raise NotImplementedError
