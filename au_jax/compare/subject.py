"""A training to compare, in values that can be sent to another process."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import optax

from au_jax.augment import Augment
from au_jax.data.pipeline import Stream
from au_jax.methods.base import Context, Method
from au_jax.training.model_card import ModelCard
from au_jax.training.optimizer import make_optimizer


@dataclasses.dataclass(frozen=True)
class Subject:
    """A training that JAX and PyTorch both do.

    Attributes:
      card: the method, its options and its context.
      optimizer: the arguments of `make_optimizer` but for the number of steps.
      streams: the parts of every batch, by name, labels aligned to the context's AUs.
      seed: of initialisation and order.
      readers: threads, or worker processes of PyTorch's loader, that read and decode images.
    """

    card: ModelCard
    optimizer: Mapping[str, Any]
    streams: Mapping[str, Stream]
    seed: int
    readers: int

    @property
    def context(self) -> Context:
        return self.card.context

    @property
    def images_per_step(self) -> int:
        """Stored images in a batch, however many views of each the method makes."""
        return sum(stream.share for stream in self.streams.values())

    @property
    def images_per_prediction(self) -> int:
        """Images of a batch whose AUs are predicted: the first stream's; 0 of a pretraining."""
        if not self.context.aus:
            return 0
        return next(iter(self.streams.values())).share

    def method(self) -> Method:
        """The method on the side of JAX."""
        return self.card.create()

    def transformation(self) -> optax.GradientTransformation:
        """The optimiser on the side of JAX."""
        return make_optimizer(**self.optimizer, steps=self.context.steps)[0]

    def without_augmentation(self) -> "Subject":
        """The same with every operation on images switched off but the random crop."""
        return self._with_context(augmentation=Augment(image_size=self.context.image_size))

    def in_precision(self, precision: str) -> "Subject":
        """The same with its network computing in another of `network_spec.PRECISIONS`."""
        return self._with_context(
            network=dataclasses.replace(self.context.network, precision=precision)
        )

    def _with_context(self, **changes: Any) -> "Subject":
        context = dataclasses.replace(self.context, **changes)
        return dataclasses.replace(self, card=dataclasses.replace(self.card, context=context))
