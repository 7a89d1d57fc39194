"""Parameter counts, feature maps, precision and the registry."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_weights import random_variables, shapes

from au_jax import models
from au_jax.errors import UserError
from au_jax.models import efficientnet

IMAGES = jnp.zeros((1, 64, 64, 3))
POSE = jnp.zeros((1, 3))

# (backbone, outputs, parameters with a linear layer of that many outputs)
COUNTS = [
    ("ownnet3", 17, 2_220_125),
    ("ownnet8", 17, 15_746_865),
    ("alexnet", 1000, 61_100_840),
    ("mobilenet_v3_large", 1000, 5_483_032),
    ("efficientnet_b0", 1000, 5_288_548),
    ("efficientnet_b1", 1000, 7_794_184),
    ("efficientnet_b2", 1000, 9_109_994),
    ("efficientnet_b4", 1000, 19_341_616),
    ("efficientnet_b7", 1000, 66_347_960),
    ("resnet18", 1000, 11_689_512),
    ("resnet34", 1000, 21_797_672),
    ("resnet50", 1000, 25_557_032),
    ("resnet101", 1000, 44_549_160),
]


def _count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(("name", "outputs", "parameters"), COUNTS)
def test_parameter_count_is_the_published_one(name, outputs, parameters):
    network = models.AUNet(models.create(name), (("head", outputs),))
    assert _count(shapes(network, IMAGES, POSE, False)["params"]) == parameters


def test_another_head_adds_its_own_outputs_only():
    network = models.AUNet(models.create("ownnet3"), (("opt", 17), ("noisy", 17)))
    variables = shapes(network, IMAGES, POSE, False)
    assert _count(variables["params"]) == 2_220_125 + 384 * 17 + 17


@pytest.mark.parametrize(
    ("name", "channels", "pooled"),
    [
        ("mobilenet_v3_large", (16, 24, 40, 112, 960), 1280),
        ("efficientnet_b0", (16, 24, 40, 112, 320), 1280),
        ("resnet18", (64, 64, 128, 256, 512), 512),
    ],
)
def test_maps_are_one_per_resolution_finest_first(name, channels, pooled):
    network = models.create(name)
    features = jax.eval_shape(
        lambda v: network.apply(v, IMAGES, False), shapes(network, IMAGES, False)
    )
    expected = [(1, 64 >> n, 64 >> n, c) for n, c in enumerate(channels, 1)]
    assert [m.shape for m in features.maps] == expected
    assert features.pooled.shape == (1, pooled)


@pytest.mark.parametrize(
    "name", ["ownnet3", "alexnet", "mobilenet_v3_large", "efficientnet_b0", "resnet50"]
)
def test_bfloat16_keeps_parameters_statistics_and_logits_float32(name):
    network = models.AUNet(models.create(name, dtype=jnp.bfloat16), (("opt", 5),), pose_branch=True)
    variables = shapes(network, IMAGES, POSE, False)
    key = jax.random.key(0)
    logits, updated = jax.eval_shape(
        lambda v: network.apply(
            v, IMAGES, POSE, True, mutable=["batch_stats"], rngs={"dropout": key}
        ),
        variables,
    )
    assert {leaf.dtype for leaf in jax.tree.leaves((variables, updated))} == {np.dtype("float32")}
    assert logits["opt"].dtype == jnp.float32
    features = jax.eval_shape(
        lambda v: models.create(name, dtype=jnp.bfloat16).apply(v, IMAGES, False),
        {kind: tree["backbone"] for kind, tree in variables.items()},
    )
    assert {m.dtype for m in features.maps} == {np.dtype(jnp.bfloat16)}


def test_bfloat16_logits_are_near_those_of_float32():
    images = jnp.asarray(np.random.default_rng(0).random((4, 64, 64, 3)), jnp.float32)
    pose = jnp.zeros((4, 3))
    logits = []
    for dtype in (jnp.float32, jnp.bfloat16):
        network = models.AUNet(models.create("ownnet1", dtype=dtype), (("opt", 5),))
        variables = random_variables(network, images, pose, False)
        logits.append(
            jax.jit(lambda v, n=network: n.apply(v, images, pose, False)["opt"])(variables)
        )
    difference = np.abs(logits[0] - logits[1]).max()
    assert 0 < difference < 0.05 * np.abs(logits[0]).max()


def test_stochastic_depth_skips_whole_examples_and_keeps_the_mean():
    images = jnp.ones((512, 2, 2, 4))
    block = models.mbconv.InvertedResidual(
        4, 4, 1, 1, 0, jnp.abs, jnp.abs, jnp.abs, 0.25, models.layers.Style()
    )
    variables = random_variables(block, images, False)
    # The statistics of the batch make the branch constant, so give it an offset to skip.
    variables["params"]["project"]["norm"]["bias"] = jnp.ones(4)
    out, _ = jax.jit(
        lambda v: block.apply(
            v, images, True, mutable=["batch_stats"], rngs={"dropout": jax.random.key(0)}
        )
    )(variables)
    branch = np.asarray(out - images)
    skipped = (branch == 0).all((1, 2, 3))
    np.testing.assert_allclose(branch[~skipped], 1 / 0.75, rtol=1e-5)
    assert 0.18 < skipped.mean() < 0.32


def test_stochastic_depth_grows_linearly_over_the_blocks():
    rates = []

    def spy(call, arguments, keywords, context):
        if isinstance(context.module, models.mbconv.InvertedResidual):
            rates.append(context.module.drop_path)
        return call(*arguments, **keywords)

    with nn.intercept_methods(spy):
        shapes(models.create("efficientnet_b0", drop_path=0.32), IMAGES, False)
    np.testing.assert_allclose(rates, 0.32 * np.arange(16) / 16)


def test_initialisation_is_xavier_and_an_identity_norm():
    images = jnp.zeros((1, 32, 32, 3))
    key = jax.random.key(0, impl="rbg")
    variables = jax.jit(lambda: models.create("ownnet1").init(key, images, False))()
    kernel = np.asarray(variables["params"]["conv6"]["conv"]["kernel"])
    # Uniform to the root of 6 / (fan in + fan out), Glorot and Bengio (2010), equation 16.
    bound = (6 / (9 * 64 + 9 * 128)) ** 0.5
    assert 0.99 * bound < np.abs(kernel).max() <= bound
    np.testing.assert_allclose(kernel.std(), bound / 3**0.5, rtol=0.02)
    norm = {**variables["params"]["conv6"]["norm"], **variables["batch_stats"]["conv6"]["norm"]}
    for name, value in (("scale", 1), ("bias", 0), ("mean", 0), ("var", 1)):
        np.testing.assert_array_equal(norm[name], np.full(128, value))


def test_efficientnet_b4_has_the_published_depths():
    assert efficientnet.depths(0) == (1, 2, 2, 3, 3, 4, 1)
    assert efficientnet.depths(4) == (2, 4, 4, 6, 6, 8, 2)


def test_unknown_backbone_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match=r"unknown backbone 'resnet19'; known: ownnet1, .*resnet18"):
        models.create("resnet19")


@pytest.mark.parametrize("field", ["width", "parent", "depth"])
def test_unknown_field_is_refused_with_the_known_ones(field):
    with pytest.raises(
        UserError, match=f"unknown field of backbone ownnet3 '{field}'; known: dtype"
    ):
        models.create("ownnet3", **{field: 5})
