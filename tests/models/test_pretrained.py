"""Weights of PyTorch's networks give the same features, and what does not fit is refused."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
import torch
import torch_networks
from random_weights import shapes

from au_jax import models
from au_jax.errors import UserError
from au_jax.models import pretrained
from au_jax.models.network_spec import conventions


def _images(height, width):
    return np.random.default_rng(0).normal(size=(2, height, width, 3)).astype(np.float32)


IMAGES = _images(40, 40)


def _trees(backbone, images=IMAGES):
    variables = shapes(backbone, images, False)
    return variables["params"], variables.get("batch_stats", {})


def _arrays(torch_network):
    return {name: a.numpy() for name, a in torch_network.state_dict().items()}


def _assert_same_features(torch_network, name, path, pooled_of=None, images=IMAGES):
    torch_networks.randomise(torch_network)
    if path.suffix == ".pth":
        torch.save(torch_network.state_dict(), path)
    else:
        safetensors.numpy.save_file(_arrays(torch_network), path)
    backbone = models.create(name, **conventions(name, path, {})["fields"])
    params, batch_stats = pretrained.convert(
        pretrained.read(path), name, *_trees(backbone, images), str(path)
    )
    assert {leaf.dtype for leaf in jax.tree.leaves((params, batch_stats))} == {np.dtype("float32")}
    variables = {"params": params, "batch_stats": batch_stats}
    pooled = jax.jit(lambda v: backbone.apply(v, jnp.asarray(images), False).pooled)(variables)
    with torch.inference_mode():
        expected = torch_network(torch.from_numpy(images).permute(0, 3, 1, 2))
        expected = (expected if pooled_of is None else pooled_of()).numpy()
    np.testing.assert_allclose(pooled, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("build", "name", "file_name"),
    [
        (torch_networks.MobileNetV3Large, "mobilenet_v3_large", "net.pth"),
        (
            lambda: torch_networks.MobileNetV3Large(timm=True, same=True),
            "mobilenet_v3_large",
            "tf_mobilenetv3_large_100.safetensors",
        ),
        (lambda: torch_networks.EfficientNet(0), "efficientnet_b0", "net.pth"),
        (
            lambda: torch_networks.EfficientNet(0, timm=True, eps=1e-3, same=True),
            "efficientnet_b0",
            "tf_efficientnet_b0.safetensors",
        ),
        (lambda: torch_networks.ResNet((2, 2, 2, 2), False), "resnet18", "net.pth"),
        (lambda: torch_networks.ResNet((3, 4, 6, 3), True), "resnet50", "net.safetensors"),
    ],
    ids=["mobilenet", "mobilenet-timm-same", "b0", "b0-timm-same", "resnet18", "resnet50"],
)
def test_features_equal_pytorchs(build, name, file_name, tmp_path):
    _assert_same_features(build(), name, tmp_path / file_name)


# 6 x 6, 1 x 1, and 4 x 7 pixels reach the adaptive pooling of AlexNet.
@pytest.mark.parametrize(("height", "width"), [(224, 224), (64, 64), (160, 256)])
def test_alexnets_features_equal_pytorchs_at_any_size(height, width, tmp_path):
    path = tmp_path / "alexnet.pth"
    _assert_same_features(torch_networks.AlexNet(), "alexnet", path, images=_images(height, width))


def test_alexnets_names_are_torchvisions():
    """The network imported above has no other arrays than torchvision's file."""
    layers = (f"features.{n}" for n in (0, 3, 6, 8, 10))
    hidden = (f"classifier.{n}" for n in (1, 4, 6))
    with torch.device("meta"):
        names = set(torch_networks.AlexNet().state_dict())
    assert names == {f"{n}.{leaf}" for n in (*layers, *hidden) for leaf in ("weight", "bias")}


@pytest.mark.parametrize("name", ["efficientnet_b2", "efficientnet_b4", "resnet101"])
def test_names_and_shapes_of_larger_networks_fit(name):
    trees = _trees(models.create(name))
    with torch.device("meta"):
        if name == "resnet101":
            networks = [torch_networks.ResNet((3, 4, 23, 3), True)]
        else:
            networks = [torch_networks.EfficientNet(int(name[-1]), timm) for timm in (False, True)]
    for network in networks:
        state = {
            key: np.broadcast_to(np.float32(0), a.shape) for key, a in network.state_dict().items()
        }
        filled = pretrained.convert(state, name, *trees, "weights")
        assert jax.tree.map(jnp.shape, filled) == jax.tree.map(lambda leaf: leaf.shape, trees)


@pytest.fixture(scope="module")
def resnet18():
    return _trees(models.create("resnet18")), _arrays(torch_networks.ResNet((2, 2, 2, 2), False))


def _refusal(resnet18, state):
    with pytest.raises(UserError) as refusal:
        pretrained.convert(state, "resnet18", *resnet18[0], "net.pth")
    return str(refusal.value)


def test_missing_arrays_are_named(resnet18):
    lacking = [f"layer4.1.bn2.{n}" for n in ("weight", "bias", "running_mean", "running_var")]
    state = {name: a for name, a in resnet18[1].items() if name not in lacking}
    assert _refusal(resnet18, state) == (
        "'net.pth' lacks arrays of resnet18: layer4.1.bn2.bias, layer4.1.bn2.running_mean, "
        "layer4.1.bn2.running_var and 1 more; give the weights of that very network"
    )


def test_unexpected_arrays_are_named(resnet18):
    assert _refusal(resnet18, {**resnet18[1], "layer5.weight": np.zeros(3, np.float32)}) == (
        "'net.pth' has arrays that resnet18 lacks: layer5.weight; give the weights of that very "
        "network"
    )


def test_weights_that_are_not_finite_are_named(resnet18):
    state = {**resnet18[1], "bn1.running_var": np.full(64, np.nan, np.float32)}
    assert _refusal(resnet18, state) == (
        "'bn1.running_var' of 'net.pth' holds NaN or infinite numbers; fetch it again"
    )


def test_other_shapes_are_named(resnet18):
    state = {**resnet18[1], "layer1.0.conv1.weight": np.zeros((64, 64, 1, 1), np.float32)}
    assert _refusal(resnet18, state) == (
        "'net.pth' has arrays of other shapes than resnet18: layer1.0.conv1.weight (64, 64, 1, 1) "
        "instead of (64, 64, 3, 3); give the weights of that very network"
    )


def test_classifier_of_any_size_is_dropped(resnet18):
    trees, state = resnet18
    without = {name: a for name, a in state.items() if not name.startswith("fc.")}
    other = {**without, "fc.weight": np.zeros((7, 512)), "fc.bias": np.zeros(7)}
    for kept in (without, other):
        params, _ = pretrained.convert(kept, "resnet18", *trees, "net.pth")
        assert len(jax.tree.leaves(params)) == len(jax.tree.leaves(trees[0]))


def test_another_network_is_refused(resnet18):
    trees = _trees(models.create("resnet34"))
    with pytest.raises(UserError, match=r"lacks arrays of resnet34: layer1\.2\.bn1\.bias"):
        pretrained.convert(resnet18[1], "resnet34", *trees, "net.pth")


def test_unknown_backbones_are_refused(resnet18):
    with pytest.raises(UserError, match=r"'vgg'; known: .*resnet18"):
        pretrained.convert(resnet18[1], "vgg", *resnet18[0], "net.pth")


class _Surprise:
    """An object that a weights file should not hold."""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"fc.weight": _Surprise()}, "holds pickled objects, which are not read for safety"),
        ({"epoch": 3}, "holds more than a network's arrays; save the network's state_dict"),
        ([torch.zeros(1)], "holds more than a network's arrays"),
    ],
)
def test_files_with_more_than_arrays_are_refused(content, message, tmp_path):
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(UserError, match=message):
        pretrained.read(tmp_path / "net.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"\x80\x02 not a pickle"])
def test_damaged_files_are_refused(suffix, content, tmp_path):
    path = tmp_path / f"net{suffix}"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"'{path}'"):
        pretrained.read(path)


def test_missing_and_unknown_files_are_refused(tmp_path):
    with pytest.raises(UserError, match="there is no weights file"):
        pretrained.read(tmp_path / "net.pth")
    (tmp_path / "net.onnx").touch()
    with pytest.raises(UserError, match=r"unknown ending .* '.onnx'; known: .safetensors, .pth"):
        pretrained.read(tmp_path / "net.onnx")


def test_pth_without_pytorch_is_refused(tmp_path, monkeypatch):
    (tmp_path / "net.pth").touch()
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match=r"needs PyTorch; install torch, or give .*safetensors"):
        pretrained.read(tmp_path / "net.pth")


def test_half_precision_files_become_float32(tmp_path):
    torch.save({"a": torch.full((2,), 1.5, dtype=torch.bfloat16)}, tmp_path / "net.pth")
    array = pretrained.read(tmp_path / "net.pth")["a"]
    assert array.dtype == np.float32
    assert array.tolist() == [1.5, 1.5]


TORCHVISION = [
    "alexnet",
    "mobilenet_v3_large",
    "efficientnet_b0",
    "efficientnet_b4",
    "resnet18",
    "resnet50",
]


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvisions_own_networks(name, tmp_path):
    torchvision = pytest.importorskip("torchvision")
    network = getattr(torchvision.models, name)()
    classifier = network.fc if name.startswith("resnet") else network.classifier[-1]
    pooled = []
    classifier.register_forward_hook(lambda module, inputs, outputs: pooled.append(inputs[0]))
    images = _images(64, 64) if name == "alexnet" else IMAGES
    _assert_same_features(network, name, tmp_path / "net.pth", lambda: pooled[-1], images)


@pytest.mark.parametrize(
    ("timm_name", "name"),
    [
        ("mobilenetv3_large_100", "mobilenet_v3_large"),
        ("tf_mobilenetv3_large_100", "mobilenet_v3_large"),
        ("efficientnet_b0", "efficientnet_b0"),
        ("tf_efficientnet_b1", "efficientnet_b1"),
        ("resnet34", "resnet34"),
    ],
)
def test_timms_own_networks(timm_name, name, tmp_path):
    timm = pytest.importorskip("timm")
    network = timm.create_model(timm_name)
    pooled = []
    network.get_classifier().register_forward_hook(
        lambda module, inputs, outputs: pooled.append(inputs[0])
    )
    _assert_same_features(network, name, tmp_path / f"{timm_name}.safetensors", lambda: pooled[-1])
