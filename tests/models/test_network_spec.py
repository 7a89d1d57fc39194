"""A network pads and normalises as its imported weights need, else as its backbone does."""

import numpy as np
import pytest
import safetensors.numpy

from au_jax import models
from au_jax.errors import UserError
from au_jax.models.au_net import IMAGENET_MEAN, IMAGENET_STD
from au_jax.models.network_spec import NetworkSpec, conventions

HALF = (0.5, 0.5, 0.5)


@pytest.fixture
def weights(tmp_path):
    def write(file_name, timm):
        name = "conv_stem.weight" if timm else "features.0.0.weight"
        safetensors.numpy.save_file({name: np.zeros(1, np.float32)}, tmp_path / file_name)
        return tmp_path / file_name

    return write


@pytest.mark.parametrize(
    ("backbone", "expected"),
    [
        ("ownnet3", ("same", 1e-3, 0.9)),
        ("mobilenet_v3_large", ("torch", 1e-3, 0.99)),
        ("efficientnet_b4", ("torch", 1e-5, 0.9)),
        ("efficientnet_b5", ("torch", 1e-3, 0.99)),
        ("resnet50", ("torch", 1e-5, 0.9)),
        ("alexnet", ("torch", 1e-5, 0.9)),
    ],
)
def test_without_weights_the_backbones_own_conventions_hold(backbone, expected):
    settled = conventions(backbone, None, {})
    assert tuple(settled["fields"].values()) == expected
    assert (settled["image_mean"], settled["image_std"]) == (IMAGENET_MEAN, IMAGENET_STD)


def test_without_weights_every_convention_may_be_given():
    given = {"padding": "torch", "bn_epsilon": 0.1, "bn_momentum": 0.5}
    images = {"image_mean": (0.1, 0.2, 0.3), "image_std": (1.0, 2.0, 3.0)}
    assert conventions("ownnet1", None, given | images) == {"fields": given, **images}


@pytest.mark.parametrize(
    ("file_name", "timm", "backbone", "padding", "epsilon", "mean"),
    [
        ("net.safetensors", False, "resnet18", "torch", 1e-5, IMAGENET_MEAN),
        ("alexnet.safetensors", False, "alexnet", "torch", 1e-5, IMAGENET_MEAN),
        ("net.safetensors", False, "mobilenet_v3_large", "torch", 1e-3, IMAGENET_MEAN),
        ("net.safetensors", False, "efficientnet_b4", "torch", 1e-5, IMAGENET_MEAN),
        ("net.safetensors", False, "efficientnet_b5", "torch", 1e-3, IMAGENET_MEAN),
        (
            "mobilenetv3_large_100.safetensors",
            True,
            "mobilenet_v3_large",
            "torch",
            1e-5,
            IMAGENET_MEAN,
        ),
        ("tf_mobilenetv3_large_100.safetensors", True, "mobilenet_v3_large", "same", 1e-3, HALF),
        ("efficientnet_b5.safetensors", True, "efficientnet_b5", "torch", 1e-5, IMAGENET_MEAN),
        ("tf_efficientnet_b0_ns.safetensors", True, "efficientnet_b0", "same", 1e-3, IMAGENET_MEAN),
        (
            "efficientnet_b0.ra4_e3600_r224_in1k.safetensors",
            True,
            "efficientnet_b0",
            "torch",
            1e-5,
            HALF,
        ),
        (
            "efficientnet_b0_ra-3dd342df.safetensors",
            True,
            "efficientnet_b0",
            "torch",
            1e-5,
            IMAGENET_MEAN,
        ),
        ("tf_efficientnet_b0_ap-26.safetensors", True, "efficientnet_b0", "same", 1e-3, HALF),
        ("tf_efficientnet_b0.ap_in1k.safetensors", True, "efficientnet_b0", "same", 1e-3, HALF),
    ],
)
def test_weights_settle_the_conventions(file_name, timm, backbone, padding, epsilon, mean, weights):
    path = weights(file_name, timm)
    settled = conventions(backbone, path, {})
    momentum = models.create(backbone).bn_momentum
    assert settled == {
        "fields": {"padding": padding, "bn_epsilon": epsilon, "bn_momentum": momentum},
        "image_mean": mean,
        "image_std": HALF if mean is HALF else IMAGENET_STD,
    }
    # What the weights need may be stated, and the momentum is free.
    given = {"padding": padding, "image_mean": list(mean), "bn_momentum": 0.7}
    assert conventions(backbone, path, given)["fields"]["bn_momentum"] == 0.7


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"padding": "same"}, r"--config\.model\.padding=same contradicts '.*', .* need torch"),
        ({"bn_epsilon": 1e-3}, r"--config\.model\.bn_epsilon=0\.001 contradicts .* need 1e-05"),
        ({"image_mean": HALF}, r"--config\.model\.image_mean=\(0\.5, .* need \(0\.485"),
        ({"image_std": list(HALF)}, r"--config\.model\.image_std=\[0\.5, .* leave the flag out"),
    ],
)
def test_what_contradicts_the_weights_is_refused_by_name(given, message, weights):
    with pytest.raises(UserError, match=message):
        conventions("resnet18", weights("net.safetensors", False), given)


def test_timm_weights_of_an_unclear_name_are_refused(weights):
    with pytest.raises(UserError, match=r"model\.safetensors' does not tell which conventions"):
        conventions("efficientnet_b0", weights("model.safetensors", True), {})


def test_weights_for_a_network_that_has_none_are_refused(weights):
    with pytest.raises(UserError, match=r"no ImageNet weights .* known for backbone tiny"):
        conventions("tiny", weights("net.safetensors", False), {})


def test_an_unknown_convention_is_refused():
    with pytest.raises(UserError, match="unknown convention 'depth'; known: padding"):
        conventions("resnet18", None, {"depth": 3})


@pytest.fixture
def outside_nets(tmp_path, monkeypatch):
    (tmp_path / "my_nets.py").write_text(
        "from au_jax.models.ownnet import OwnNet\n"
        "def small(dtype, padding='torch', bn_epsilon=0.5, bn_momentum=0.6):\n"
        "    return OwnNet(dtype, padding, bn_epsilon, bn_momentum, width=1)\n"
        "def fixed(dtype):\n"
        "    return OwnNet(dtype)\n"
        "def nothing(**fields):\n"
        "    return None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


def test_a_backbone_outside_the_package_is_built(outside_nets):
    assert models.create("my_nets:small").padding == "torch"
    settled = conventions("my_nets:small", None, {"bn_momentum": 0.8})["fields"]
    assert settled == {"padding": "torch", "bn_epsilon": 0.5, "bn_momentum": 0.8}
    network = NetworkSpec("my_nets:small", fields=settled).build({"opt": 2})
    assert network.backbone.width == 1
    assert network.backbone.bn_momentum == 0.8


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("my_nets:fixed", r"'my_nets:fixed' cannot be called with dtype, padding"),
        ("my_nets:nothing", "'my_nets:nothing' returned a NoneType; let it return"),
        ("my_nets:huge", "has no function 'huge'"),
        ("no_such_nets:small", "there is no module 'no_such_nets'"),
    ],
)
def test_what_an_outside_backbone_lacks_is_said(reference, message, outside_nets):
    with pytest.raises(UserError, match=message):
        models.create(reference, padding="same")
