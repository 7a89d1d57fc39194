"""From a config to sources, methods, optimisers and stages."""

import functools
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from au_jax import aus, methods, run_dir, sharding
from au_jax.data import datasets
from au_jax.data.pipeline import Stream
from au_jax.data.sources import Source
from au_jax.data.splits import Splits
from au_jax.data.synthetic_faces.builder import noisy_truth
from au_jax.errors import UserError, unknown
from au_jax.experiment.method_context import method_context, method_options
from au_jax.experiment.optimizer import make_optimizer
from au_jax.methods import Method
from au_jax.run_dir import RunFolder, StageFolder
from au_jax.stages.filter_labels import filter_labels
from au_jax.stages.pose_svm import pose_svm
from au_jax.stages.pseudo_label import pseudo_label
from au_jax.stages.select import Rules, select
from au_jax.training.loop import Training, train
from au_jax.training.model_card import ModelCard
from au_jax.training.start import continue_from, import_weights


class Build:
    """Makes the parts of one run from its config.

    Attributes:
      config: the whole config. run: its folder. data_dir: where data sets lie. mesh: the devices.
      voting: the runs whose trained stages selections are made from.
    """

    def __init__(
        self,
        config: ConfigDict,
        run: RunFolder,
        data_dir: Path,
        voting: Sequence[RunFolder] = (),
    ):
        self.config, self.run, self.data_dir = config, run, data_dir
        self.voting = tuple(voting) or (run,)
        for name in config.order:
            if name not in config.stages:
                raise unknown("stage in config.order", name, config.stages)
        available = len(jax.devices())
        if config.devices > available:
            raise UserError(
                f"--config.devices={config.devices}, but this machine has {available}; give at "
                f"most {available}, or 0 for all"
            )
        self.mesh: Mesh = sharding.make_mesh(config.devices or None)

    @property
    def names(self) -> list[str]:
        """Every stage of the run: those of the config's order, once for each seed and fold."""
        return [
            name + suffix
            for suffix in run_dir.suffixes(self.config.seeds, self.config.folds)
            for name in self.config.order
        ]

    def kind(self, name: str) -> str:
        return self._resolved(name).kind

    def stage(self, name: str) -> Callable[[], None]:
        """What runs (or goes on with) the stage `name`.

        Raises:
          UserError: the stage is of an unknown kind, or names what does not exist.
        """
        kinds = {
            "train": self._train,
            "pseudo_label": self._pseudo_label,
            "filter_labels": self._filter_labels,
            "select": self._select,
            "pose_svm": self._pose_svm,
        }
        stage = self._resolved(name)
        if stage.kind not in kinds:
            raise unknown(f"kind of stage {name}", stage.kind, kinds)
        return functools.partial(kinds[stage.kind], stage, self.run.stage(name))

    def _resolved(self, name: str) -> ConfigDict:
        """The stage's config, its unset fields taken from the top.

        A stage of another seed or fold reads the stages of that seed and fold.
        """
        base, suffix, seed, fold = run_dir.parted(name)
        stage = self.config.stages[base].copy_and_resolve_references()
        with stage.unlocked():
            stage.fold = fold
            stage.name = name
        if "inputs" in stage:
            stage.inputs = tuple(read + suffix for read in stage.inputs)
        if "seed" in stage:
            stage.seed += seed
        for field in ("teacher", "start"):
            if stage.get(field):
                stage[field] += suffix
        for fields in stage.get("streams", {}).values():
            fields.labels += suffix if fields.labels else ""
        for section in self.config:
            if section in stage and isinstance(stage[section], ConfigDict):
                whole = self.config[section].copy_and_resolve_references()
                whole.update({k: v for k, v in stage[section].items() if v is not None})
                stage[section] = whole
        return stage

    @functools.cache  # noqa: B019  (one Build lives as long as the process)
    def data_folder(self, name: str = "") -> Path:
        """The folder of a data set, "" for the config's own."""
        name = name or self.config.data.name
        if name == "synthetic_faces":
            return datasets.synthetic(self.data_dir, **self.config.data.synthetic)
        return datasets.prepared(self.data_dir, name)

    @functools.cached_property
    def _splits(self) -> Splits:
        data = self.config.data
        return Splits(
            self.data_folder,
            data.val_fraction,
            data.split_seed,
            size=data.size,
            present_from=data.present_from,
            folds=data.folds,
            count=self.config.folds,
        )

    @functools.cache  # noqa: B019
    def source(self, split: str, crop: str, fold: int = 0) -> Source:
        return self._splits.open(split, crop, fold)

    def _sources(self, stage: ConfigDict) -> Callable[[str, str], Source]:
        """(split, crop) -> the records, in the stage's fold."""
        return functools.partial(self.source, fold=stage.fold)

    def _input(self, name: str, asking: StageFolder, run: RunFolder | None = None) -> StageFolder:
        """The folder of a stage that `asking` reads."""
        if name not in self.names:
            raise unknown(f"stage that {asking.name} reads", name, self.config.order)
        folder = (run or self.run).stage(name)
        if not folder.done and run not in (None, self.run):
            raise UserError(f"{folder.path} is not a finished stage; name finished runs in --from")
        if not folder.done:
            raise UserError(
                f"stage {asking.name} reads {name}, which has not run; put it first in config.order"
            )
        return folder

    def _streams(self, stage: ConfigDict, folder: StageFolder, names) -> dict[str, Stream]:
        streams = {}
        for name, fields in stage.streams.items():
            source = self._sources(stage)(fields.split, stage.crop)
            columns = {}
            if fields.labels:
                labels = run_dir.read_arrays(
                    self._input(fields.labels, folder).labels(fields.split)
                )
                own = labels["aus"].tolist()
                source = source.with_labels(labels["keys"], own, labels["labels"])
                if fields.soft:
                    columns["soft"] = aus.align(labels["probabilities"], own, names)
            elif fields.soft:
                raise UserError(
                    f"stream '{name}' of stage {folder.name} is soft; name the stage that labels it"
                )
            faces = source.table.face
            source = self._learned(source, names)
            columns = {field: column[faces] for field, column in columns.items()}
            columns |= self._truth(source, fields.split, names)
            streams[name] = Stream(source, fields.share, columns)
        return streams

    def _learned(self, source: Source, names: Sequence[str]) -> Source:
        """What a stream learns of `source`: the AUs `names` of the records with a face."""
        source = source.aligned(names)
        return source.subset(source.table.face)

    def _method(
        self,
        stage: ConfigDict,
        names: Sequence[str],
        streams: dict[str, Stream],
        checked: Collection[str],
    ) -> tuple[Method, ModelCard]:
        """The stage's method and its card; those of `streams` that are `checked` have labels."""
        if stage.epoch_stream not in streams:
            raise unknown(f"epoch_stream of stage {stage.name}", stage.epoch_stream, streams)
        lead = streams[stage.epoch_stream]
        steps = stage.train.steps_per_epoch or max(1, len(lead.source) // lead.share)
        context, options = method_context(stage, names, streams, steps), method_options(stage)
        try:
            method = methods.create(stage.method, context, options)
        except UserError as error:
            raise UserError(f"stage {stage.name}: {error}") from error
        for stream in checked:
            labels = streams[stream].source.table.labels
            if stream not in method.unlabelled and not (labels != aus.UNKNOWN).any():
                split = stage.streams[stream].split
                raise UserError(
                    f"stream '{stream}' of stage {stage.name} (split {split}) has no record with a "
                    f"label of {', '.join(names)}; name a split or a stage that has"
                )
        crop_size, data = lead.source.images(np.array([0])).shape[1], self.config.data.name
        return method, ModelCard(stage.method, options, context, stage.crop, crop_size, data)

    def check_streams(self) -> None:
        """Finds a stream with nothing to learn from before the first stage runs, not hours later.

        So it does an option that the stage's method does not take. Streams whose labels another
        stage makes are looked at when that stage is done.
        """
        for name in self.names:
            stage = self._resolved(name)
            if stage.kind != "train":
                continue
            names = self._names(stage)
            streams = {
                stream: Stream(
                    self._learned(self._sources(stage)(fields.split, stage.crop), names),
                    fields.share,
                )
                for stream, fields in stage.streams.items()
            }
            checked = [stream for stream, fields in stage.streams.items() if not fields.labels]
            self._method(stage, names, streams, checked)

    def _names(self, stage: ConfigDict) -> tuple[str, ...]:
        """The AUs that a training stage learns."""
        first = self._sources(stage)(stage.validate[0], stage.crop)
        return aus.check(stage.aus) or aus.group(first.aus, stage.group)

    def _truth(self, source: Source, split: str, names: Sequence[str]) -> dict[str, np.ndarray]:
        """The true labels of a split with wrong ones, where they are known: for reports only."""
        if self.config.data.name != "synthetic_faces" or split != "noisy":
            return {}
        keys, own, labels = noisy_truth(self.data_folder())
        rows = {key: row for row, key in enumerate(keys.tolist())}
        at = np.array([rows[key] for key in source.table.keys.tolist()])
        return {"true": aus.align(labels[at], own.tolist(), names)}

    def training(self, stage: ConfigDict, folder: StageFolder) -> tuple[Training, ModelCard]:
        """The training stage's parts, and what its checkpoints say of themselves."""
        sources, names = self._sources(stage), self._names(stage)
        streams = self._streams(stage, folder, names)
        method, card = self._method(stage, names, streams, streams)
        optimizer, schedule = make_optimizer(stage.optimizer, card.context.steps)
        training = Training(
            method=method,
            optimizer=optimizer,
            learning_rate=schedule,
            streams=streams,
            validation={split: sources(split, stage.crop) for split in stage.validate},
            epochs=card.context.epochs,
            steps_per_epoch=card.context.steps_per_epoch,
            seed=self.config.seed + stage.seed,
            threads=self.config.data.threads,
            score_batch=stage.train.score_batch,
            keep=self.config.checkpoint.keep,
            start=self._start(stage, folder),
        )
        return training, card

    def _start(self, stage: ConfigDict, folder: StageFolder) -> Callable | None:
        """(params, batch_stats) as initialised -> those that the stage starts from."""
        if stage.start:
            return functools.partial(continue_from, self._input(stage.start, folder), self.mesh)
        if stage.model.weights:
            return functools.partial(
                import_weights, Path(stage.model.weights), stage.model.backbone
            )
        return None

    def trainings(self) -> dict[str, Training]:
        """The training stages that need no other stage's work, for a benchmark.

        Of those with one method, network and number of streams, the first.

        Raises:
          UserError: the config trains nothing.
        """
        found: dict[tuple, str] = {}
        for name in self.config.order:
            stage = self.config.stages[name]
            if stage.kind == "train" and not stage.start:
                if any(fields.labels for fields in stage.streams.values()):
                    continue
                network = self._resolved(name).model.backbone
                found.setdefault((stage.method, network, len(stage.streams)), name)
        if not found:
            raise UserError(f"config {self.config.name} has no training stage to measure")
        return {
            name: self.training(self._resolved(name), self.run.stage(name))[0]
            for name in found.values()
        }

    def _train(self, stage: ConfigDict, folder: StageFolder) -> None:
        training, card = self.training(stage, folder)
        card.write(folder)
        counts = {name: s.source.table.labels for name, s in training.streams.items()}
        run_dir.write_json(
            folder.label_counts,
            {
                name: {
                    "rows": len(labels),
                    "of": dict(zip(card.aus, _counts(labels), strict=True)),
                }
                for name, labels in counts.items()
            },
        )
        train(folder, training, self.mesh)

    def _pseudo_label(self, stage: ConfigDict, folder: StageFolder) -> None:
        pseudo_label(
            folder,
            teacher=self._input(stage.teacher, folder),
            split=stage.split,
            source=self._sources(stage),
            mesh=self.mesh,
            threads=self.config.data.threads,
        )

    def _filter_labels(self, stage: ConfigDict, folder: StageFolder) -> None:
        filter_labels(
            folder,
            teacher=self._input(stage.teacher, folder),
            split=stage.split,
            threshold=stage.threshold,
            source=self._sources(stage),
            mesh=self.mesh,
            threads=self.config.data.threads,
        )

    def _pose_svm(self, stage: ConfigDict, folder: StageFolder) -> None:
        splits = dict.fromkeys((*stage.validate, *stage.test))
        pose_svm(
            folder,
            train=self._sources(stage)(stage.split, stage.crop),
            score=[self._sources(stage)(split, stage.crop) for split in splits],
        )

    def _select(self, stage: ConfigDict, folder: StageFolder) -> None:
        select(
            folder,
            inputs=[
                (run, self._input(name, folder, run))
                for run in self.voting
                for name in stage.inputs
            ],
            split=stage.split,
            test=stage.test,
            rules=Rules(stage.epochs, stage.combine, stage.thresholds, stage.score),
            crops=stage.crops,
            source=self._sources(stage),
            mesh=self.mesh,
            threads=self.config.data.threads,
        )


def _counts(labels: np.ndarray) -> list[list[int]]:
    """How often each AU is present, absent, unknown in `labels` int8 [N, A]: [A][3]."""
    codes = (aus.PRESENT, aus.ABSENT, aus.UNKNOWN)
    return np.stack([(labels == code).sum(0) for code in codes], -1).tolist()
