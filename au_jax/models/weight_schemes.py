"""The conventions that imported weights of torchvision, timm and insightface were trained with."""

import re
from pathlib import Path
from typing import NamedTuple

from au_jax.errors import UserError
from au_jax.models import pretrained
from au_jax.models.backbone import IMAGENET_MEAN, IMAGENET_STD, RGB

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
    ("torchvision", r"resnet\d+", r".*", Scheme("torch", 1e-5)),
    ("torchvision", r"alexnet", r".*", Scheme("torch", 1e-5)),
    ("torchvision", r"iresnet\d+", r".*", Scheme("torch", 1e-5, _HALF, _HALF)),
    ("torchvision", r"mobilenet_v3_large", r".*", Scheme("torch", 1e-3)),
    ("torchvision", r"efficientnet_b[0-4]", r".*", Scheme("torch", 1e-5)),
    ("torchvision", r"efficientnet_b[5-7]", r".*", Scheme("torch", 1e-3)),
    ("timm", r".*", r"tf_mobilenetv3.*", Scheme("same", 1e-3, _HALF, _HALF)),
    ("timm", r".*", r"tf_.*[._]ap([._-].*)?", Scheme("same", 1e-3, _HALF, _HALF)),
    ("timm", r".*", r"tf_.*", Scheme("same", 1e-3)),
    ("timm", r".*", r"(mobilenetv3|efficientnet).*", Scheme("torch", 1e-5)),
)
"""The one table of conventions, as regular expressions that must match whole.

AlexNet has no BatchNorm, so that its epsilon changes nothing.

ResNets have the same names and conventions in both libraries, and count as torchvision's; so do the
IResNets of insightface, which names its arrays in the same manner. timm's `tf_*` weights are ported
from TensorFlow; those trained with AdvProp (`_ap`, https://arxiv.org/abs/1911.09665) and of
MobileNetV3 expect images in [-1, 1].
"""


def scheme(backbone: str, weights: Path) -> Scheme:
    """The conventions of a weights file, told by its arrays' names and, for timm's, its own name.

    Raises:
      UserError: the file cannot be read, holds weights of no known kind for the backbone, or is
        timm's and its name does not say whether TensorFlow's weights were ported.
    """
    timm = pretrained.is_timm(pretrained.read(weights))
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
        "of a ResNet, IResNet, MobileNetV3-Large, EfficientNet or AlexNet with that backbone, or "
        "none"
    )
