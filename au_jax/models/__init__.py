"""Backbones by name, and the network built on them."""

import dataclasses
import inspect
from typing import Any

import jax.numpy as jnp

from au_jax import allowed, outside
from au_jax.errors import UserError, unknown
from au_jax.models.alexnet import AlexNet
from au_jax.models.au_net import AUNet
from au_jax.models.backbone import Backbone
from au_jax.models.efficientnet import SCALES, EfficientNet, LargeEfficientNet
from au_jax.models.features import Features
from au_jax.models.iresnet import DEPTHS, IResNet
from au_jax.models.mobilenet_v3 import MobileNetV3Large
from au_jax.models.ownnet import OwnNet
from au_jax.models.resnet import STAGES, ResNet

# The class of each backbone and the fields that its name fixes.
BACKBONES: dict[str, tuple[type[Backbone], dict[str, Any]]] = {
    **{f"ownnet{width}": (OwnNet, {"width": width}) for width in range(1, 9)},
    "alexnet": (AlexNet, {}),
    "mobilenet_v3_large": (MobileNetV3Large, {}),
    **{
        f"efficientnet_b{scale}": (
            EfficientNet if scale < 5 else LargeEfficientNet,
            {"scale": scale},
        )
        for scale in range(len(SCALES))
    },
    **{f"resnet{depth}": (ResNet, {"depth": depth}) for depth in STAGES},
    **{f"iresnet{depth}": (IResNet, {"depth": depth}) for depth in DEPTHS},
}


def create(name: str, dtype: Any = jnp.float32, **fields: Any) -> Backbone:
    """Returns the backbone called `name`.

    Args:
      name: one of `BACKBONES`, or `module:function` for a backbone outside the package; the
        function takes `dtype` and the fields by keyword and returns a `Backbone`.
      dtype: compute dtype, jnp.float32 or jnp.bfloat16; parameters and statistics stay float32.
      fields: further fields of the backbone (`padding`, `bn_epsilon`, ...).

    Raises:
      UserError: there is no such backbone, or it has no such field.
    """
    if ":" in name:
        return _create_outside(name, {"dtype": dtype, **fields})
    known = fields_of(name)
    for field in fields:
        if field not in known:
            raise unknown(f"field of backbone {name}", field, known)
    backbone, fixed = BACKBONES[name]
    return backbone(dtype=dtype, **fixed, **fields)


def fields_of(name: str) -> dict[str, Any]:
    """The fields that `create` takes for the backbone called `name`, with their defaults.

    A field without a default has `inspect.Parameter.empty`.

    Raises:
      UserError: there is no such backbone.
    """
    if ":" in name:
        parameters = inspect.signature(outside.resolve("backbone", name)).parameters
        return {field: parameter.default for field, parameter in parameters.items()}
    if name not in BACKBONES:
        raise unknown("backbone", name, BACKBONES)
    backbone, fixed = BACKBONES[name]
    settled = {"parent", "name", *fixed}
    return {f.name: f.default for f in dataclasses.fields(backbone) if f.name not in settled}


def allowed_fields(name: str) -> dict[str, Any]:
    """What each field of the backbone called `name` may be, see `allowed`."""
    owner = outside.resolve("backbone", name) if ":" in name else BACKBONES.get(name, (None,))[0]
    hints = allowed.hints_of(owner)
    return {field: hints.get(field, Any) for field in fields_of(name)}


def _create_outside(reference: str, fields: dict[str, Any]) -> Backbone:
    function = outside.resolve("backbone", reference)
    try:
        inspect.signature(function).bind(**fields)
    except TypeError as error:
        raise UserError(
            f"backbone '{reference}' cannot be called with {', '.join(fields)} ({error}); let it "
            "take them by keyword"
        ) from None
    backbone = function(**fields)
    if not isinstance(backbone, Backbone):
        raise UserError(
            f"backbone '{reference}' returned a {type(backbone).__name__}; let it return an "
            "au_jax.models.Backbone"
        )
    return backbone


__all__ = ["BACKBONES", "AUNet", "Backbone", "Features", "allowed_fields", "create", "fields_of"]
