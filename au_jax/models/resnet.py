"""The residual networks ResNet-18, 34, 50 and 101.

Source: He et al., "Deep Residual Learning for Image Recognition" (CVPR 2016), table 1; in the
bottleneck the 3x3 convolution takes the stride, as in torchvision ("v1.5").
https://arxiv.org/abs/1512.03385
"""

import flax.linen as nn
from jaxtyping import Array, Float

from au_jax.allowed import Decay, Positive
from au_jax.models.backbone import Backbone, Padding
from au_jax.models.features import Features
from au_jax.models.layers import ConvNorm, Style, global_mean, max_pool

# Blocks per stage.
STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}

_STEM = 64
_BOTTLENECK_FROM = 50
_EXPANSION = 4


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, or with `bottleneck` 1x1, 3x3 and 1x1, and a shortcut.

    The shortcut is a 1x1 convolution where the shape changes.
    """

    width: int
    stride: int
    bottleneck: bool
    style: Style

    @nn.compact
    def __call__(self, images: Float[Array, "B H W C"], train: bool) -> Float[Array, "B H2 W2 D"]:
        width, stride = self.width, self.stride
        if self.bottleneck:
            layers = [(width, 1, 1), (width, 3, stride), (width * _EXPANSION, 1, 1)]
        else:
            layers = [(width, 3, stride), (width, 3, 1)]
        x = images
        for number, (features, kernel, step) in enumerate(layers, 1):
            last = number == len(layers)
            x = ConvNorm(
                features,
                kernel,
                step,
                activation=None if last else nn.relu,
                style=self.style,
                name=f"conv{number}",
            )(x, train)
        shortcut = images
        if shortcut.shape != x.shape:
            shortcut = ConvNorm(
                x.shape[-1], 1, stride, activation=None, style=self.style, name="shortcut"
            )(images, train)
        return nn.relu(x + shortcut)


class ResNet(Backbone):
    """ResNet of a depth in `STAGES`.

    `maps` are the stem's output and the four stages', at 1/2, 1/4, ... 1/32 of the input's size.
    The default conventions are torchvision's.
    """

    padding: Padding = "torch"
    bn_epsilon: Positive = 1e-5
    bn_momentum: Decay = 0.9
    depth: int = 50

    @nn.compact
    def __call__(self, images: Float[Array, "B H W 3"], train: bool) -> Features:
        style = self.style
        x = ConvNorm(_STEM, 7, 2, style=style, name="stem")(images, train)
        maps = [x]
        x = max_pool(x, 3, 2, style)
        for stage, blocks in enumerate(STAGES[self.depth], 1):
            for block in range(1, blocks + 1):
                x = self.block(ResidualBlock, train)(
                    _STEM * 2 ** (stage - 1),
                    2 if stage > 1 and block == 1 else 1,
                    self.depth >= _BOTTLENECK_FROM,
                    style,
                    name=f"stage{stage}_block{block}",
                )(x, train)
            maps.append(x)
        return Features(tuple(maps), global_mean(x))
