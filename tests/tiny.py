"""Two backbones that compile in a moment, for tests of everything around a network.

Imported by conftest.py, after which a config or method may call them "tiny" and "tiny_wide".
"""

import flax.linen as nn

from au_jax import models
from au_jax.models import Features
from au_jax.models.layers import ConvNorm, global_mean


class Tiny(models.Backbone):
    """Two 3x3 convolutions."""

    width: int = 6

    @nn.compact
    def __call__(self, images, train):
        x = ConvNorm(self.width, 3, 2, style=self.style, name="conv1")(images, train)
        x = ConvNorm(self.width, 3, style=self.style, name="conv2")(x, train)
        return Features((x,), global_mean(x))


models.BACKBONES["tiny"] = (Tiny, {})
models.BACKBONES["tiny_wide"] = (Tiny, {"width": 8})
