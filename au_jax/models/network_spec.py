"""Networks from their specification: plain values that a checkpoint keeps with its weights."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from au_jax import models
from au_jax.errors import unknown

PRECISIONS = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    first, second, third = values
    return first, second, third


@dataclasses.dataclass(frozen=True)
class NetworkSpec:
    """One network, in JSON-able values.

    Attributes:
      backbone: a name of `models.BACKBONES`; `fields` are its further fields.
      precision: "float32" or "bfloat16", the compute dtype; parameters stay float32.
      dropout, pose_branch, pose_mean, pose_std, image_mean, image_std: see `models.AUNet`.
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

    def build(self, heads: Mapping[str, int]) -> models.AUNet:
        """The Flax module with an output layer per head: {name: number of outputs}."""
        if self.precision not in PRECISIONS:
            raise unknown("precision", self.precision, PRECISIONS)
        return models.AUNet(
            backbone=models.create(self.backbone, PRECISIONS[self.precision], **self.fields),
            heads=tuple(heads.items()),
            dropout=self.dropout,
            pose_branch=self.pose_branch,
            pose_mean=_three(self.pose_mean),
            pose_std=_three(self.pose_std),
            image_mean=_three(self.image_mean),
            image_std=_three(self.image_std),
        )
