"""The layers that all backbones are built from.

`Style` gathers the conventions that must follow the weights that are imported (padding, BatchNorm's
epsilon and momentum) and the compute dtype; parameters and statistics are always float32.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

from au_jax.models import cpu_ops
from au_jax.models.batch_norm import BatchNorm

Initializer = Callable[..., jax.Array]

# Xavier initialisation, which the OwnNet paper names; for dense layers everywhere (ours).
xavier = nn.initializers.xavier_uniform()


class Style(NamedTuple):
    """How the layers of one backbone compute.

    Attributes:
      dtype: compute dtype, float32 or bfloat16.
      padding: "same" as TensorFlow pads, "torch" for torchvision's symmetric padding, or the pixels
        on every side; see `cpu_ops.pads`.
      bn_epsilon: what BatchNorm adds to the variance.
      bn_momentum: the share of the old running statistics that is kept (PyTorch counts the other
        share: its 0.1 is 0.9 here).
    """

    dtype: Any = jnp.float32
    padding: str | int = "same"
    bn_epsilon: float = 1e-5
    bn_momentum: float = 0.9


class Conv(nn.Module):
    """A square convolution, with parameter `kernel`.

    With `depthwise`, each channel has its own kernel and `features` must equal the channels of the
    images.
    """

    features: int
    kernel: int
    stride: int = 1
    depthwise: bool = False
    bias: bool = False
    style: Style = Style()
    kernel_init: Initializer = nn.initializers.he_normal()

    @nn.compact
    def __call__(self, images: Float[Array, "B H W C"]) -> Float[Array, "B H2 W2 D"]:
        inputs = 1 if self.depthwise else images.shape[-1]
        shape = (self.kernel, self.kernel, inputs, self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        apply = cpu_ops.depthwise if self.depthwise else cpu_ops.convolve
        dtype = self.style.dtype
        out = apply(images.astype(dtype), kernel.astype(dtype), self.stride, self.style.padding)
        if self.bias:
            bias = self.param("bias", nn.initializers.zeros_init(), (self.features,), jnp.float32)
            out += bias.astype(dtype).reshape(1, 1, 1, -1)
        return out


def batch_norm(style: Style, name: str, affine: bool = True) -> BatchNorm:
    """The batch normalisation of a backbone, `affine` as in `BatchNorm`."""
    return BatchNorm(style.bn_momentum, style.bn_epsilon, style.dtype, affine, name=name)


class ConvNorm(nn.Module):
    """Convolution without bias, BatchNorm, activation: parameters `conv` and `norm`."""

    features: int
    kernel: int
    stride: int = 1
    depthwise: bool = False
    activation: Callable[[jax.Array], jax.Array] | None = nn.relu
    style: Style = Style()
    kernel_init: Initializer = nn.initializers.he_normal()

    @nn.compact
    def __call__(self, images: Float[Array, "B H W C"], train: bool) -> Float[Array, "B H2 W2 D"]:
        x = Conv(
            self.features,
            self.kernel,
            self.stride,
            self.depthwise,
            style=self.style,
            kernel_init=self.kernel_init,
            name="conv",
        )(images)
        x = batch_norm(self.style, "norm")(x, train)
        return x if self.activation is None else self.activation(x)


def max_pool(
    images: Float[Array, "B H W C"], size: int, stride: int, style: Style
) -> Float[Array, "B H2 W2 C"]:
    """Max-pooling; see `cpu_ops.max_pool`."""
    return cpu_ops.max_pool(images, size, stride, style.padding)


def global_mean(images: Float[Array, "B H W C"]) -> Float32[Array, "B C"]:
    """Global average pooling, in float32."""
    return images.mean((1, 2), dtype=jnp.float32)


def adaptive_mean(
    images: Float[Array, "B H W C"], size: int
) -> Float32[Array, "B {size} {size} C"]:
    """The means of a grid of size x size bins that cover maps of any size, in float32.

    Of n rows, bin i takes those from i n / size rounded down to (i + 1) n / size rounded up, and
    columns alike, so that bins overlap where `size` does not divide n, and repeat rows where n is
    smaller: the rule of PyTorch's `adaptive_avg_pool2d`.
    """
    means = images.astype(jnp.float32)
    for axis in (1, 2):
        length = images.shape[axis]
        bins = [(i * length // size, -(-(i + 1) * length // size)) for i in range(size)]
        means = jnp.stack(
            [jax.lax.slice_in_dim(means, *edges, axis=axis).mean(axis) for edges in bins], axis
        )
    return means
