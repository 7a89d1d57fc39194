"""The layers that all backbones are built from.

`Style` gathers the conventions that must follow the weights that are imported (padding, BatchNorm's
epsilon and momentum) and the compute dtype; parameters and statistics are always float32.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from au_jax.models import cpu_ops

Initializer = Callable[..., jax.Array]

# Xavier initialisation, which the OwnNet paper names; for dense layers everywhere (ours).
xavier = nn.initializers.xavier_uniform()


class Style(NamedTuple):
    """How the layers of one backbone compute.

    Attributes:
      dtype: compute dtype, float32 or bfloat16.
      padding: "same" as TensorFlow pads, or "torch" for torchvision's symmetric padding.
      bn_epsilon: what BatchNorm adds to the variance.
      bn_momentum: the share of the old running statistics that is kept (PyTorch counts the other
        share: its 0.1 is 0.9 here).
    """

    dtype: Any = jnp.float32
    padding: str = "same"
    bn_epsilon: float = 1e-5
    bn_momentum: float = 0.9


class Conv(nn.Module):
    """A square convolution, [B, H, W, C] -> [B, H', W', features], with parameter `kernel`.

    With `depthwise`, each channel has its own kernel and `features` must equal C.
    """

    features: int
    kernel: int
    stride: int = 1
    depthwise: bool = False
    bias: bool = False
    style: Style = Style()
    kernel_init: Initializer = nn.initializers.he_normal()

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
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


class BatchNorm(nn.Module):
    """Batch normalisation of [B, ..., C] over all axes but the last.

    Under `jax.jit` with a sharded batch the statistics are those of the global batch. The running
    variance is the biased one, as in Flax and TensorFlow; PyTorch keeps the unbiased one, which is
    n / (n - 1) times as large (n = values per channel).
    """

    style: Style = Style()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        shape = (x.shape[-1],)
        scale = self.param("scale", nn.initializers.ones_init(), shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros_init(), shape, jnp.float32)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32)
        axes = tuple(range(x.ndim - 1))
        channels = (1,) * len(axes) + shape
        if train:
            wide = x.astype(jnp.float32)
            mean = wide.mean(axes)
            var = jnp.square(wide - mean.reshape(channels)).mean(axes)
            if self.is_mutable_collection("batch_stats") and not self.is_initializing():
                kept = self.style.bn_momentum
                running_mean.value = kept * running_mean.value + (1 - kept) * mean
                running_var.value = kept * running_var.value + (1 - kept) * var
        else:
            mean, var = running_mean.value, running_var.value
        scale = scale * jax.lax.rsqrt(var + self.style.bn_epsilon)
        x = (x - mean.reshape(channels)) * scale.reshape(channels) + bias.reshape(channels)
        return x.astype(self.style.dtype)


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
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        x = Conv(
            self.features,
            self.kernel,
            self.stride,
            self.depthwise,
            style=self.style,
            kernel_init=self.kernel_init,
            name="conv",
        )(images)
        x = BatchNorm(self.style, name="norm")(x, train)
        return x if self.activation is None else self.activation(x)


def max_pool(images: jax.Array, size: int, stride: int, style: Style) -> jax.Array:
    """Max-pooling of [B, H, W, C]; see `cpu_ops.max_pool`."""
    return cpu_ops.max_pool(images, size, stride, style.padding)


def global_mean(images: jax.Array) -> jax.Array:
    """Global average pooling of [B, H, W, C] to float32 [B, C]."""
    return images.mean((1, 2), dtype=jnp.float32)
