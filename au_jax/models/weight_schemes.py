"""The conventions that imported weights of torchvision, timm and insightface were trained with."""

import json
import re
from pathlib import Path
from typing import NamedTuple

from safetensors import safe_open

from au_jax.errors import UserError
from au_jax.models import pretrained
from au_jax.models.backbone import IMAGENET_MEAN, IMAGENET_STD, RGB

_METADATA = "conventions"
_HALF = (0.5, 0.5, 0.5)


class Scheme(NamedTuple):
    """What a network must do so that the weights of a file mean what they did in training.

    Attributes:
      padding: "same" or "torch"; see `layers.Style`.
      bn_epsilon: what BatchNorm adds to the variance.
      image_mean, image_std: the normalisation of images in [0, 1], per channel.
    """

    padding: str
    bn_epsilon: float
    image_mean: RGB = IMAGENET_MEAN
    image_std: RGB = IMAGENET_STD


SCHEMES: tuple[tuple[str, str, str, Scheme], ...] = (
    # Naming of the arrays, backbone, name of the file, conventions; the first fitting row holds.
    ("torchvision", r"resnet\d+", r".*[._]ra4_.*", Scheme("torch", 1e-5, _HALF, _HALF)),
    ("torchvision", r"resnet\d+", r".*", Scheme("torch", 1e-5)),
    ("torchvision", r"alexnet", r".*", Scheme("torch", 1e-5)),
    ("torchvision", r"iresnet\d+", r".*", Scheme("torch", 1e-5, _HALF, _HALF)),
    ("torchvision", r"ownnet\d+", r".*", Scheme("same", 1e-3)),
    ("torchvision", r"mobilenet_v3_large", r".*", Scheme("torch", 1e-3)),
    ("torchvision", r"efficientnet_b[0-4]", r".*", Scheme("torch", 1e-5)),
    ("torchvision", r"efficientnet_b[5-7]", r".*", Scheme("torch", 1e-3)),
    ("timm", r".*", r"tf_mobilenetv3.*", Scheme("same", 1e-3, _HALF, _HALF)),
    ("timm", r".*", r"tf_.*[._]ap([._-].*)?", Scheme("same", 1e-3, _HALF, _HALF)),
    ("timm", r".*", r"tf_.*", Scheme("same", 1e-3)),
    ("timm", r".*", r"(mobilenetv3|efficientnet).*[._]ra4_.*", Scheme("torch", 1e-5, _HALF, _HALF)),
    ("timm", r".*", r"mobilenetv3.*[._]miil[._].*", Scheme("torch", 1e-5, (0.0,) * 3, (1.0,) * 3)),
    ("timm", r".*", r"(mobilenetv3|efficientnet).*", Scheme("torch", 1e-5)),
)
"""The one table of conventions, as regular expressions that must match whole.

A file that this package exported says its conventions itself (`metadata`), and the table is not
asked.

AlexNet has no BatchNorm, so that its epsilon changes nothing.

ResNets have the same names and conventions in both libraries, and count as torchvision's; so do the
IResNets of insightface, which names its arrays in the same manner, and OwnNets, whose names are
ours. timm's `tf_*` weights are ported from TensorFlow; those trained with AdvProp (`_ap`,
https://arxiv.org/abs/1911.09665) and of MobileNetV3 expect images in [-1, 1]. So do timm's weights
of the recipe `ra4`; MobileNetV3's of Alibaba (`miil`) expect them in [0, 1].
"""


def metadata(conventions: Scheme) -> dict[str, str]:
    """The metadata of a safetensors file by which `scheme` knows its conventions."""
    return {_METADATA: json.dumps(conventions._asdict())}


def scheme(backbone: str, weights: Path) -> Scheme:
    """The conventions of a weights file.

    They are told by its metadata, else by its arrays' names and, for timm's, its own name.

    Raises:
      UserError: the file cannot be read, holds weights of no known kind for the backbone, or is
        timm's and its name does not say whether TensorFlow's weights were ported.
    """
    state, _ = pretrained.backbone_of(pretrained.read(weights))
    said = _said(weights)
    if said is not None:
        return said
    timm = pretrained.is_timm(state)
    naming = "timm" if timm else "torchvision"
    for library, backbones, files, conventions in SCHEMES:
        if (
            library == naming
            and re.fullmatch(backbones, backbone)
            and re.fullmatch(files, weights.name)
        ):
            return conventions
    if timm:
        raise UserError(
            f"the name of '{weights}' does not tell which conventions its timm weights need; give "
            "the file timm's name of the network (efficientnet_b0..., or tf_efficientnet_b0... if "
            "they were ported from TensorFlow)"
        )
    raise UserError(
        f"no ImageNet weights such as '{weights}' are known for backbone {backbone}; give weights "
        "of a ResNet, IResNet, MobileNetV3-Large, EfficientNet, AlexNet or OwnNet with that "
        "backbone, or none"
    )


def _said(weights: Path) -> Scheme | None:
    """The conventions in a file's metadata, if it has them."""
    if weights.suffix != ".safetensors":
        return None
    with safe_open(weights, "numpy") as file:
        text = (file.metadata() or {}).get(_METADATA)
    if text is None:
        return None
    values = json.loads(text)
    images = {name: tuple(values[name]) for name in ("image_mean", "image_std")}
    return Scheme(**{**values, **images})
