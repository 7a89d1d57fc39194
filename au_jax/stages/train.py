"""Training of one network on streams of labelled faces, by any method.

The stage opens its streams, makes the method from what they hold, and hands both to the one loop
(`training.loop`). How to train (model, optimiser, augmentation, length) comes in sections, which a
config gives once for all stages and overrides for some.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, Self

import jax
import numpy as np
import optax

from au_jax import aus as au_names
from au_jax import log, methods, sharding
from au_jax.allowed import AUs, Group, Line, Name, OneOf, Range, Seed
from au_jax.augment import Augment
from au_jax.data import resampling
from au_jax.data.label_dependence import dependencies
from au_jax.data.pipeline import BatchRows, Stream, batch_shapes
from au_jax.data.records import Crop
from au_jax.data.split_name import Split
from au_jax.errors import UserError, unknown
from au_jax.files import atomic_files, file_forms
from au_jax.methods.base import Context, Method, StreamFacts
from au_jax.models.network_spec import NetworkSpec, of_section
from au_jax.stages.base import Stage, StageContext
from au_jax.training.loop import Training, train
from au_jax.training.model_card import ModelCard
from au_jax.training.optimizer import make_optimizer
from au_jax.training.start import Start, renamed, starting_weights


@dataclasses.dataclass(frozen=True)
class StreamConfig:
    """A part of every batch.

    Attributes:
      split: [DATA:]NAME[-PART][#RECORDS], see `data.splits.SplitName`.
      share: examples of each batch.
      head: the output layer that it trains, where the method has one for each stream.
      labels: the stage whose labels replace the data set's own, if any.
      soft: whether that stage's probabilities are learned, too.
      resample: how a pass repeats and leaves out records, "ml_ros" or "bal" (`data.resampling`), or
        "" for every record once.
      resample_percent: of the records, how many it may repeat, and "bal" leave out; 25 is ours.
      balanced: whether every batch holds a positive and a negative of every AU
        (`data.balanced_batches`).
    """

    split: Split
    share: Annotated[int, Range(ge=1, le=100_000)]
    head: Name = "opt"
    labels: Line = ""
    soft: bool = False
    resample: Annotated[str, OneOf(("", *resampling.RULES))] = ""
    resample_percent: Annotated[float, Range(ge=0, le=1000)] = 25.0
    balanced: bool = False


class Outline(NamedTuple):
    """A training without its data: `batch` has `jax.ShapeDtypeStruct`s in the place of arrays."""

    method: Method
    optimizer: optax.GradientTransformation
    batch: dict[str, dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Train(Stage):
    """One training.

    Attributes:
      streams: by name, the fields of `StreamConfig`.
      epoch_stream: an epoch is one pass over this one, unless train.steps_per_epoch says otherwise.
      crop: the stored crop to read.
      model, optimizer, augmentation, train: the sections of the config, see configs/base.py.
      group: the AUs to learn: expression, pose, emotionet_2018 or all of the data set's.
      aus: or the AUs by name, in this order.
      validate: splits that every epoch is scored on; none for a pretraining that tells no AUs.
      method: a name of `au_jax.methods`, or module:function; `options` are the keyword arguments
        of its `create`.
      start: the train stage that is started from, if any: [RUN:]STAGE[@EPOCH], by default its last
        epoch; of another method its backbone alone is taken. Or an exported file, of which also the
        outputs for the same AUs are taken.
      seed: added to the run's.
    """

    streams: Mapping[str, Mapping[str, Any]]
    epoch_stream: Name
    crop: Crop
    model: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    augmentation: Mapping[str, Any]
    train: Mapping[str, Any]
    group: Group = "all"
    aus: AUs = ()
    validate: tuple[Split, ...] = ("opt-val",)
    method: Annotated[str, OneOf(methods.METHODS, outside="method")] = "multi_task"
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    start: Start = ""
    seed: Seed = 0

    def __post_init__(self) -> None:
        """Raises UserError when a stream has an unknown field, or lacks its split or share."""
        known = [field.name for field in dataclasses.fields(StreamConfig)]
        for name, fields in self.streams.items():
            for field in fields:
                if field not in known:
                    raise unknown(f"field of stream '{name}'", field, known)
            for field in ("split", "share"):
                if field not in fields:
                    raise UserError(f"stream '{name}' lacks the field '{field}'")

    def renamed(self, rename: Callable[[str], str]) -> Self:
        streams = {
            name: {**fields, "labels": rename(fields["labels"]) if fields.get("labels") else ""}
            for name, fields in self.streams.items()
        }
        return dataclasses.replace(self, streams=streams, start=renamed(self.start, rename))

    def run(self, context: StageContext) -> None:
        training, card = self.prepare(context)
        card.write(context.folder)
        for note in training.method.notes:
            log.say(f"  {note}")
        atomic_files.write_json(
            context.folder.label_counts, _label_counts(training.streams, card.aus)
        )
        self._keep_given_labels(context, training.streams, card.aus)
        train(context.folder, training, context.mesh)

    def _keep_given_labels(
        self, context: StageContext, streams: Mapping[str, Stream], aus: Sequence[str]
    ) -> None:
        """Keeps the data set's own labels that are learned, where the true ones are known."""
        for name, stream in streams.items():
            fields = StreamConfig(**self.streams[name])
            truth = context.truth(fields.split)
            if truth is None or fields.labels:
                continue
            rows = truth.rows(stream.source.table.keys)
            given = {
                "aus": np.array(aus, np.str_),
                "labels": stream.source.table.labels,
                "true_aus": truth.aus,
                "true": truth.labels[rows],
                "conditions": truth.conditions,
                "held": truth.held[rows],
            }
            atomic_files.write_arrays(context.folder.given_labels(fields.split), given)

    def prepare(self, context: StageContext) -> tuple[Training, ModelCard]:
        """Opens the streams and makes the method: the training, and its checkpoints' card.

        Raises:
          UserError: a stream, split, method, option or backbone is unknown, a stream has nothing
            to learn from, or its share cannot be cut into micro-batches.
        """
        aus = self._aus(context)
        streams = {name: self._open(context, name, aus) for name in self.streams}
        if self.train["accumulate"] > 1:
            shares = {name: stream.share for name, stream in streams.items()}
            sharding.check_shares(shares, context.mesh.devices.size, self.train["accumulate"])
        if self.epoch_stream not in streams:
            raise unknown(
                f"epoch_stream of stage {context.folder.name}", self.epoch_stream, streams
            )
        lead = streams[self.epoch_stream]
        epochs, steps_per_epoch = self.epochs_and_steps(len(lead.rows), lead.share)
        card = ModelCard(
            method=self.method,
            options=dict(self.options),
            context=Context(
                aus=aus,
                network=self._network(lead.source.table.pose),
                augmentation=self._augmentation(),
                streams={name: self._facts(stream, name) for name, stream in streams.items()},
                epochs=epochs,
                steps_per_epoch=steps_per_epoch,
            ),
            crop=self.crop,
            crop_size=lead.source.images(np.array([0])).shape[1],
            data=context.data,
        )
        method = card.create()
        self._check_labelled(streams, method, context)
        streams |= {name: _identified(streams[name]) for name in method.identified}
        BatchRows.of(streams, context.seed, 0)  # finds streams that cannot be balanced
        optimizer, schedule = make_optimizer(**self.optimizer, steps=epochs * steps_per_epoch)
        training = Training(
            method=method,
            optimizer=optimizer,
            learning_rate=schedule,
            streams=streams,
            validation={split: context.source(split, self.crop) for split in self.validate},
            epochs=epochs,
            steps_per_epoch=steps_per_epoch,
            seed=context.seed + self.seed,
            threads=context.threads,
            score_batch=self.train["score_batch"],
            keep=context.keep,
            start=starting_weights(
                self.start, self.model, card.context.network, context.input, context.mesh, aus
            ),
        )
        return training, card

    def outline(self, crop_size: int) -> Outline:
        """The training without its data, for what can be told from shapes alone.

        Taken for granted: streams of 1000 batches each, every record of another subject, every
        emotion among them, and the AUs of EmotioNet where the stage names none.

        Args:
          crop_size: pixels of the stored crops.
        """
        aus = au_names.check(self.aus)
        if self.validate and not aus:
            aus = au_names.group(au_names.EMOTIONET, self.group)
        fields = {name: StreamConfig(**stream) for name, stream in self.streams.items()}
        records = {name: 1000 * stream.share for name, stream in fields.items()}
        epochs, steps_per_epoch = self.epochs_and_steps(
            records[self.epoch_stream], fields[self.epoch_stream].share
        )
        context = Context(
            aus=aus,
            network=self._network(np.full((0, 3), np.nan, np.float32)),
            augmentation=self._augmentation(),
            streams={
                name: StreamFacts(
                    records=records[name],
                    share=stream.share,
                    head=stream.head,
                    positives=(1.0,) * len(aus),
                    negatives=(1.0,) * len(aus),
                    emotions=(1,) * len(au_names.EMOTIONS),
                    identities=records[name],
                )
                for name, stream in fields.items()
            },
            epochs=epochs,
            steps_per_epoch=steps_per_epoch,
        )
        optimizer, _ = make_optimizer(**self.optimizer, steps=context.steps)
        batch = {
            name: {
                field: jax.ShapeDtypeStruct(*shape)
                for field, shape in batch_shapes(
                    stream.share, crop_size, len(aus), stream.soft
                ).items()
            }
            for name, stream in fields.items()
        }
        method = methods.create(self.method, context, self.options)
        for name in method.identified:
            batch[name]["identity"] = jax.ShapeDtypeStruct((fields[name].share,), np.int32)
        return Outline(method, optimizer, batch)

    def check_network(self, devices: int, drawn: bool) -> None:
        """Makes the network, see `outline`, and parts the streams' shares over the devices.

        Raises:
          UserError: see `outline`; the devices do not divide a stream's share.
        """
        shares = {name: stream["share"] for name, stream in self.streams.items()}
        sharding.check_shares(shares, devices)
        # Else the data tell which AUs are learned.
        if drawn or self.aus or not self.validate:
            self.outline(crop_size=1)

    def check(self, context: StageContext) -> None:
        """Finds a stream with nothing to learn from now, not hours later.

        A training is passed over while it waits for another stage's labels.
        """
        if not self._waits:
            dataclasses.replace(self, start="").prepare(context)

    @property
    def stands_alone(self) -> bool:
        """Whether it needs no other stage's work."""
        return not (self.start or self._waits)

    @property
    def _waits(self) -> bool:
        return any(fields.get("labels") for fields in self.streams.values())

    def _aus(self, context: StageContext) -> tuple[str, ...]:
        if not self.validate:
            return au_names.check(self.aus)
        first = context.source(self.validate[0], self.crop)
        return au_names.check(self.aus) or au_names.group(first.aus, self.group)

    def epochs_and_steps(self, records: int, share: int) -> tuple[int, int]:
        """The number of epochs, and of steps in each.

        Args:
          records, share: of the stream that an epoch is a pass over.
        """
        steps_per_epoch = self.train["steps_per_epoch"] or max(1, records // share)
        if self.train["steps"]:
            return max(1, self.train["steps"] // steps_per_epoch), steps_per_epoch
        epochs = math.floor(self.train["epochs"] * self.train["times"] + 1e-9)
        return max(1, epochs), steps_per_epoch

    def _open(self, context: StageContext, name: str, aus: Sequence[str]) -> Stream:
        """One stream: its records that have a face, with the labels that it learns."""
        fields = StreamConfig(**self.streams[name])
        source = context.source(fields.split, self.crop)
        columns = {}
        if fields.labels:
            labels = atomic_files.read_arrays(
                context.input(fields.labels).labels(fields.split), file_forms.MADE_LABELS
            )
            labelled = labels["aus"].tolist()
            source = source.with_labels(labels["keys"], labelled, labels["labels"])
            if fields.soft:
                columns["soft"] = au_names.align(labels["probabilities"], labelled, aus)
        elif fields.soft:
            raise UserError(
                f"stream '{name}' of stage {context.folder.name} is soft; name the stage that "
                "labels it"
            )
        faces = source.table.face
        source = source.aligned(aus).subset(faces)
        columns = {field: column[faces] for field, column in columns.items()}
        truth = context.truth(fields.split)
        if truth is not None:
            labels = truth.labels[truth.rows(source.table.keys)]
            columns["true"] = au_names.align(labels, truth.aus.tolist(), aus)
        resampled = None
        if fields.resample:
            resampled = resampling.resampled_rows(
                fields.resample,
                source.table.labels,
                aus,
                fields.resample_percent,
                context.seed + self.seed,
            )
        return Stream(source, fields.share, columns, resampled, fields.balanced)

    def _check_labelled(
        self, streams: Mapping[str, Stream], method: Method, context: StageContext
    ) -> None:
        for name, stream in streams.items():
            if name in method.unlabelled:
                continue
            if not method.aus:
                raise UserError(
                    f"stage {context.folder.name} learns AUs by method {self.method}, but names "
                    "none; give it aus, or a split to validate on"
                )
            if not (stream.source.table.labels != au_names.UNKNOWN).any():
                raise UserError(
                    f"stream '{name}' of stage {context.folder.name} (split "
                    f"{self.streams[name]['split']}) has no record with a label of "
                    f"{', '.join(method.aus)}; name a split or a stage that has"
                )

    def _facts(self, stream: Stream, name: str) -> StreamFacts:
        labels = stream.columns.get("soft", stream.source.table.labels).astype(np.float64)
        labels = labels if stream.resampled is None else labels[stream.resampled]
        known = labels >= 0
        emotion = stream.source.table.emotion
        return StreamFacts(
            records=len(stream.source),
            share=stream.share,
            head=StreamConfig(**self.streams[name]).head,
            positives=tuple((labels * known).sum(0).tolist()),
            negatives=tuple(((1 - labels) * known).sum(0).tolist()),
            dependencies=tuple(map(tuple, dependencies(labels).tolist())),
            emotions=tuple((emotion == e).sum().item() for e in range(len(au_names.EMOTIONS))),
            identities=len(_subjects(stream)),
        )

    def _network(self, pose: np.ndarray) -> NetworkSpec:
        network = of_section(self.model, pose)
        return dataclasses.replace(network, micro_batches=self.train["accumulate"])

    def _augmentation(self) -> Augment:
        given = {field: value for field, value in self.augmentation.items() if value is not None}
        return Augment(image_size=self.model["image_size"], **given)


def _subjects(stream: Stream) -> np.ndarray:
    """The named subjects of a stream's records, sorted."""
    subjects = np.unique(stream.source.table.subject)
    return subjects[subjects != ""]


def _identified(stream: Stream) -> Stream:
    """The stream with the field `identity`, see `Method.identified`."""
    subject = stream.source.table.subject
    identity = np.where(subject == "", -1, np.searchsorted(_subjects(stream), subject))
    columns = {**stream.columns, "identity": identity.astype(np.int32)}
    return dataclasses.replace(stream, columns=columns)


def _label_counts(streams: Mapping[str, Stream], aus: Sequence[str]) -> dict[str, Any]:
    """How often each AU is present, absent and unknown in one pass over each stream.

    A resampled stream has the same of its records "before".
    """
    counts = {}
    for name, stream in streams.items():
        labels = stream.source.table.labels
        counts[name] = _counts(labels[stream.rows], aus)
        if stream.resampled is not None:
            counts[name]["before"] = _counts(labels, aus)
    return counts


def _counts(labels: np.ndarray, aus: Sequence[str]) -> dict[str, Any]:
    codes = (au_names.PRESENT, au_names.ABSENT, au_names.UNKNOWN)
    by_au = np.stack([(labels == code).sum(0) for code in codes], -1).tolist()
    return {"rows": len(labels), "of": dict(zip(aus, by_au, strict=True))}
