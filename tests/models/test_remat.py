"""Activations that are computed again: fewer are kept, gradients and parameters stay the same."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from au_jax.errors import UserError
from au_jax.models.network_spec import NetworkSpec, conventions

SIDE = 32
SMALL = {"iresnet10": {"width": 8}}
BACKBONES = ("ownnet1", "resnet18", "iresnet10", "mobilenet_v3_large", "efficientnet_b0")


def network(backbone, remat):
    return NetworkSpec(backbone, fields=SMALL.get(backbone, {}), remat=remat).build({"opt": 2})


def shapes(net, batch=2, train=False):
    images, pose = jnp.zeros((batch, SIDE, SIDE, 3)), jnp.zeros((batch, 3))
    keys = dict.fromkeys(("params", "dropout"), jax.random.PRNGKey(0))
    return jax.eval_shape(functools.partial(net.init, train=train), keys, images, pose)


def loss(net, params, batch_stats, images):
    """With the draws of stochastic depth."""
    by_head, updated = net.apply(
        {"params": params, "batch_stats": batch_stats},
        images,
        jnp.zeros((len(images), 3)),
        train=True,
        rngs={"dropout": jax.random.PRNGKey(3)},
        mutable=["batch_stats"],
    )
    return jnp.square(by_head["opt"]).sum(), updated["batch_stats"]


def kept_bytes(net, variables, batch=16):
    """Bytes of what the forward pass keeps for the backward pass, the parameters left out."""

    def backward(params, images):
        pulled = jax.vjp(lambda p: loss(net, p, variables["batch_stats"], images)[0], params)
        return pulled[1]

    images = jax.ShapeDtypeStruct((batch, SIDE, SIDE, 3), jnp.float32)
    kept = jax.tree.leaves(jax.eval_shape(backward, variables["params"], images))
    return sum(leaf.size * leaf.dtype.itemsize for leaf in kept if leaf.shape[:1] == (batch,))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_less_is_kept_and_the_parameters_have_the_same_names(backbone):
    plain, remat = (network(backbone, again) for again in (False, True))
    variables = shapes(plain)
    assert shapes(remat) == variables
    assert shapes(remat, train=True) == variables
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), variables)
    assert kept_bytes(remat, zeros) < 0.5 * kept_bytes(plain, zeros)


def test_gradients_are_equal():
    rng = np.random.default_rng(0)
    plain, remat = (network("iresnet10", again) for again in (False, True))
    variables = jax.tree.map(
        lambda leaf: rng.uniform(0.01, 0.1, leaf.shape).astype(np.float32), shapes(plain)
    )
    images = jnp.asarray(rng.uniform(0, 1, (4, SIDE, SIDE, 3)), jnp.float32)
    gradients, statistics = zip(
        *(
            jax.jit(jax.grad(functools.partial(loss, net), has_aux=True))(
                variables["params"], variables["batch_stats"], images
            )
            for net in (plain, remat)
        ),
        strict=True,
    )
    for found, expected in (gradients, statistics):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), found, expected
        )


def test_a_backbone_without_blocks_and_a_second_place_are_refused():
    with pytest.raises(UserError, match=r"alexnet has no blocks .* model\.remat"):
        shapes(network("alexnet", remat=True))
    with pytest.raises(UserError, match=r"fields\.remat is set as --config\.model\.remat=VALUE"):
        conventions("resnet18", None, {}, {"remat": True})
