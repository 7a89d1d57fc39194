"""Our arrays by PyTorch's names: names, shapes and dtypes of every network, and back again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from random_weights import random_variables, shapes

from au_jax import models
from au_jax.errors import UserError
from au_jax.export.pytorch import networks, weights
from au_jax.export.pytorch.backbone_source import backbone_source
from au_jax.models import pretrained
from au_jax.models.network_spec import NetworkSpec

HEADS = {"opt": 3}
ALL_PARTS = {"coordinate_attention": True, "pyramid": True}


def trees(spec, side):
    """The shapes of the network's params and batch_stats as arrays that take no memory."""
    images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    pose = jax.ShapeDtypeStruct((1, 3), jnp.float32)
    variables = shapes(spec.build(HEADS), images, pose, False)
    filled = jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), variables)
    return filled["params"], filled.get("batch_stats", {})


@pytest.mark.parametrize(
    ("backbone", "fields"),
    [
        ("ownnet8", {}),
        ("alexnet", {}),
        ("mobilenet_v3_large", {}),
        ("mobilenet_v3_large", {"padding": "same"}),
        ("efficientnet_b1", {}),
        ("efficientnet_b2", {"padding": "same"}),
        ("efficientnet_b5", {"padding": "same"}),
        ("resnet34", {}),
        ("resnet101", {}),
        ("iresnet100", {}),
        ("iresnet100", ALL_PARTS),
        ("iresnet18", {**ALL_PARTS, "context": False, "padding": "same"}),
    ],
)
def test_names_and_shapes_are_those_of_the_pytorch_network(backbone, fields, stand_ins):
    spec = NetworkSpec(backbone, pose_branch=True, fields=fields)
    with torch.device("meta"):
        network = networks.build(spec, HEADS, image_size=64)
    theirs = {
        name: tuple(array.shape)
        for name, array in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    ours = {name: a.shape for name, a in weights.state_dict(spec, *trees(spec, 64)).items()}
    assert ours == theirs


IMAGES = jnp.zeros((1, 32, 32, 3))


@pytest.mark.parametrize(
    ("backbone", "fields"),
    [("ownnet1", {}), ("iresnet10", {**ALL_PARTS, "width": 8}), ("resnet18", {})],
)
def test_a_backbones_arrays_come_back_from_pytorchs_names(backbone, fields):
    variables = random_variables(models.create(backbone, **fields), IMAGES, False)
    arrays = pretrained.state_dict(backbone, *variables.values(), timm=False)
    back = pretrained.convert(arrays, backbone, *variables.values(), "file")
    jax.tree.map(np.testing.assert_array_equal, back, tuple(variables.values()))


def test_layers_behind_heads_and_prefixes_are_named():
    kernel, bias = np.arange(6.0).reshape(3, 2), np.arange(2.0)
    dense = {"kernel": kernel, "bias": bias}
    tree = {"net": {"head_clean": dense, "pose": dense}, "output_clean": dense}
    arrays = weights.state_dict(NetworkSpec("ownnet1"), tree, {}, prefix="view1.")
    names = ("heads.clean", "pose", "outputs.clean")
    assert arrays.keys() == {f"view1.{n}.{leaf}" for n in names for leaf in ("weight", "bias")}
    np.testing.assert_array_equal(arrays["view1.outputs.clean.weight"], kernel.T)
    assert {a.dtype for a in arrays.values()} == {np.dtype("float64")}


def test_networks_that_pytorch_does_not_have_are_refused():
    with pytest.raises(UserError, match=r"resnet18 with padding same has no PyTorch network; set "):
        backbone_source(NetworkSpec("resnet18", fields={"padding": "same"}), 64)
    with pytest.raises(UserError, match="unknown backbone with a PyTorch network 'mine:net'"):
        backbone_source(NetworkSpec("mine:net"), 64)


def test_a_missing_library_is_named_with_its_install_line(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torchvision.models", None)
    with pytest.raises(UserError, match=r'torchvision.*pip install "au-jax\[compare\]"'):
        networks.build(NetworkSpec("resnet18"), HEADS)
