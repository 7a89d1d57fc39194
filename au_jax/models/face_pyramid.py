"""The necks of RetinaFace: a feature pyramid over three maps, and the SSH context module.

Sources: Lin et al., "Feature Pyramid Networks for Object Detection" (CVPR 2017), section 3,
https://arxiv.org/abs/1612.03144; Najibi et al., "SSH: Single Stage Headless Face Detector" (ICCV
2017), figure 4, https://arxiv.org/abs/1708.03979; both in the form that RetinaFace's PyTorch code
gives them (https://github.com/biubug6/Pytorch_Retinaface, `models/net.py`).
"""

from collections.abc import Callable, Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from au_jax.models.layers import ConvNorm, Style


class FeaturePyramid(nn.Module):
    """Brings three maps to `width` channels and adds the coarser ones to the finer ones.

    Each map passes through a 1x1 convolution; from the coarsest on, a level is enlarged to the size
    of the next finer one, added to it, and their sum smoothed by a 3x3 convolution.
    """

    width: int
    style: Style

    @nn.compact
    def __call__(
        self, maps: Sequence[Float[Array, "B _ _ _"]], train: bool
    ) -> list[Float[Array, "B _ _ D"]]:
        """Returns a level for each map, in the order of the maps: finest first."""
        activation = leaky_relu(self.width)
        levels = [
            ConvNorm(
                self.width, 1, activation=activation, style=self.style, name=f"lateral{number}"
            )(x, train)
            for number, x in enumerate(maps, 1)
        ]
        for number in range(len(maps) - 1, 0, -1):
            finer = levels[number - 1]
            levels[number - 1] = ConvNorm(
                self.width, 3, activation=activation, style=self.style, name=f"merge{number}"
            )(finer + enlarged(levels[number], finer.shape[1], finer.shape[2]), train)
        return levels


class ContextModule(nn.Module):
    """SSH: convolutions of 3x3, twice 3x3 and thrice 3x3 side by side, which see ever more.

    They give a half, a quarter and a quarter of the `width` channels.
    """

    width: int
    style: Style

    @nn.compact
    def __call__(self, images: Float[Array, "B H W C"], train: bool) -> Float[Array, "B H W D"]:
        activation = leaky_relu(self.width)

        def conv(
            width: int, activation: Callable[[jax.Array], jax.Array] | None, name: str
        ) -> ConvNorm:
            return ConvNorm(width, 3, activation=activation, style=self.style, name=name)

        half, quarter = self.width // 2, self.width // 4
        near = conv(half, None, "near")(images, train)
        shared = conv(quarter, activation, "shared")(images, train)
        wide = conv(quarter, None, "wide")(shared, train)
        widest = conv(quarter, activation, "widest1")(shared, train)
        widest = conv(quarter, None, "widest2")(widest, train)
        return nn.relu(jnp.concatenate([near, wide, widest], -1))


def leaky_relu(width: int) -> Callable[[jax.Array], jax.Array]:
    """RetinaFace's activation: leaky with slope 0.1 up to 64 channels, else ReLU."""
    return partial(nn.leaky_relu, negative_slope=0.1 if width <= 64 else 0.0)


def enlarged(
    images: Float[Array, "B H W C"], height: int, width: int
) -> Float[Array, "B {height} {width} C"]:
    """Nearest-neighbour enlargement, pixel i taken from floor(i H / height), as in PyTorch."""
    rows = np.arange(height) * images.shape[1] // height
    columns = np.arange(width) * images.shape[2] // width
    return images[:, rows][:, :, columns]
