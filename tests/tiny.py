"""Backbones that compile in a moment, and trainings of them, for tests of all around them.

Imported by conftest.py, after which a config or method may call them "tiny", "tiny_wide" and
"tiny_plain".
"""

import flax.linen as nn

from au_jax import models
from au_jax.augment import Augment
from au_jax.methods import Context, StreamFacts
from au_jax.models import Features
from au_jax.models.layers import Conv, ConvNorm, global_mean
from au_jax.models.network_spec import NetworkSpec


class Tiny(models.Backbone):
    """Two 3x3 convolutions."""

    width: int = 6

    @nn.compact
    def __call__(self, images, train):
        x = ConvNorm(self.width, 3, 2, style=self.style, name="conv1")(images, train)
        x = ConvNorm(self.width, 3, style=self.style, name="conv2")(x, train)
        return Features((x,), global_mean(x))


class TinyPlain(models.Backbone):
    """Two 3x3 convolutions without BatchNorm."""

    @nn.compact
    def __call__(self, images, train):
        x = nn.relu(Conv(6, 3, 2, bias=True, style=self.style, name="conv1")(images))
        x = nn.relu(Conv(6, 3, bias=True, style=self.style, name="conv2")(x))
        return Features((x,), global_mean(x))


def make_context(aus, *, network=None, augmentation=None, streams, **changes):
    """The context of a short training of the tiny network, on images of 32 pixels a side.

    Args:
      network, augmentation: fields that differ.
      streams: the names of the streams, or {name: StreamFacts}.
      changes: epochs and steps_per_epoch.
    """
    facts = StreamFacts(16, 8, positives=(1.0,) * len(aus), negatives=(1.0,) * len(aus))
    return Context(
        aus=tuple(aus),
        network=NetworkSpec(**{"backbone": "tiny", **(network or {})}),
        augmentation=Augment(**{"image_size": 32, **(augmentation or {})}),
        streams=streams if isinstance(streams, dict) else dict.fromkeys(streams, facts),
        **{"epochs": 2, "steps_per_epoch": 3, **changes},
    )


models.BACKBONES["tiny"] = (Tiny, {})
models.BACKBONES["tiny_plain"] = (TinyPlain, {})
models.BACKBONES["tiny_wide"] = (Tiny, {"width": 8})
