"""The inverted residual block of MobileNetV3 and EfficientNet.

Sources: Sandler et al., "MobileNetV2" (CVPR 2018), section 3; Hu et al., "Squeeze-and-Excitation
Networks" (CVPR 2018), section 3; Huang et al., "Deep Networks with Stochastic Depth" (ECCV 2016).
"""

from collections.abc import Callable

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from au_jax.models.layers import ConvNorm, Style, global_mean, xavier

Activation = Callable[[jax.Array], jax.Array]


def round_channels(channels: float, divisor: int = 8) -> int:
    """Rounds to a multiple of `divisor`, going down by no more than a tenth."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


class SqueezeExcite(nn.Module):
    """Scales each channel by a gate computed from all channels' means."""

    hidden: int
    activation: Activation
    gate: Activation
    style: Style

    @nn.compact
    def __call__(self, images: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        dtype = self.style.dtype
        x = nn.Dense(self.hidden, dtype=dtype, kernel_init=xavier, name="reduce")(
            global_mean(images)
        )
        x = nn.Dense(images.shape[-1], dtype=dtype, kernel_init=xavier, name="expand")(
            self.activation(x)
        )
        return images * self.gate(x)[:, None, None]


class InvertedResidual(nn.Module):
    """Expansion (1x1), depthwise convolution, squeeze-and-excitation, projection (1x1), shortcut.

    Attributes:
      expanded: channels of the depthwise convolution; there is no expansion when the input has as
        many.
      squeezed: hidden units of the squeeze-and-excitation, 0 for none.
      squeeze_activation, gate: of the squeeze-and-excitation.
      drop_path: rate of stochastic depth: how often, in training, an example skips the block.
    """

    expanded: int
    features: int
    kernel: int
    stride: int
    squeezed: int
    activation: Activation
    squeeze_activation: Activation
    gate: Activation
    drop_path: float
    style: Style

    @nn.compact
    def __call__(self, images: Float[Array, "B H W C"], train: bool) -> Float[Array, "B H2 W2 D"]:
        channels = images.shape[-1]
        x = images
        if self.expanded != channels:
            x = ConvNorm(
                self.expanded, 1, activation=self.activation, style=self.style, name="expand"
            )(x, train)
        x = ConvNorm(
            self.expanded,
            self.kernel,
            self.stride,
            depthwise=True,
            activation=self.activation,
            style=self.style,
            name="depthwise",
        )(x, train)
        if self.squeezed:
            x = SqueezeExcite(
                self.squeezed, self.squeeze_activation, self.gate, self.style, name="squeeze"
            )(x)
        x = ConvNorm(self.features, 1, activation=None, style=self.style, name="project")(x, train)
        if self.stride > 1 or channels != self.features:
            return x
        whole_example = nn.Dropout(self.drop_path, (1, 2, 3), deterministic=not train)
        return images + whole_example(x)
