"""The networks EfficientNet-B0 to B7, which are one network scaled in width and depth.

Source: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (ICML
2019), table 1 and section 3.3; the widths and depths of B1 to B7 are those of the authors' code.
https://arxiv.org/abs/1905.11946
"""

import math
from typing import NamedTuple

import flax.linen as nn
from jaxtyping import Array, Float

from au_jax.allowed import Decay, Positive
from au_jax.models.backbone import Backbone, Padding
from au_jax.models.features import Features
from au_jax.models.layers import ConvNorm, global_mean
from au_jax.models.mbconv import InvertedResidual, round_channels

_STEM, _HEAD = 32, 1280


class _Stage(NamedTuple):
    expansion: int
    kernel: int
    stride: int
    features: int
    blocks: int


# B0, table 1.
STAGES = (
    _Stage(1, 3, 1, 16, 1),
    _Stage(6, 3, 2, 24, 2),
    _Stage(6, 5, 2, 40, 2),
    _Stage(6, 3, 2, 80, 3),
    _Stage(6, 5, 1, 112, 3),
    _Stage(6, 5, 2, 192, 4),
    _Stage(6, 3, 1, 320, 1),
)

# (width, depth) of B0 to B7.
SCALES = (
    (1.0, 1.0),
    (1.0, 1.1),
    (1.1, 1.2),
    (1.2, 1.4),
    (1.4, 1.8),
    (1.6, 2.2),
    (1.8, 2.6),
    (2.0, 3.1),
)


def depths(scale: int) -> tuple[int, ...]:
    """The number of blocks in each of the seven stages of EfficientNet-B`scale`."""
    return tuple(math.ceil(stage.blocks * SCALES[scale][1]) for stage in STAGES)


class EfficientNet(Backbone):
    """EfficientNet-B`scale`.

    `maps` are the last outputs at 1/2, 1/4, ... 1/32 of the input's size, before the head
    convolution. The default conventions are torchvision's, for B0 to B4.

    Attributes:
      scale: 0 to 7.
      drop_path: stochastic depth of the last block; it grows from 0 linearly with the block number
        (1 minus the paper's survival probability). Needs the random stream "dropout" in training.
    """

    padding: Padding = "torch"
    bn_epsilon: Positive = 1e-5
    bn_momentum: Decay = 0.9
    scale: int = 0
    drop_path: Decay = 0.2

    @nn.compact
    def __call__(self, images: Float[Array, "B H W 3"], train: bool) -> Features:
        style = self.style
        width = SCALES[self.scale][0]
        x = ConvNorm(
            round_channels(_STEM * width), 3, 2, activation=nn.silu, style=style, name="stem"
        )(images, train)
        maps = []
        counts = depths(self.scale)
        done = 0
        for number, (stage, blocks) in enumerate(zip(STAGES, counts, strict=True), 1):
            if stage.stride > 1:
                maps.append(x)
            for block in range(1, blocks + 1):
                channels = x.shape[-1]
                x = self.block(InvertedResidual, train)(
                    channels * stage.expansion,
                    round_channels(stage.features * width),
                    stage.kernel,
                    stage.stride if block == 1 else 1,
                    max(1, channels // 4),
                    activation=nn.silu,
                    squeeze_activation=nn.silu,
                    gate=nn.sigmoid,
                    drop_path=self.drop_path * done / sum(counts),
                    style=style,
                    name=f"stage{number}_block{block}",
                )(x, train)
                done += 1
        maps.append(x)
        x = ConvNorm(
            round_channels(_HEAD * width), 1, activation=nn.silu, style=style, name="head"
        )(x, train)
        return Features(tuple(maps), global_mean(x))


class LargeEfficientNet(EfficientNet):
    """EfficientNet-B5 to B7, whose BatchNorm torchvision configures as the authors' code does."""

    bn_epsilon: Positive = 1e-3
    bn_momentum: Decay = 0.99
