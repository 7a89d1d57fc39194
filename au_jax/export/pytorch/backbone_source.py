"""The Python call that makes the PyTorch network of a backbone, as plain values.

ResNets and AlexNet are torchvision's, and so are EfficientNets and MobileNetV3 with symmetric
padding; with TensorFlow's padding ("same") these two are timm's `tf_*` networks. OwnNet and
IResNet, which no library defines, are written out in `au_jax.export.pytorch.networks`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from au_jax import models
from au_jax.errors import UserError, unknown
from au_jax.models.alexnet import AlexNet
from au_jax.models.backbone import Backbone
from au_jax.models.efficientnet import EfficientNet, LargeEfficientNet
from au_jax.models.iresnet import DEPTHS, IResNet
from au_jax.models.mobilenet_v3 import MobileNetV3Large
from au_jax.models.network_spec import NetworkSpec
from au_jax.models.ownnet import OwnNet
from au_jax.models.resnet import ResNet

_WRITTEN_OUT = "au_jax.export.pytorch.networks"


@dataclasses.dataclass(frozen=True)
class BackboneSource:
    """A function of an importable module, and what is done with the network that it returns.

    Attributes:
      module: such as "torchvision.models". function: in it. arguments: by keyword, JSON-able.
      last_layer: the name of the network's classifier, whose input the heads take; "" for a network
        that returns features.
      bn_epsilon, bn_momentum: of every BatchNorm; PyTorch's momentum, the share of the new batch.
    """

    module: str
    function: str
    arguments: dict[str, Any]
    last_layer: str
    bn_epsilon: float
    bn_momentum: float

    @property
    def library(self) -> str:
        """The package to install: "torchvision" or "timm", or "au_jax"."""
        return self.module.partition(".")[0]


def backbone_source(spec: NetworkSpec, image_size: int) -> BackboneSource:
    """The PyTorch network of a specification's backbone.

    Args:
      image_size: pixels of the input's side, on which the last layer of an IResNet depends.

    Raises:
      UserError: the backbone has no PyTorch network, or pads in a way that its network does not.
    """
    with_network = [name for name, (kind, _) in models.BACKBONES.items() if kind in _CALLS]
    if spec.backbone not in with_network:
        raise unknown("backbone with a PyTorch network", spec.backbone, with_network)
    backbone: Any = models.create(spec.backbone, **spec.fields)
    call = _CALLS[type(backbone)](spec.backbone, backbone, image_size)
    # Rounded, so that 1 - 0.9 is 0.1.
    return BackboneSource(*call, backbone.bn_epsilon, round(1 - backbone.bn_momentum, 9))


def is_timms(spec: NetworkSpec) -> bool:
    """Whether the PyTorch network of a specification's backbone is timm's, with its names.

    Raises:
      UserError: see `backbone_source`.
    """
    return backbone_source(spec, image_size=1).library == "timm"


# (module, function, arguments, last layer) of each kind of backbone.
_Call = tuple[str, str, dict[str, Any], str]


def _ownnet(name: str, backbone: OwnNet, image_size: int) -> _Call:
    arguments = {"width": backbone.width, "padding": backbone.padding}
    return f"{_WRITTEN_OUT}.ownnet", "OwnNet", arguments, ""


def _iresnet(name: str, backbone: IResNet, image_size: int) -> _Call:
    arguments = {
        "blocks": list(DEPTHS[backbone.depth]),
        "image_size": image_size,
        "width": backbone.width,
        "dropout": backbone.dropout,
        "coordinate_attention": backbone.coordinate_attention,
        "pyramid": backbone.pyramid,
        "context": backbone.context,
        "padding": backbone.padding,
    }
    return f"{_WRITTEN_OUT}.iresnet", "IResNet", arguments, ""


def _resnet(name: str, backbone: ResNet, image_size: int) -> _Call:
    return _torchvisions(name, backbone, "fc")


def _alexnet(name: str, backbone: AlexNet, image_size: int) -> _Call:
    return _torchvisions(name, backbone, "classifier.6", dropout=backbone.dropout)


def _mobilenet(name: str, backbone: MobileNetV3Large, image_size: int) -> _Call:
    if backbone.padding == "same":
        return _timms("tf_mobilenetv3_large_100", drop_path=0.0)
    return _torchvisions(name, backbone, "classifier.3", dropout=0.0)


def _efficientnet(name: str, backbone: EfficientNet, image_size: int) -> _Call:
    if backbone.padding == "same":
        return _timms(f"tf_{name}", backbone.drop_path)
    rates = {"dropout": 0.0, "stochastic_depth_prob": backbone.drop_path}
    return _torchvisions(name, backbone, "classifier.1", **rates)


def _timms(name: str, drop_path: float) -> _Call:
    arguments = {"model_name": name, "drop_path_rate": drop_path}
    return "timm", "create_model", arguments, "classifier"


def _torchvisions(name: str, backbone: Backbone, last_layer: str, **arguments: float) -> _Call:
    if backbone.padding != "torch":
        raise UserError(
            f"backbone {name} with padding {backbone.padding} has no PyTorch network; set "
            "--config.model.padding=torch"
        )
    return "torchvision.models", name, arguments, last_layer


_CALLS: dict[type, Callable[[str, Any, int], _Call]] = {
    OwnNet: _ownnet,
    IResNet: _iresnet,
    ResNet: _resnet,
    AlexNet: _alexnet,
    MobileNetV3Large: _mobilenet,
    EfficientNet: _efficientnet,
    LargeEfficientNet: _efficientnet,
}
