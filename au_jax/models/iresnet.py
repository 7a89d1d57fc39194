"""The face-recognition networks IResNet-18, 34, 50 and 100, with the parts that ABAW3 adds.

Source: Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition" (CVPR 2019),
https://arxiv.org/abs/1801.07698, in the form of insightface's `iresnet.py`
(https://github.com/deepinsight/insightface), whose weights are imported. The further parts,
coordinate attention and a feature pyramid with context modules, are those of Jiang et al., "Facial
Action Unit Recognition With Multi-models Ensembling" (ABAW3, 2022), section 3.2.
"""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

from au_jax.allowed import Decay, Positive
from au_jax.models.backbone import RGB, Backbone, Padding, Width
from au_jax.models.coordinate_attention import CoordinateAttention
from au_jax.models.face_pyramid import ContextModule, FeaturePyramid
from au_jax.models.features import Features
from au_jax.models.layers import ConvNorm, Style, batch_norm, xavier

# Blocks per stage of each depth; 10 is ours, for small experiments.
DEPTHS = {
    10: (1, 1, 1, 1),
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 14, 3),
    100: (3, 13, 30, 3),
}

# Outputs for each channel of the stem.
_OUTPUTS = 8
# Channels of each level of the pyramid: of fewer, a narrow network would tell little to its tail.
_LEAST_LEVELS = 64
# PyTorch's initial slope.
_SLOPE = 0.25


class PReLU(nn.Module):
    """ReLU with a slope of its own for the negative values of each channel: parameter `slope`.

    Source: He et al., "Delving Deep into Rectifiers" (ICCV 2015), equation 1,
    https://arxiv.org/abs/1502.01852.
    """

    @nn.compact
    def __call__(self, x: Float[Array, "*batch C"]) -> Float[Array, "*batch C"]:
        initial = nn.initializers.constant(_SLOPE)
        slope = self.param("slope", initial, (x.shape[-1],), jnp.float32).astype(x.dtype)
        return jnp.where(x >= 0, x, x * jnp.expand_dims(slope, range(x.ndim - 1)))


class IResNetBlock(nn.Module):
    """BatchNorm, 3x3 convolution, PReLU, 3x3 convolution with the stride, and a shortcut.

    Nothing follows the sum. The shortcut is a 1x1 convolution where the shape changes.
    """

    width: int
    stride: int
    style: Style

    @nn.compact
    def __call__(self, images: Float[Array, "B H W C"], train: bool) -> Float[Array, "B H2 W2 D"]:
        style = self.style
        x = batch_norm(style, "norm")(images, train)
        x = ConvNorm(self.width, 3, activation=None, style=style, name="conv1")(x, train)
        x = PReLU(name="prelu")(x)
        x = ConvNorm(self.width, 3, self.stride, activation=None, style=style, name="conv2")(
            x, train
        )
        if images.shape == x.shape:
            return images + x
        shortcut = ConvNorm(
            self.width, 1, self.stride, activation=None, style=style, name="shortcut"
        )(images, train)
        return shortcut + x


class FixedScaleNorm(nn.Module):
    """BatchNorm whose scale takes no gradient, so that it keeps its initial or imported value."""

    style: Style

    @nn.compact
    def __call__(self, x: Float[Array, "B C"], train: bool) -> Float[Array, "B C"]:
        shape = (x.shape[-1],)
        scale = self.param("scale", nn.initializers.ones_init(), shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros_init(), shape, jnp.float32)
        x = batch_norm(self.style, "norm", affine=False)(x, train)
        return x * jax.lax.stop_gradient(scale)[None] + bias[None]


class Embedding(nn.Module):
    """The tail of the plain network: BatchNorm, dropout, a dense layer, BatchNorm of fixed scale.

    From the dense layer on it computes in float32, as insightface does.
    """

    outputs: int
    dropout: float
    style: Style

    @nn.compact
    def __call__(self, images: Float[Array, "B H W C"], train: bool) -> Float32[Array, "B D"]:
        x = batch_norm(self.style, "norm")(images, train)
        x = nn.Dropout(self.dropout, deterministic=not train)(flattened(x))
        x = nn.Dense(self.outputs, kernel_init=xavier, name="dense")(x)
        return FixedScaleNorm(self.style._replace(dtype=jnp.float32), name="features")(x, train)


class PyramidEmbedding(nn.Module):
    """The tail that ABAW3 describes: pyramid, context modules, flattening, a dense layer.

    Source: section 3.2 and figure 1. The levels' width, the place of the dropout and float32 from
    there on are ours.

    Attributes:
      width: channels of each level. context: whether the levels pass through context modules.
    """

    outputs: int
    width: int
    context: bool
    dropout: float
    style: Style

    @nn.compact
    def __call__(
        self, maps: tuple[Float[Array, "B _ _ _"], ...], train: bool
    ) -> Float32[Array, "B D"]:
        levels = FeaturePyramid(self.width, self.style, name="pyramid")(maps, train)
        if self.context:
            levels = [
                ContextModule(self.width, self.style, name=f"context{number}")(level, train)
                for number, level in enumerate(levels, 1)
            ]
        x = jnp.concatenate([flattened(level) for level in levels], -1)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.outputs, kernel_init=xavier, name="dense")(x)


def flattened(images: Float[Array, "B H W C"]) -> Float32[Array, "B _"]:
    """The values of each image, channel after channel, as the columns of PyTorch's weights are."""
    return images.transpose(0, 3, 1, 2).reshape(images.shape[0], -1).astype(jnp.float32)


class IResNet(Backbone):
    """IResNet of a depth in `DEPTHS`.

    `maps` are the outputs of the four stages, of 1, 2, 4 and 8 times `width` channels at 1/2, 1/4,
    1/8 and 1/16 of the input's size; `pooled` are 8 times `width` features, the paper's 512. The
    number of weights of the last dense layer follows the input's size: a network is for the size
    that it was initialised with. IResNet-100 at 112 pixels has 65,156,160 parameters.

    Attributes:
      depth: see `DEPTHS`.
      width: channels of the stem, and of the pyramid's levels, which have 64 at least. Imported
        weights have 64.
      dropout: rate before the last dense layer, ABAW3's 0.6; needs the random stream "dropout" in
        training.
      coordinate_attention: whether the outputs of stages 1 and 4 pass through coordinate attention.
        ABAW3 says "the shallow and deep layers"; these two are ours.
      pyramid: whether `PyramidEmbedding` over stages 2 to 4 takes the place of `Embedding`.
      context: whether the pyramid's levels pass through SSH's context modules.
    """

    image_mean: ClassVar[RGB] = (0.5, 0.5, 0.5)
    image_std: ClassVar[RGB] = (0.5, 0.5, 0.5)

    padding: Padding = "torch"
    bn_epsilon: Positive = 1e-5
    bn_momentum: Decay = 0.9
    depth: int = 100
    width: Width = 64
    dropout: Decay = 0.0
    coordinate_attention: bool = False
    pyramid: bool = False
    context: bool = True

    @nn.compact
    def __call__(self, images: Float[Array, "B H W 3"], train: bool) -> Features:
        style = self.style
        x = ConvNorm(self.width, 3, activation=None, style=style, name="stem")(images, train)
        x = PReLU(name="prelu")(x)
        maps = []
        for stage, blocks in enumerate(DEPTHS[self.depth], 1):
            for block in range(1, blocks + 1):
                x = self.block(IResNetBlock, train)(
                    self.width * 2 ** (stage - 1),
                    2 if block == 1 else 1,
                    style,
                    name=f"stage{stage}_block{block}",
                )(x, train)
            if self.coordinate_attention and stage in (1, 4):
                x = CoordinateAttention(style, name=f"attention{stage}")(x, train)
            maps.append(x)
        outputs = _OUTPUTS * self.width
        if self.pyramid:
            tail = PyramidEmbedding(
                outputs,
                max(_LEAST_LEVELS, self.width),
                self.context,
                self.dropout,
                style,
                name="pyramid_embedding",
            )
            pooled = tail(tuple(maps[1:]), train)
        else:
            pooled = Embedding(outputs, self.dropout, style, name="embedding")(x, train)
        return Features(tuple(maps), pooled)
