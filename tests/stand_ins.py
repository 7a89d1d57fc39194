"""Stand-ins for timm and torchvision, which the tests' environment need not have."""

import re
import sys
from types import SimpleNamespace

import pytest
import torch_networks

RESNETS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def torchvisions_models():
    """`torchvision.models` with the compact networks of the tests."""
    makers = {
        "alexnet": lambda dropout: torch_networks.AlexNet(),
        "mobilenet_v3_large": lambda dropout: torch_networks.MobileNetV3Large(),
    }
    for scale in range(8):
        makers[f"efficientnet_b{scale}"] = lambda scale=scale, **rates: torch_networks.EfficientNet(
            scale
        )
    for depth, blocks in RESNETS.items():
        makers[f"resnet{depth}"] = lambda blocks=blocks, depth=depth: torch_networks.ResNet(
            blocks, depth >= 50
        )
    return SimpleNamespace(**makers)


def timms_create_model(model_name, drop_path_rate):
    """`timm.create_model` for its TensorFlow networks."""
    if model_name == "tf_mobilenetv3_large_100":
        return torch_networks.MobileNetV3Large(timm=True, same=True)
    scale = int(re.fullmatch(r"tf_efficientnet_b(\d)", model_name)[1])
    return torch_networks.EfficientNet(scale, timm=True, same=True)


@pytest.fixture
def stand_ins(monkeypatch):
    """`import timm` and `import torchvision.models` give compact networks of the same names."""
    models = torchvisions_models()
    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace(models=models))
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    monkeypatch.setitem(sys.modules, "timm", SimpleNamespace(create_model=timms_create_model))
