"""AlexNet's maps, its dropout, and images that are too small for it.

That its features are PyTorch's is tested with the import of its weights.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_weights import random_variables, shapes

from au_jax import models
from au_jax.errors import UserError


@pytest.mark.parametrize(
    ("padding", "pixels", "sides"),
    [
        ("torch", 224, (55, 27, 13)),
        ("torch", 63, (15, 7, 3)),
        ("same", 224, (56, 28, 14)),
        ("same", 20, (5, 3, 2)),
    ],
)
def test_maps_are_before_each_pooling(padding, pixels, sides):
    network, images = models.create("alexnet", padding=padding), jnp.zeros((1, pixels, pixels, 3))
    features = jax.eval_shape(
        lambda v: network.apply(v, images, False), shapes(network, images, False)
    )
    channels = (64, 192, 256)
    assert [m.shape for m in features.maps] == [
        (1, side, side, c) for side, c in zip(sides, channels, strict=True)
    ]
    assert features.pooled.shape == (1, 4096)


def test_images_that_are_too_small_are_refused():
    with pytest.raises(UserError, match=r"images of 80 x 62 pixels .* at least 63 pixels a side"):
        shapes(models.create("alexnet"), jnp.zeros((1, 80, 62, 3)), False)


def test_dropout_drops_in_training_at_its_rate():
    images = jnp.asarray(np.random.default_rng(0).random((1, 64, 64, 3)), jnp.float32)
    variables = random_variables(models.create("alexnet"), images, False)
    # The second layer as the identity shows what its dropout makes of the first one's units.
    variables["params"]["hidden2"] = {"kernel": jnp.eye(4096), "bias": jnp.zeros(4096)}

    def pooled(train, dropout, seed=0):
        network, rngs = models.create("alexnet", dropout=dropout), {"dropout": jax.random.key(seed)}
        return np.asarray(network.apply(variables, images, train, rngs=rngs).pooled[0])

    whole = pooled(False, 0.5)
    np.testing.assert_array_equal(pooled(True, 0.0), whole)
    assert (pooled(True, 0.5, seed=1) != pooled(True, 0.5, seed=2)).any()
    for rate in (0.25, 0.5):
        active = (pooled(True, rate) > 0).mean() / (whole > 0).mean()
        assert abs(active - (1 - rate)) < 0.1
