"""The Python call that makes the PyTorch network of a backbone, as plain values.

ResNets and AlexNet are torchvision's, and so are EfficientNets and MobileNetV3 with symmetric
padding; with TensorFlow's padding ("same") these two are timm's `tf_*` networks. OwnNet and
IResNet, which no library defines, are written out in `au_jax.compare.networks`.
"""

import dataclasses
from typing import Any

from au_jax import models
from au_jax.errors import UserError, unknown
from au_jax.models.alexnet import AlexNet
from au_jax.models.efficientnet import EfficientNet
from au_jax.models.iresnet import DEPTHS, IResNet
from au_jax.models.mobilenet_v3 import MobileNetV3Large
from au_jax.models.network_spec import NetworkSpec
from au_jax.models.ownnet import OwnNet
from au_jax.models.resnet import ResNet

WRITTEN_OUT = "au_jax.compare.networks"
_TIMMS_NAMES = {"mobilenet_v3_large": "tf_mobilenetv3_large_100"}


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
      UserError: the backbone is one outside this package, or pads in a way that its PyTorch network
        does not.
    """
    if spec.backbone not in models.BACKBONES:
        raise unknown("backbone with a PyTorch network", spec.backbone, models.BACKBONES)
    backbone: Any = models.create(spec.backbone, **spec.fields)
    module, function, arguments, last_layer = _call(spec.backbone, backbone, image_size)
    return BackboneSource(
        module,
        function,
        arguments,
        last_layer,
        backbone.bn_epsilon,
        round(1 - backbone.bn_momentum, 9),
    )


def is_timms(spec: NetworkSpec) -> bool:
    """Whether the PyTorch network of a specification's backbone is timm's, with its names."""
    backbone = models.create(spec.backbone, **spec.fields)
    return isinstance(backbone, EfficientNet | MobileNetV3Large) and backbone.padding == "same"


def _call(name: str, backbone: Any, image_size: int) -> tuple[str, str, dict[str, Any], str]:
    if isinstance(backbone, OwnNet):
        fields = {"width": backbone.width, "padding": backbone.padding}
        return f"{WRITTEN_OUT}.ownnet", "OwnNet", fields, ""
    if isinstance(backbone, IResNet):
        switches = ("width", "dropout", "coordinate_attention", "pyramid", "context", "padding")
        fields = {
            "blocks": list(DEPTHS[backbone.depth]),
            "image_size": image_size,
            **{field: getattr(backbone, field) for field in switches},
        }
        return f"{WRITTEN_OUT}.iresnet", "IResNet", fields, ""
    if isinstance(backbone, EfficientNet | MobileNetV3Large) and backbone.padding == "same":
        dropped = getattr(backbone, "drop_path", 0.0)
        timms = _TIMMS_NAMES.get(name, f"tf_{name}")
        return (
            "timm",
            "create_model",
            {"model_name": timms, "drop_path_rate": dropped},
            "classifier",
        )
    if backbone.padding != "torch":
        raise UserError(
            f"backbone {name} with padding {backbone.padding} has no PyTorch network; set "
            "--config.model.padding=torch"
        )
    arguments: dict[str, Any] = {}
    if isinstance(backbone, EfficientNet):
        arguments = {"dropout": 0.0, "stochastic_depth_prob": backbone.drop_path}
    if isinstance(backbone, MobileNetV3Large):
        arguments = {"dropout": 0.0}
    if isinstance(backbone, AlexNet):
        arguments = {"dropout": backbone.dropout}
    return "torchvision.models", name, arguments, _LAST_LAYERS[_kind(backbone)]


_LAST_LAYERS: dict[type, str] = {
    ResNet: "fc",
    EfficientNet: "classifier.1",
    MobileNetV3Large: "classifier.3",
    AlexNet: "classifier.6",
}


def _kind(backbone: Any) -> type:
    return next(kind for kind in _LAST_LAYERS if isinstance(backbone, kind))
