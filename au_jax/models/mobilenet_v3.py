"""The mobile network MobileNetV3-Large.

Source: Howard et al., "Searching for MobileNetV3" (ICCV 2019), table 1,
https://arxiv.org/abs/1905.02244.
"""

from typing import NamedTuple

import flax.linen as nn
from jaxtyping import Array, Float

from au_jax.allowed import Decay, Positive
from au_jax.models.backbone import Backbone, Padding
from au_jax.models.features import Features
from au_jax.models.layers import ConvNorm, global_mean, xavier
from au_jax.models.mbconv import InvertedResidual, round_channels

_STEM, _HEAD, _POOLED = 16, 960, 1280


class _Block(NamedTuple):
    kernel: int
    expanded: int
    features: int
    squeeze: bool
    hard_swish: bool
    stride: int


# Table 1, one row per block.
BLOCKS = (
    _Block(3, 16, 16, False, False, 1),
    _Block(3, 64, 24, False, False, 2),
    _Block(3, 72, 24, False, False, 1),
    _Block(5, 72, 40, True, False, 2),
    _Block(5, 120, 40, True, False, 1),
    _Block(5, 120, 40, True, False, 1),
    _Block(3, 240, 80, False, True, 2),
    _Block(3, 200, 80, False, True, 1),
    _Block(3, 184, 80, False, True, 1),
    _Block(3, 184, 80, False, True, 1),
    _Block(3, 480, 112, True, True, 1),
    _Block(3, 672, 112, True, True, 1),
    _Block(5, 672, 160, True, True, 2),
    _Block(5, 960, 160, True, True, 1),
    _Block(5, 960, 160, True, True, 1),
)


class MobileNetV3Large(Backbone):
    """MobileNetV3-Large up to its 1280 hard-swish units, which are `pooled`.

    `maps` have 16, 24, 40, 112 and 960 channels at 1/2, 1/4, ... 1/32 of the input's size. The
    default conventions are torchvision's.
    """

    padding: Padding = "torch"
    bn_epsilon: Positive = 1e-3
    bn_momentum: Decay = 0.99

    @nn.compact
    def __call__(self, images: Float[Array, "B H W 3"], train: bool) -> Features:
        style = self.style
        x = ConvNorm(_STEM, 3, 2, activation=nn.hard_swish, style=style, name="stem")(images, train)
        maps = []
        for number, block in enumerate(BLOCKS, 1):
            if block.stride > 1:
                maps.append(x)
            x = self.block(InvertedResidual, train)(
                block.expanded,
                block.features,
                block.kernel,
                block.stride,
                round_channels(block.expanded / 4) if block.squeeze else 0,
                activation=nn.hard_swish if block.hard_swish else nn.relu,
                squeeze_activation=nn.relu,
                gate=nn.hard_sigmoid,
                drop_path=0.0,
                style=style,
                name=f"block{number}",
            )(x, train)
        x = ConvNorm(_HEAD, 1, activation=nn.hard_swish, style=style, name="head")(x, train)
        pooled = nn.Dense(_POOLED, kernel_init=xavier, name="pooled")(global_mean(x))
        return Features((*maps, x), nn.hard_swish(pooled))
