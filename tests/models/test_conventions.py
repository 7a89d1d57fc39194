"""Conventions have one owner: the imported file's scheme, else the backbone's own."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from au_jax.errors import UserError
from au_jax.models.au_net import IMAGENET_MEAN, IMAGENET_STD
from au_jax.models.conventions import conventions

HALF = (0.5, 0.5, 0.5)


def file(folder, name, timm=False):
    """A weights file of which only the names matter."""
    path = folder / name
    first = "conv_stem.weight" if timm else "features.0.0.weight"
    save_file({first: np.zeros(1, np.float32)}, path)
    return path


@pytest.mark.parametrize(
    ("backbone", "padding", "epsilon", "momentum"),
    [
        ("ownnet2", "same", 1e-3, 0.9),
        ("resnet34", "torch", 1e-5, 0.9),
        ("mobilenet_v3_large", "torch", 1e-3, 0.99),
        ("efficientnet_b0", "torch", 1e-5, 0.9),
    ],
)
def test_without_weights_the_backbone_decides(backbone, padding, epsilon, momentum):
    found = conventions(backbone, None, {})
    fields = {"padding": padding, "bn_epsilon": epsilon, "bn_momentum": momentum}
    assert found == {"fields": fields, "image_mean": IMAGENET_MEAN, "image_std": IMAGENET_STD}


def test_without_weights_a_config_may_set_them_all():
    given = {"padding": "torch", "bn_epsilon": 0.1, "bn_momentum": 0.5, "image_mean": [0, 0, 0]}
    found = conventions("ownnet2", None, given)
    assert found["fields"] == {"padding": "torch", "bn_epsilon": 0.1, "bn_momentum": 0.5}
    assert found["image_mean"] == (0, 0, 0)


@pytest.mark.parametrize(
    ("backbone", "name", "timm", "padding", "epsilon", "mean"),
    [
        ("resnet50", "resnet50.safetensors", False, "torch", 1e-5, IMAGENET_MEAN),
        ("mobilenet_v3_large", "m.safetensors", False, "torch", 1e-3, IMAGENET_MEAN),
        ("mobilenet_v3_large", "m.safetensors", True, "torch", 1e-5, IMAGENET_MEAN),
        (
            "mobilenet_v3_large",
            "tf_mobilenetv3_large_100.in1k.safetensors",
            True,
            "same",
            1e-3,
            HALF,
        ),
        ("efficientnet_b4", "b4.safetensors", False, "torch", 1e-5, IMAGENET_MEAN),
        ("efficientnet_b5", "b5.safetensors", False, "torch", 1e-3, IMAGENET_MEAN),
        ("efficientnet_b5", "b5.safetensors", True, "torch", 1e-5, IMAGENET_MEAN),
        ("efficientnet_b0", "tf_efficientnet_b0.safetensors", True, "same", 1e-3, IMAGENET_MEAN),
        ("efficientnet_b0", "tf_efficientnet_b0.ap_in1k.safetensors", True, "same", 1e-3, HALF),
        ("efficientnet_b0", "tf_efficientnet_b0_ap-f262.safetensors", True, "same", 1e-3, HALF),
    ],
)
def test_weights_decide_by_their_scheme(tmp_path, backbone, name, timm, padding, epsilon, mean):
    found = conventions(backbone, file(tmp_path, name, timm), {})
    assert (found["fields"]["padding"], found["fields"]["bn_epsilon"]) == (padding, epsilon)
    assert found["image_mean"] == mean


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"padding": "same"},
            r"--config\.model\.padding=same contradicts .*trained with padding t",
        ),
        ({"bn_epsilon": 1e-3}, r"--config\.model\.bn_epsilon=0\.001 contradicts"),
        ({"image_mean": HALF}, r"--config\.model\.image_mean=\(0\.5, 0\.5, 0\.5\) contradicts"),
    ],
)
def test_a_config_against_its_weights_is_refused(tmp_path, given, sentence):
    path = file(tmp_path, "resnet18.safetensors")
    with pytest.raises(UserError, match=sentence):
        conventions("resnet18", path, given)
    agreeing = {"padding": "torch", "bn_epsilon": 1e-5, "bn_momentum": 0.99}
    assert conventions("resnet18", path, agreeing)["fields"] == agreeing
