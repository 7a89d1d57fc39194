"""The base class of backbones: their fields and their call."""

import abc
from collections.abc import Callable
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


class Backbone(nn.Module, abc.ABC):
    """A network from normalised images to `Features`.

    The fields are those of `layers.Style`, and `remat`. `image_mean` and `image_std` are the
    normalisation of images in [0, 1], per channel, that is usual for the network.

    Attributes:
      remat: whether training keeps only what enters each `block`, and computes the activations
        inside again for the gradient (Chen et al., "Training Deep Nets with Sublinear Memory
        Cost", 2016, https://arxiv.org/abs/1604.06174): less memory, about a third more work, the
        same gradient and the same parameters. For accelerators: XLA's CPU compiler sees that
        both computations are one, and keeps the activations after all.
    """

    image_mean: ClassVar[RGB] = IMAGENET_MEAN
    image_std: ClassVar[RGB] = IMAGENET_STD

    dtype: Any = jnp.float32
    padding: Padding = "same"
    bn_epsilon: Positive = 1e-5
    bn_momentum: Decay = 0.9
    remat: bool = False

    @property
    def style(self) -> Style:
        return Style(self.dtype, self.padding, self.bn_epsilon, self.bn_momentum)

    def block(self, kind: Callable[..., nn.Module], train: bool) -> Callable[..., nn.Module]:
        """The module class of a block, to be built with a name and called with (x, train)."""
        return nn.remat(kind, static_argnums=(2,)) if self.remat and train else kind

    @abc.abstractmethod
    def __call__(self, images: Float[Array, "B H W 3"], train: bool) -> Features:
        """What the network makes of images; `train` as for `BatchNorm`."""
