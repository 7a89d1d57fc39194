"""Batch normalisation whose gradient keeps only the input and its statistics.

Source: Ioffe and Szegedy, "Batch Normalization" (ICML 2015), algorithm 1,
https://arxiv.org/abs/1502.03167.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax


class BatchNorm(nn.Module):
    """Batch normalisation of [B, ..., C] over all axes but the last, statistics in float32.

    Under `jax.jit` with a sharded batch the statistics are those of the global batch. The running
    variance is the biased one, as in TensorFlow; PyTorch keeps the unbiased one, which is
    n / (n - 1) times as large (n = values per channel). A call in training needs `batch_stats` to
    be mutable. Variables are named as those of Flax's layer.

    Attributes:
      momentum: the share of the old running statistics that is kept.
      epsilon: what is added to the variance.
      dtype: of the result.
      affine: whether there are the parameters `scale` and `bias`.
    """

    momentum: float
    epsilon: float
    dtype: Any
    affine: bool = True

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        shape = (x.shape[-1],)
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32)
        variance = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32)
        if self.affine:
            scale = self.param("scale", nn.initializers.ones_init(), shape, jnp.float32)
            bias = self.param("bias", nn.initializers.zeros_init(), shape, jnp.float32)
        else:
            scale, bias = jnp.ones(shape, jnp.float32), jnp.zeros(shape, jnp.float32)
        if not train:
            running = _beside(x, mean.value, variance.value)
            affine = _beside(x, scale, bias)
            return _affine(x, running, affine, self.epsilon).astype(self.dtype)
        out, of_batch = normalize(x, scale, bias, self.epsilon)
        if not self.is_initializing():
            for kept, new in zip((mean, variance), of_batch, strict=True):
                kept.value = self.momentum * kept.value + (1 - self.momentum) * new
        return out.astype(self.dtype)


def normalize(
    x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """Normalises with the batch's own statistics.

    Args:
      x: float [B, ..., C].
      scale, bias: float32 [C].
      epsilon: what is added to the variance.

    Returns:
      The result float32 [B, ..., C], and the batch's mean and biased variance, float32 [C], which
      have no gradient.
    """
    out, (mean, variance) = _normalize(x, *_beside(x, scale, bias), epsilon)
    return out, lax.stop_gradient((mean.ravel(), variance.ravel()))


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def _normalize(x, scale, bias, epsilon):
    mean = _mean(x)
    # E[x^2] - E[x]^2 would lose the variance of channels far from zero.
    variance = _mean(jnp.square(_wide(x) - mean))
    return _affine(x, (mean, variance), (scale, bias), epsilon), (mean, variance)


def _normalize_forward(x, scale, bias, epsilon):
    out, of_batch = _normalize(x, scale, bias, epsilon)
    return (out, of_batch), (x, scale, *of_batch)


def _normalize_backward(epsilon, kept, gradients):
    x, scale, mean, variance = kept
    gradient, _ = gradients
    inverse = lax.rsqrt(variance + epsilon)
    centred = _wide(x) - mean
    of_bias = _sum(gradient)
    of_scale = _sum(gradient * centred) * inverse
    count = x.size // x.shape[-1]
    of_x = scale * inverse * (gradient - (of_bias + centred * inverse * of_scale) / count)
    return of_x.astype(x.dtype), of_scale, of_bias


def _affine(x, statistics, affine, epsilon):
    (mean, variance), (scale, bias) = statistics, affine
    return (_wide(x) - mean) * (lax.rsqrt(variance + epsilon) * scale) + bias


def _beside(x: jax.Array, *of_channels: jax.Array) -> tuple[jax.Array, ...]:
    """Values [C] as [1, ..., C], with as many axes as x."""
    return tuple(jnp.expand_dims(values, range(x.ndim - 1)) for values in of_channels)


def _wide(x: jax.Array) -> jax.Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _sum(x: jax.Array) -> jax.Array:
    """Over all axes but the last; within each example first, which XLA shares among cores."""
    within = tuple(range(1, x.ndim - 1))
    return _wide(x).sum(within, keepdims=True).sum(0, keepdims=True)


def _mean(x: jax.Array) -> jax.Array:
    return _sum(x) / (x.size // x.shape[-1])


_normalize.defvjp(_normalize_forward, _normalize_backward)
