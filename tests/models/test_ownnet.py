"""OwnNet against the same network in PyTorch, and BatchNorm over the global batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch_networks
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from random_weights import shapes

from au_jax import models
from au_jax.export.pytorch.networks.ownnet import CHANNELS, OwnNet

WIDTH, PIXELS, BATCH = 1, 64, 4


def _image_batch(batch=BATCH):
    return np.random.default_rng(0).normal(size=(batch, PIXELS, PIXELS, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def network():
    return models.create(f"ownnet{WIDTH}")


@pytest.fixture(scope="module")
def run(network):
    def apply(variables, images, train):
        features, updated = network.apply(variables, images, train, mutable=["batch_stats"])
        return features.pooled, updated["batch_stats"]

    return jax.jit(apply, static_argnums=2)


def layers(torch_network):
    """Its convolutions, each with its BatchNorm."""
    numbers = range(1, len(CHANNELS) + 1)
    return [(getattr(torch_network, f"conv{n}"), getattr(torch_network, f"bn{n}")) for n in numbers]


def _copied(network, torch_network):
    """The weights of the PyTorch network as Flax variables."""
    params, stats = {}, {}
    for number, (conv, norm) in enumerate(layers(torch_network), 1):
        arrays = {name: jnp.asarray(a.detach().numpy()) for name, a in norm.state_dict().items()}
        kernel = jnp.asarray(conv.weight.detach().permute(2, 3, 1, 0).numpy())
        params[f"conv{number}"] = {
            "conv": {"kernel": kernel},
            "norm": {"scale": arrays["weight"], "bias": arrays["bias"]},
        }
        stats[f"conv{number}"] = {
            "norm": {"mean": arrays["running_mean"], "var": arrays["running_var"]}
        }
    variables = {"params": params, "batch_stats": stats}
    expected = shapes(network, _image_batch(), False)
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(lambda leaf: leaf.shape, expected)
    return variables


def test_evaluation_equals_pytorch(network, run):
    theirs = torch_networks.randomise(OwnNet(WIDTH))
    images = _image_batch()
    with torch.inference_mode():
        expected = theirs(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
    variables = _copied(network, theirs)
    pooled, stats = run(variables, images, False)
    np.testing.assert_allclose(pooled, expected, atol=1e-4 * np.abs(expected).max())
    jax.tree.map(np.testing.assert_array_equal, stats, variables["batch_stats"])


def test_training_pass_equals_pytorch_but_for_the_variance_being_biased(network, run):
    theirs = torch_networks.randomise(OwnNet(WIDTH))
    images = _image_batch()
    variables = _copied(network, theirs)
    before = jax.tree.map(np.asarray, variables["batch_stats"])
    pooled, stats = run(variables, images, True)
    with torch.inference_mode():
        expected = theirs.train()(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
    np.testing.assert_allclose(pooled, expected, atol=1e-4 * np.abs(expected).max())

    sizes = [PIXELS >> n for n in (0, 1, 2, 3, 4, 5, 5)]
    for number, ((_, norm), size) in enumerate(zip(layers(theirs), sizes, strict=True), 1):
        ours = stats[f"conv{number}"]["norm"]
        np.testing.assert_allclose(ours["mean"], norm.running_mean, atol=1e-4)
        # PyTorch: 0.9 old + 0.1 var n / (n - 1).
        n = BATCH * size * size
        old = 0.9 * before[f"conv{number}"]["norm"]["var"]
        biased = old + (norm.running_var.numpy() - old) * (n - 1) / n
        np.testing.assert_allclose(ours["var"], biased, rtol=1e-4)


def test_statistics_are_those_of_the_global_batch(network, run):
    devices = jax.devices()[:4]
    assert len(devices) == 4
    images = _image_batch(8)
    variables = _copied(network, torch_networks.randomise(OwnNet(WIDTH)))
    mesh = jax.sharding.Mesh(np.array(devices), "data", axis_types=(AxisType.Auto,))
    sharded = jax.device_put(images, NamedSharding(mesh, PartitionSpec("data")))
    replicated = jax.device_put(variables, NamedSharding(mesh, PartitionSpec()))
    pooled, stats = run(replicated, sharded, True)
    assert len(pooled.sharding.device_set) == 4
    alone, stats_alone = run(variables, images, True)
    np.testing.assert_allclose(pooled, alone, atol=1e-5 * np.abs(alone).max())
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7), stats, stats_alone
    )
