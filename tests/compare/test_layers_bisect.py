"""Which layer is named when a network and its counterpart differ in one weight."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from au_jax import models
from au_jax.compare import layers
from au_jax.export.pytorch import networks, weights
from au_jax.models.network_spec import NetworkSpec

SPEC = NetworkSpec("ownnet2")
HEADS = {"opt": 3}


@pytest.fixture(scope="module")
def both():
    """The backbone, its variables and counterpart, names of layers, and images."""
    net = SPEC.build(HEADS)
    images = np.random.default_rng(0).standard_normal((4, 32, 32, 3)).astype(np.float32)
    variables = net.init(jax.random.key(0), jnp.asarray(images), jnp.zeros((4, 3)), train=False)

    def state(params, batch_stats):
        return weights.state_dict(SPEC, params, batch_stats)

    names = layers.module_names(state, variables["params"])
    inside = {
        path[1:]: name.removeprefix("backbone.")
        for path, name in names.items()
        if path[0] == "backbone"
    }
    trees = {c: variables[c]["backbone"] for c in ("params", "batch_stats")}
    arrays = state(variables["params"], variables["batch_stats"])

    def counterpart():
        network = networks.build(SPEC, HEADS)
        tensors = {name: torch.tensor(array) for name, array in arrays.items()}
        network.load_state_dict(tensors, strict=False)
        return network.backbone

    return models.create("ownnet2"), trees, counterpart, inside, images


def test_names_follow_the_weights(both):
    names = both[3]
    assert names["conv3", "conv"] == "conv3"
    assert names["conv3", "norm"] == "bn3"
    assert len(names) == 14


def test_the_same_weights_agree(both):
    backbone, trees, counterpart, names, images = both
    assert layers.first_difference(backbone, trees, counterpart(), names, images, 1e-4) is None


@pytest.mark.parametrize(
    ("layer", "path", "agreeing"), [("conv4", "conv4/conv", 6), ("bn6", "conv6/norm", 11)]
)
def test_the_layer_with_another_weight_is_named(both, layer, path, agreeing):
    backbone, trees, counterpart, names, images = both
    changed = counterpart()
    with torch.no_grad():
        changed.get_parameter(f"{layer}.weight")[2] += 0.5
    difference = layers.first_difference(backbone, trees, changed, names, images, 1e-4)
    assert (difference.layer, difference.path, difference.agreeing) == (layer, path, agreeing)
    assert difference.relative > 1e-2
    assert f"the first layer that differs is {layer} ({path})" in str(difference)
