"""Padding, BatchNorm and input normalisation: whose conventions a network follows.

Imported weights compute what they were trained for only under the conventions of their training.
Their file's scheme therefore sets them; without weights the backbone's own count. A config may set
each of them, but not against the file.

| weights                                         | padding | bn_epsilon | mean, std |
| ----------------------------------------------- | ------- | ---------- | --------- |
| torchvision and timm `resnet*`                  | torch   | 1e-5       | ImageNet  |
| torchvision `mobilenet_v3_large`                | torch   | 1e-3       | ImageNet  |
| timm `mobilenetv3_large_100`                    | torch   | 1e-5       | ImageNet  |
| timm `tf_mobilenetv3_large_100`                 | same    | 1e-3       | 0.5, 0.5  |
| torchvision `efficientnet_b0` to `b4`           | torch   | 1e-5       | ImageNet  |
| torchvision `efficientnet_b5` to `b7`           | torch   | 1e-3       | ImageNet  |
| timm `efficientnet_b*`                          | torch   | 1e-5       | ImageNet  |
| timm `tf_efficientnet_b*`                       | same    | 1e-3       | ImageNet  |
| timm `tf_efficientnet_b*_ap` (AdvProp)          | same    | 1e-3       | 0.5, 0.5  |

torchvision's and timm's own schemes differ in the names of the arrays. timm's ports of TensorFlow's
weights have the same names as its own, so that the file's name must tell them, as timm's does: it
begins with `tf_`.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from au_jax import models
from au_jax.errors import UserError
from au_jax.models import pretrained
from au_jax.models.au_net import IMAGENET_MEAN, IMAGENET_STD
from au_jax.models.efficientnet import EfficientNet
from au_jax.models.mobilenet_v3 import MobileNetV3Large

_BACKBONE = ("padding", "bn_epsilon", "bn_momentum")
_HALF = (0.5, 0.5, 0.5)
_IMAGENET = {"image_mean": IMAGENET_MEAN, "image_std": IMAGENET_STD}


def conventions(backbone: str, weights: Path | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `NetworkSpec` that follow the weights or else the backbone.

    Args:
      backbone: a name of `models.BACKBONES`, or module:function.
      weights: the file that is imported, if any.
      given: what the config sets of `padding`, `bn_epsilon`, `bn_momentum`, `image_mean` and
        `image_std`.

    Returns:
      {"fields": the first three of these, "image_mean", "image_std"}.

    Raises:
      UserError: the config contradicts the file, which cannot be read, or sets an unknown field.
    """
    built = models.create(backbone, **{k: v for k, v in given.items() if k in _BACKBONE})
    values = {field: getattr(built, field) for field in _BACKBONE} | _IMAGENET
    values |= {field: tuple(v) for field, v in given.items() if field not in _BACKBONE}
    if weights is not None:
        scheme = _scheme(backbone, weights)
        for field, wanted in scheme.items():
            if field in given and values[field] != wanted:
                raise UserError(
                    f"--config.model.{field}={given[field]} contradicts '{weights}', whose weights "
                    f"were trained with {field} {wanted}; leave that field out, or give other "
                    "weights"
                )
        values |= scheme
    fields = {field: values.pop(field) for field in _BACKBONE}
    return {"fields": fields, **values}


def _scheme(backbone: str, weights: Path) -> dict[str, Any]:
    """What the weights in a file were trained with (the table above)."""
    kind, fixed = models.BACKBONES.get(backbone, (None, {}))
    timm = "conv_stem.weight" in pretrained.read(weights)
    mobile, efficient = kind is MobileNetV3Large, kind is EfficientNet
    if timm and weights.name.startswith("tf_"):
        half = mobile or re.search(r"[_.]ap[_.-]", weights.name)
        shift = {"image_mean": _HALF, "image_std": _HALF} if half else _IMAGENET
        return {"padding": "same", "bn_epsilon": 1e-3, **shift}
    large = efficient and fixed["scale"] >= 5
    epsilon = 1e-3 if (mobile or large) and not timm else 1e-5
    return {"padding": "torch", "bn_epsilon": epsilon, **_IMAGENET}
