"""The interface of a training method: its pure functions, and the context it is created in."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from au_jax import aus as au_names
from au_jax.augment import Augment
from au_jax.errors import UserError
from au_jax.models.network_spec import NetworkSpec

PyTree = Any
Variables = dict[str, PyTree]  # {"params": ..., "batch_stats": ...}


@dataclasses.dataclass(frozen=True)
class StreamFacts:
    """What a method may know of one stream.

    Attributes:
      records: how many the stream has.
      share: examples of each batch.
      head: the output layer that the stream trains, where the method has one for each.
      positives, negatives: known present and absent labels of each AU; a soft label counts in
        parts.
      dependencies: how much each AU's label depends on each other's, A rows of A numbers, see
        `data.label_dependence`; () where they were not counted.
      emotions: how many records show each emotion of `aus.EMOTIONS`.
      identities: how many named subjects its records are of.
    """

    records: int
    share: int
    head: str = "opt"
    positives: tuple[float, ...] = ()
    negatives: tuple[float, ...] = ()
    dependencies: tuple[tuple[float, ...], ...] = ()
    emotions: tuple[int, ...] = ()
    identities: int = 0


@dataclasses.dataclass(frozen=True)
class Context:
    """What a training knows when it creates its method; a checkpoint's card keeps it.

    Attributes:
      aus: the AUs to learn, in order.
      network: of each network that the method has.
      augmentation: of every training image; it holds the side of the networks' input.
      streams: the parts of every batch, by name.
      epochs, steps_per_epoch: the length of the training.
    """

    aus: tuple[str, ...]
    network: NetworkSpec
    augmentation: Augment
    streams: Mapping[str, StreamFacts]
    epochs: int
    steps_per_epoch: int

    @property
    def image_size(self) -> int:
        """Pixels of the square input's side."""
        return self.augmentation.image_size

    @property
    def steps(self) -> int:
        """Updates of the whole training."""
        return self.epochs * self.steps_per_epoch

    def steps_in(self, share: float) -> int:
        """Updates in a share of the training, rounded down."""
        # Rounded first: 0.1 x 30 is 3 and never a little less.
        return math.floor(round(share * self.steps, 9))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Context":
        """The context that `dataclasses.asdict` made `values` of, perhaps through JSON.

        Fields that an older version did not have are given their defaults.

        Raises:
          KeyError, TypeError, AttributeError: `values` does not have the fields of a context.
        """

        def as_tuple(value: Any) -> Any:
            return tuple(map(as_tuple, value)) if isinstance(value, list) else value

        streams = {
            name: StreamFacts(**{fact: as_tuple(value) for fact, value in facts.items()})
            for name, facts in values["streams"].items()
        }
        return cls(
            **{
                **values,
                "aus": tuple(values["aus"]),
                "network": NetworkSpec(**values["network"]),
                "augmentation": Augment(**values["augmentation"]),
                "streams": streams,
            }
        )


def only_stream(context: Context, learner: str) -> tuple[str, StreamFacts]:
    """The name and the facts of the one stream that `learner` learns from.

    Raises:
      UserError: there are several.
    """
    if len(context.streams) != 1:
        raise UserError(
            f"{learner} learns from one stream, but there are {len(context.streams)} "
            f"({', '.join(context.streams)}); give one"
        )
    ((stream, facts),) = context.streams.items()
    return stream, facts


def shown_emotions(context: Context, method: str, rival: str = "") -> list[str]:
    """The emotions that the faces of a method's one stream show, in the order of `aus.EMOTIONS`.

    Args:
      method: its name. rival: of a method that needs no emotions, if any.

    Raises:
      UserError: no face has a known emotion.
    """
    ((stream, facts),) = context.streams.items()
    shown = [e for e, count in zip(au_names.EMOTIONS, facts.emotions, strict=False) if count]
    if not shown:
        instead = f", or take method {rival}" if rival else ""
        raise UserError(
            f"no face of stream '{stream}' has a known emotion, which method {method} learns from; "
            f"name a split of a data set that has them{instead}"
        )
    return shown


def emotion_classes(learned: Sequence[str]) -> jax.Array:
    """The class of each code of a batch's `emotion`, int32 [9]: its place in `learned`, or -1.

    The last entry is that of an unknown emotion, whose code is -1.
    """
    codes = (*au_names.EMOTIONS, "")
    return jnp.array([learned.index(e) if e in learned else -1 for e in codes], jnp.int32)


def keep_all(params: PyTree, batch_stats: PyTree, method_state: PyTree) -> Variables:
    """What is kept of a state for prediction when the trained network itself predicts."""
    del method_state
    return {"params": params, "batch_stats": batch_stats}


def tell_no_aus(variables: Variables, images: jax.Array, pose: jax.Array) -> jax.Array:
    """What a pretraining predicts: logits float32 [B, 0]."""
    del variables, pose
    return jnp.zeros((len(images), 0))


@dataclasses.dataclass(frozen=True)
class Method:
    """The pure functions of one training objective over a batch of named streams.

    Attributes:
      aus: the AUs that `predict` returns, in order.
      init: key -> (params, batch_stats, method_state). `method_state` is any pytree: queues,
        momentum networks, label tables. `batch_stats` is {} of a network without BatchNorm.
      loss: (params, batch_stats, method_state, batch, step, key) -> (loss, (batch_stats,
        method_state, logs)); `step` is int32, the updates done before; `logs` are scalars by name.
      predict: (variables, images uint8 [B, H, W, 3], pose float32 [B, 3]) -> logits float32 [B, A];
        of a pretraining, which has no AUs, it needs not be given.
      kept: (params, batch_stats, method_state) -> the variables that `predict` takes and that every
        epoch's checkpoint holds (the averaged network for a mean teacher).
      after_update: (params, method_state, step) -> method_state, after the optimiser's update;
        `step` is the one that `loss` got.
      end_of_epoch: (state, passes) -> state, once an epoch; `passes(stream)` iterates over the
        device batches of that stream's source in order, padded, `valid` marking what counts.
      started: (params, batch_stats, method_state) -> method_state, where a training begins with
        other weights than those of `init`.
      label_tables: method_state -> {stream: float32 [N, A]}, the probabilities that the method
        holds of a stream's records, kept every epoch for reports.
      unlabelled: the streams whose AU labels the method does not read.
      identified: the streams whose batches need the field `identity`, int32 [b]: from 0 to
        `StreamFacts.identities` - 1, one number for each subject; -1 where it has no name.
      sharded: the top-level names of params whose arrays, and the optimiser's of them, are split
        along their first axis over the devices; see `sharding.padded` for its length.
      notes: sentences that a training says of its data when it begins.
    """

    aus: tuple[str, ...]
    init: Callable[[jax.Array], tuple[PyTree, PyTree, PyTree]]
    loss: Callable[..., tuple[jax.Array, tuple[PyTree, PyTree, dict[str, jax.Array]]]]
    predict: Callable[[Variables, jax.Array, jax.Array], jax.Array] = tell_no_aus
    kept: Callable[[PyTree, PyTree, PyTree], Variables] = keep_all
    after_update: Callable[[PyTree, PyTree, jax.Array], PyTree] | None = None
    end_of_epoch: Callable[..., Any] | None = None
    started: Callable[[PyTree, PyTree, PyTree], PyTree] | None = None
    label_tables: Callable[[PyTree], dict[str, jax.Array]] | None = None
    unlabelled: tuple[str, ...] = ()
    identified: tuple[str, ...] = ()
    sharded: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
