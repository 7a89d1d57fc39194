"""The base class of backbones: their fields and their call."""

from typing import Annotated, Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from au_jax.allowed import Decay, OneOf, Positive, Range
from au_jax.models.features import Features
from au_jax.models.layers import Style

RGB = tuple[float, float, float]
Padding = Annotated[str, OneOf(("same", "torch"))]
# Channels, or their unit.
Width = Annotated[int, Range(ge=1, le=1024)]

# Of images in [0, 1], red, green, blue: what the ImageNet weights of torchvision and timm expect.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Backbone(nn.Module):
    """A network from normalised images to `Features`.

    The fields are those of `layers.Style`. `image_mean` and `image_std` are the normalisation of
    images in [0, 1], per channel, that is usual for the network.
    """

    image_mean: ClassVar[RGB] = IMAGENET_MEAN
    image_std: ClassVar[RGB] = IMAGENET_STD

    dtype: Any = jnp.float32
    padding: Padding = "same"
    bn_epsilon: Positive = 1e-5
    bn_momentum: Decay = 0.9

    @property
    def style(self) -> Style:
        return Style(self.dtype, self.padding, self.bn_epsilon, self.bn_momentum)

    def __call__(self, images: Float[Array, "B H W 3"], train: bool) -> Features:
        raise NotImplementedError
