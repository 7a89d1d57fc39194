"""BatchNorm against Flax's: values, running statistics and gradients."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from au_jax.models.batch_norm import BatchNorm


def flax_norm(dtype=jnp.float32):
    return nn.BatchNorm(momentum=0.9, epsilon=1e-3, dtype=dtype, use_fast_variance=False)


def draw(shape, seed=0):
    generator = np.random.default_rng(seed)
    x = jnp.asarray(generator.normal(3, 2, shape), jnp.float32)
    channels = shape[-1]
    variables = {
        "params": {
            "scale": jnp.asarray(generator.uniform(0.5, 2, channels), jnp.float32),
            "bias": jnp.asarray(generator.normal(size=channels), jnp.float32),
        },
        "batch_stats": {
            "mean": jnp.asarray(generator.normal(size=channels), jnp.float32),
            "var": jnp.asarray(generator.uniform(0.5, 2, channels), jnp.float32),
        },
    }
    return x, variables, jnp.asarray(generator.normal(size=shape), jnp.float32)


@pytest.mark.parametrize("shape", [(6, 5, 4, 3), (7, 3), (4, 6, 3)])
def test_training_is_that_of_flax(shape):
    x, variables, weights = draw(shape)
    ours = BatchNorm(0.9, 1e-3, jnp.float32)

    def loss(of, params, x):
        out, updated = of({**variables, "params": params}, x)
        return (out * weights).sum(), (out, updated["batch_stats"])

    def own(variables, x):
        return ours.apply(variables, x, True, mutable=["batch_stats"])

    def library(variables, x):
        return flax_norm().apply(variables, x, use_running_average=False, mutable=["batch_stats"])

    results = [
        jax.value_and_grad(loss, (1, 2), has_aux=True)(of, variables["params"], x)
        for of in (own, library)
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5), *results)


def test_scoring_is_that_of_flax():
    x, variables, _ = draw((6, 5, 4, 3))
    ours = BatchNorm(0.9, 1e-3, jnp.float32).apply(variables, x, False)
    np.testing.assert_array_equal(ours, flax_norm().apply(variables, x, use_running_average=True))


def test_in_bfloat16_the_statistics_stay_wide():
    x, variables, weights = draw((8, 4, 4, 3))
    x = x.astype(jnp.bfloat16)

    def loss(x):
        norm = BatchNorm(0.9, 1e-3, jnp.bfloat16)
        out, updated = norm.apply(variables, x, True, mutable=["batch_stats"])
        return (out * weights).sum(), (out, updated)

    gradient, (out, updated) = jax.grad(loss, has_aux=True)(x)
    assert out.dtype == gradient.dtype == jnp.bfloat16
    mean = np.asarray(x, np.float64).mean((0, 1, 2))
    expected = 0.9 * np.asarray(variables["batch_stats"]["mean"]) + 0.1 * mean
    np.testing.assert_allclose(updated["batch_stats"]["mean"], expected, rtol=1e-5)


def test_far_from_zero_the_variance_is_not_lost():
    x = 1e4 + jnp.asarray(np.random.default_rng(0).normal(size=(64, 2)), jnp.float32)
    norm = BatchNorm(0.0, 0.0, jnp.float32, affine=False)
    variables = norm.init(jax.random.key(0), x, True)
    assert "params" not in variables
    out, updated = norm.apply(variables, x, True, mutable=["batch_stats"])
    np.testing.assert_allclose(updated["batch_stats"]["var"], np.var(x, 0), rtol=1e-3)
    np.testing.assert_allclose(np.std(out, 0), 1, rtol=1e-3)


def test_two_networks_at_once():
    x, variables, _ = draw((6, 3))
    norm = BatchNorm(0.9, 1e-3, jnp.float32)

    def gradient(x):
        return jax.grad(
            lambda x: norm.apply(variables, x, True, mutable="batch_stats")[0][0].sum()
        )(x)

    both = jax.vmap(gradient)(jnp.stack([x, 2 * x]))
    np.testing.assert_allclose(both[1], gradient(2 * x), rtol=1e-5, atol=1e-6)
