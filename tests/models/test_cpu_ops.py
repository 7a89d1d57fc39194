"""Every form of a layer gives the same values and gradients, and padding is as its source pads."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from random_weights import random_variables

from au_jax.errors import UserError
from au_jax.models import cpu_ops, layers, mbconv


def _normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def _assert_equal(apply, one, other, *arguments):
    """Values and all gradients of two forms agree, relative to the largest entry."""

    def both(form):
        values, pull = jax.vjp(lambda *a: apply(*a, form), *arguments)
        return values, *pull(_normal(9, *values.shape))

    both = jax.jit(both, static_argnums=0)
    for a, b in zip(both(one), both(other), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5 * np.abs(b).max())


@pytest.mark.parametrize("padding", ["same", "torch"])
@pytest.mark.parametrize(
    ("height", "width", "kernel", "stride", "form"),
    [
        (2, 2, 3, 1, "patches"),
        (1, 3, 3, 2, "patches"),
        (5, 4, 3, 2, "patches"),
        (4, 4, 3, 2, "patches"),
        (3, 3, 5, 1, "patches"),
        (5, 4, 1, 1, "matmul"),
        (5, 4, 1, 2, "matmul"),
        (6, 4, 3, 1, "winograd"),
        (5, 7, 3, 1, "winograd"),
        (1, 2, 3, 1, "winograd"),
        (5, 7, 3, 1, "rows"),
        (9, 8, 3, 2, "rows"),
        (9, 38, 7, 2, "rows"),
        (4, 5, 1, 1, "rows"),
    ],
)
def test_convolution_forms_agree(height, width, kernel, stride, form, padding):
    images, weights = _normal(0, 2, height, width, 3), _normal(1, kernel, kernel, 3, 4)

    def apply(images, weights, form):
        return cpu_ops.convolve(images, weights, stride, padding, form)

    _assert_equal(apply, form, "window", images, weights)


@pytest.mark.parametrize(("side", "convolutions"), [(4, False), (6, True)])
def test_results_smaller_than_the_kernel_are_not_convolved_with_in_the_gradient(side, convolutions):
    images, weights = _normal(0, 2, side, side, 3), _normal(1, 3, 3, 3, 4)

    def total(images, weights):
        return cpu_ops.convolve(images, weights, 2, "torch").sum()

    lowered = jax.jit(jax.grad(total, (0, 1))).lower(images, weights).as_text()
    assert ("stablehlo.convolution" in lowered) == convolutions


@pytest.mark.parametrize(
    ("channels", "stride", "kernel"),
    [
        ((3, 8), 1, (3, 10, 3, 64)),  # eight results: 3 + 7 columns
        ((3, 12), 1, (3, 6, 3, 48)),  # four: 60 is no multiple of 16
        ((3, 32), 2, (3, 5, 3, 64)),
        ((3, 40), 2, (3, 3, 3, 40)),
        ((3, 64), 1, (3, 3, 3, 64)),
        ((8, 16), 1, (3, 3, 8, 16)),
    ],
)
def test_results_of_a_row_are_computed_together_where_images_have_few_channels(
    channels, stride, kernel
):
    images, weights = _normal(0, 2, 20, 20, channels[0]), _normal(1, 3, 3, *channels)
    traced = jax.make_jaxpr(lambda i, w: cpu_ops.convolve(i, w, stride, "same"))(images, weights)
    assert f"f32[{','.join(map(str, kernel))}]" in str(traced)


@pytest.mark.parametrize("padding", ["same", "torch"])
@pytest.mark.parametrize(
    ("height", "width", "kernel", "stride"),
    [(6, 5, 3, 1), (6, 5, 3, 2), (7, 8, 5, 2), (2, 2, 5, 1), (7, 7, 3, 3), (1, 1, 3, 2)],
)
def test_depthwise_forms_agree(height, width, kernel, stride, padding):
    images, weights = _normal(0, 2, height, width, 4), _normal(1, kernel, kernel, 1, 4)

    def apply(images, weights, form):
        return cpu_ops.depthwise(images, weights, stride, padding, form)

    _assert_equal(apply, "shifts", "window", images, weights)


def test_depthwise_weight_gradient_sums_in_float32():
    images = jnp.ones((1, 64, 64, 1), jnp.bfloat16)
    weights = jnp.ones((1, 1, 1, 1), jnp.bfloat16)
    total = jax.grad(lambda w: cpu_ops.depthwise(images, w, 1, "same", "shifts").sum())(weights)
    # A running sum kept in bfloat16 would stop at 256.
    assert float(total[0, 0, 0, 0]) == 64 * 64


@pytest.mark.parametrize("padding", ["same", "torch"])
@pytest.mark.parametrize(
    ("height", "width", "size", "stride"),
    [(6, 8, 3, 2), (7, 5, 3, 2), (7, 6, 3, 1), (6, 6, 2, 2), (8, 7, 2, 3), (1, 2, 3, 2)],
)
def test_max_pool_forms_agree_also_on_ties(height, width, size, stride, padding):
    # Whole numbers from -2 to 2: most windows hold their maximum more than once.
    images = jnp.round(_normal(0, 2, height, width, 3))

    def apply(images, form):
        return cpu_ops.max_pool(images, size, stride, padding, form)

    _assert_equal(apply, "shifts", "window", images)


def test_max_pool_gives_a_tie_to_the_first_pixel():
    images = jnp.ones((1, 2, 2, 1))
    gradient = jax.grad(lambda i: cpu_ops.max_pool(i, 2, 2, "same", "shifts").sum())(images)
    assert gradient.reshape(-1).tolist() == [1, 0, 0, 0]


def test_max_pool_lets_nan_through_in_training_too():
    images = jnp.array([1.0, jnp.nan, 2.0, 3.0]).reshape(1, 2, 2, 1)
    value, _ = jax.vjp(lambda i: cpu_ops.max_pool(i, 2, 2, "same", "shifts"), images)
    assert np.isnan(value).all()


def test_max_pool_never_takes_the_padding():
    images = jnp.full((1, 3, 3, 1), -5.0)
    assert np.all(np.asarray(cpu_ops.max_pool(images, 3, 2, "torch", "shifts")) == -5)


@pytest.mark.parametrize(("height", "width"), [(6, 8), (7, 5), (3, 3)])
def test_max_pool_forms_agree_without_padding(height, width):
    images = jnp.round(_normal(0, 2, height, width, 3))

    def apply(images, form):
        return cpu_ops.max_pool(images, 3, 2, 0, form)

    _assert_equal(apply, "shifts", "window", images)


@pytest.mark.parametrize(("padding", "pixels"), [("torch", 1), (1, 1), (0, 0)])
@pytest.mark.parametrize("size", [6, 7])
def test_torch_padding_is_pytorchs(size, padding, pixels):
    images, weights = _normal(0, 1, size, size, 2), _normal(1, 3, 3, 2, 4)
    expected = F.conv2d(
        torch.from_numpy(np.array(images)).permute(0, 3, 1, 2),
        torch.from_numpy(np.array(weights)).permute(3, 2, 0, 1),
        stride=2,
        padding=pixels,
    )
    for form in ("window", "patches"):
        got = cpu_ops.convolve(images, weights, 2, padding, form)
        np.testing.assert_allclose(got, expected.permute(0, 2, 3, 1), atol=1e-5)
    pooled = F.max_pool2d(torch.from_numpy(np.array(images)).permute(0, 3, 1, 2), 3, 2, pixels)
    got = cpu_ops.max_pool(images, 3, 2, padding, "shifts")
    np.testing.assert_array_equal(got, pooled.permute(0, 2, 3, 1))


def test_a_convolution_of_single_pixels_is_padded_too():
    images, weights = _normal(0, 1, 4, 4, 2), _normal(1, 1, 1, 2, 3)
    padded = cpu_ops.convolve(images, weights, 1, 1)
    assert padded.shape == (1, 6, 6, 3)
    np.testing.assert_allclose(
        padded[:, 1:-1, 1:-1], cpu_ops.convolve(images, weights, 1, 0), atol=1e-6
    )


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 5), (6, 6), (7, 13), (12, 3)])
def test_adaptive_mean_is_pytorchs(height, width):
    images = _normal(0, 2, height, width, 3)
    expected = F.adaptive_avg_pool2d(torch.from_numpy(np.array(images)).permute(0, 3, 1, 2), 6)
    got = layers.adaptive_mean(images, 6)
    np.testing.assert_allclose(got, expected.permute(0, 2, 3, 1), atol=1e-6)
    assert layers.adaptive_mean(images.astype(jnp.bfloat16), 6).dtype == jnp.float32


def test_same_padding_puts_the_odd_row_at_the_end():
    assert cpu_ops.pads(6, 7, 3, 2, "same") == ((0, 1), (1, 1))
    assert cpu_ops.pads(6, 7, 3, 2, "torch") == ((1, 1), (1, 1))


def test_unknown_padding_is_refused():
    with pytest.raises(UserError, match="unknown padding 'valid'; known: same, torch"):
        cpu_ops.pads(4, 4, 3, 1, "valid")


class _Small(nn.Module):
    """Every layer that has forms, down to a map smaller than the kernel."""

    @nn.compact
    def __call__(self, images, train):
        x = layers.ConvNorm(4, 3, name="stem")(images, train)
        x = layers.max_pool(x, 3, 2, layers.Style())
        x = mbconv.InvertedResidual(
            8, 6, 5, 2, 2, nn.hard_swish, nn.relu, nn.hard_sigmoid, 0.0, layers.Style()
        )(x, train)
        return layers.global_mean(layers.ConvNorm(5, 3, name="last")(x, train))


def test_networks_do_not_depend_on_the_backend(monkeypatch):
    """The forms chosen off the CPU give the same parameters, values and gradients."""
    images = _normal(0, 2, 8, 8, 3)

    def run():
        variables = random_variables(_Small(), images, False)

        def loss(params):
            out, _ = _Small().apply(
                {**variables, "params": params}, images, True, mutable=["batch_stats"]
            )
            return jnp.sin(out).sum()

        return variables["params"], *jax.jit(jax.value_and_grad(loss))(variables["params"])

    here = run()
    monkeypatch.setattr(cpu_ops, "_on_cpu", lambda: False)
    there = run()
    assert jax.tree.structure(here) == jax.tree.structure(there)
    for a, b in zip(jax.tree.leaves(here), jax.tree.leaves(there), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
