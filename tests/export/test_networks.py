"""The PyTorch networks give what ours give, in evaluation and in training, with our weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from random_weights import random_variables

from au_jax.export.pytorch import networks, weights
from au_jax.models.network_spec import NetworkSpec

HEADS = {"opt": 3, "noisy": 2}
POSE = jnp.array([[10, -5, jnp.nan], [jnp.nan] * 3, [0, 20, 3], [1, 2, 3]], jnp.float32)


def variables_and_network(spec, side):
    """Random variables of our network, the PyTorch network with them, and images."""
    uniform = np.random.default_rng(1).uniform(size=(len(POSE), side, side, 3))
    images = jnp.asarray(uniform, jnp.float32)
    net = spec.build(HEADS)
    variables = random_variables(net, images, POSE, False)
    network = networks.build(spec, HEADS, image_size=side)
    arrays = weights.state_dict(spec, variables["params"], variables.get("batch_stats", {}))
    load(network, arrays)
    return net, variables, network, images


def load(network, arrays):
    """Every array of the network but BatchNorm's counters must be there, and no other."""
    counters = {n: a for n, a in network.state_dict().items() if n.endswith("batches_tracked")}
    tensors = {n: torch.from_numpy(np.array(a)) for n, a in arrays.items()}
    network.load_state_dict({**counters, **tensors})


def in_pytorch(images):
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2), torch.from_numpy(np.array(POSE))


def assert_equal(spec, side, tolerance=1e-4, passes=(False, True)):
    """Compares the logits in evaluation and in training, and the statistics that training keeps."""
    net, variables, network, images = variables_and_network(spec, side)
    networks.biased_batch_norm(network)
    given = in_pytorch(images)
    for train in passes:
        ours, updated = jax.jit(
            lambda v, train=train: net.apply(v, images, POSE, train, mutable=["batch_stats"])
        )(variables)
        with torch.no_grad():
            theirs = network.train(train)(*given)
        for head in HEADS:
            assert_close(theirs[head].numpy(), ours[head], tolerance)
        if not train:
            continue
        state = network.state_dict()
        after = weights.state_dict(spec, variables["params"], updated.get("batch_stats", {}))
        for name, array in after.items():
            assert_close(state[name].numpy(), array, tolerance)


def assert_close(theirs, ours, tolerance):
    np.testing.assert_allclose(theirs, ours, atol=tolerance * max(1, np.abs(ours).max()))


@pytest.mark.parametrize("side", [33, 48])
@pytest.mark.parametrize("padding", ["same", "torch"])
def test_ownnet(side, padding):
    spec = NetworkSpec(
        "ownnet1",
        pose_branch=True,
        pose_mean=(1.0, 2.0, 3.0),
        pose_std=(10.0, 5.0, 2.0),
        fields={"padding": padding, "bn_momentum": 0.8},
    )
    assert_equal(spec, side)


TINY_ATTENTION = {"width": 8, "coordinate_attention": True}


@pytest.mark.parametrize(
    "fields",
    [
        {"width": 16, "padding": "same"},
        TINY_ATTENTION,
        {**TINY_ATTENTION, "pyramid": True},
        {**TINY_ATTENTION, "pyramid": True, "context": False},
    ],
)
def test_iresnet(fields):
    assert_equal(NetworkSpec("iresnet10", fields=fields), 40)


@pytest.mark.parametrize(
    ("backbone", "fields"),
    [
        ("resnet18", {}),
        ("mobilenet_v3_large", {"padding": "same"}),
        ("efficientnet_b0", {"drop_path": 0.0}),
    ],
)
def test_training_passes_of_library_networks(backbone, fields, stand_ins):
    """Their evaluation is compared in tests/models/test_pretrained.py."""
    assert_equal(NetworkSpec(backbone, fields=fields), 40, passes=[True])


@pytest.mark.parametrize(
    ("backbone", "fields", "side"),
    [
        ("alexnet", {"dropout": 0.0}, 64),
        ("mobilenet_v3_large", {}, 40),
        ("mobilenet_v3_large", {"padding": "same"}, 40),
        ("efficientnet_b0", {"drop_path": 0.0}, 40),
        ("efficientnet_b0", {"drop_path": 0.0, "padding": "same", "bn_epsilon": 1e-3}, 40),
        ("resnet34", {}, 40),
        ("resnet50", {}, 40),
    ],
)
def test_the_libraries_themselves(backbone, fields, side):
    try:
        import timm  # noqa: F401
        import torchvision.models  # noqa: F401
    except Exception as error:  # A library for another version of PyTorch.
        pytest.skip(f"no timm and torchvision: {error}")
    assert_equal(NetworkSpec(backbone, fields=fields), side)


def test_gradients_of_ownnet_have_the_same_names():
    """Of the sum of squared logits."""
    spec = NetworkSpec("ownnet1", pose_branch=True)
    net, variables, network, images = variables_and_network(spec, 32)
    theirs = network(
        torch.from_numpy(np.array(images)).permute(0, 3, 1, 2), torch.from_numpy(np.array(POSE))
    )
    sum(head.square().sum() for head in theirs.values()).backward()

    def loss(params):
        by_head, _ = net.apply(
            {**variables, "params": params}, images, POSE, True, mutable=["batch_stats"]
        )
        return sum(jnp.square(head).sum() for head in by_head.values())

    ours = weights.state_dict(spec, jax.jit(jax.grad(loss))(variables["params"]), {})
    gradients = {name: p.grad.numpy() for name, p in network.named_parameters()}
    assert gradients.keys() == ours.keys()
    for name, gradient in ours.items():
        atol = 1e-4 * np.abs(gradient).max()
        np.testing.assert_allclose(gradients[name], gradient, atol=atol, err_msg=name)
