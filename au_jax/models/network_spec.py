"""The specification of a network: plain values that a checkpoint keeps with its weights."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from au_jax import models
from au_jax.errors import UserError, unknown
from au_jax.models import weight_schemes
from au_jax.models.weight_schemes import Scheme

PRECISIONS = {"float32": jnp.float32, "bfloat16": jnp.bfloat16, "float64": jnp.float64}
# What `conventions` settles: fields of the backbone, and values of `NetworkSpec` itself.
BACKBONE_CONVENTIONS = ("padding", "bn_epsilon", "bn_momentum")
IMAGE_CONVENTIONS = ("image_mean", "image_std")


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    first, second, third = values
    return float(first), float(second), float(third)


@dataclasses.dataclass(frozen=True)
class NetworkSpec:
    """One network, in JSON-able values.

    Attributes:
      backbone: a name of `models.BACKBONES`, or `module:function` (see `models.create`); `fields`
        are its further fields.
      precision: "float32" or "bfloat16", the compute dtype; parameters stay float32. "float64" is
        for comparisons under `jax.enable_x64` with parameters in float64.
      remat: see `models.Backbone`.
      dropout, pose_branch, pose_mean, pose_std, image_mean, image_std, micro_batches: see
        `models.AUNet`.
    """

    backbone: str
    precision: str = "float32"
    dropout: float = 0.0
    pose_branch: bool = False
    pose_mean: Sequence[float] = (0.0, 0.0, 0.0)
    pose_std: Sequence[float] = (1.0, 1.0, 1.0)
    image_mean: Sequence[float] = models.au_net.IMAGENET_MEAN
    image_std: Sequence[float] = models.au_net.IMAGENET_STD
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    remat: bool = False
    micro_batches: int = 1

    def build(self, heads: Mapping[str, int]) -> models.AUNet:
        """The Flax module with an output layer per head: {name: number of outputs}."""
        if self.precision not in PRECISIONS:
            raise unknown("precision", self.precision, PRECISIONS)
        fields = {**self.fields, "remat": True} if self.remat else self.fields
        return models.AUNet(
            backbone=models.create(self.backbone, PRECISIONS[self.precision], **fields),
            heads=tuple(heads.items()),
            dropout=self.dropout,
            pose_branch=self.pose_branch,
            pose_mean=_three(self.pose_mean),
            pose_std=_three(self.pose_std),
            image_mean=_three(self.image_mean),
            image_std=_three(self.image_std),
            micro_batches=self.micro_batches,
        )


def of_section(model: Mapping[str, Any], pose: np.ndarray) -> NetworkSpec:
    """The network that the section `model` of a config describes.

    Args:
      model: see configs/base.py.
      pose: float32 [N, 3], the head angles of the training faces, degrees, NaN unknown.

    Raises:
      UserError: see `conventions`.
    """
    settable = (*BACKBONE_CONVENTIONS, *IMAGE_CONVENTIONS)
    given = {field: model[field] for field in settable if model[field] is not None}
    weights = Path(model["weights"]) if model["weights"] else None
    return NetworkSpec(
        backbone=model["backbone"],
        precision=model["precision"],
        dropout=model["dropout"],
        pose_branch=model["pose_branch"],
        remat=model["remat"],
        **_pose_statistics(pose),
        **conventions(model["backbone"], weights, given, model["fields"]),
    )


def _pose_statistics(pose: np.ndarray) -> dict[str, Any]:
    """Mean and spread of the known head angles, degrees; 0 and 1 where none is known."""
    known = pose[~np.isnan(pose).any(1)]
    if not len(known):
        return {"pose_mean": (0.0,) * 3, "pose_std": (1.0,) * 3}
    return {
        "pose_mean": tuple(known.mean(0).tolist()),
        "pose_std": tuple(np.maximum(known.std(0), 1e-3).tolist()),
    }


def conventions(
    backbone: str,
    weights: Path | None,
    given: Mapping[str, Any],
    fields: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """How a network pads and normalises: as imported weights need, else as its backbone does.

    Args:
      backbone: see `NetworkSpec`.
      weights: the imported weights, which settle all but BatchNorm's momentum.
      given: what the user set of `BACKBONE_CONVENTIONS` and `IMAGE_CONVENTIONS`.
      fields: the backbone's further fields, such as `pyramid`.

    Returns:
      The values of `NetworkSpec`'s `fields` (`fields` and all of `BACKBONE_CONVENTIONS`),
      `image_mean` and `image_std`.

    Raises:
      UserError: there is no such backbone or field, the weights cannot be read, a given value is
        not the one that the weights need, or a field has a place of its own in the config.
    """
    fields = fields or {}
    for name in fields:
        if name in (*BACKBONE_CONVENTIONS, "dtype", "remat"):
            place = "precision" if name == "dtype" else name
            raise UserError(f"config.model.fields.{name} is set as --config.model.{place}=VALUE")
    network = models.create(backbone, **fields)
    settled: dict[str, Any] = {
        name: getattr(network, name) for name in (*BACKBONE_CONVENTIONS, *IMAGE_CONVENTIONS)
    }
    for name in given:
        if name not in settled:
            raise unknown("convention", name, settled)
    if weights is not None:
        required = weight_schemes.scheme(backbone, weights)
        _refuse_contradictions(weights, required, given)
        settled |= required._asdict()
    settled |= given
    return {
        "fields": {**fields, **{name: settled[name] for name in BACKBONE_CONVENTIONS}},
        **{name: _three(settled[name]) for name in IMAGE_CONVENTIONS},
    }


def _refuse_contradictions(weights: Path, required: Scheme, given: Mapping[str, Any]) -> None:
    for name, value in required._asdict().items():
        chosen = given.get(name, value)
        same = chosen == value if isinstance(value, str | float) else tuple(chosen) == value
        if not same:
            raise UserError(
                f"--config.model.{name}={chosen} contradicts '{weights}', whose weights need "
                f"{value}; leave the flag out"
            )
