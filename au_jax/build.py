"""From a config to sources, methods, optimisers and stages: the only reader of configs."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from au_jax import artefacts, aus, losses, methods, sharding
from au_jax.artefacts import RunFolder, StageFolder
from au_jax.data import datasets
from au_jax.data.pipeline import Stream
from au_jax.data.sources import Source
from au_jax.data.splits import Splits
from au_jax.data.synthetic_faces.builder import noisy_truth
from au_jax.errors import UserError, known
from au_jax.models import pretrained
from au_jax.stages.filter_labels import filter_labels
from au_jax.stages.pose_svm import pose_svm
from au_jax.stages.pseudo_label import pseudo_label
from au_jax.stages.select import Rules, select
from au_jax.stages.train import Training, train
from au_jax.trained import About, restore

# What may differ between calls on one workdir: it changes no result.
FREE = ("data.threads",)


def flat(config: ConfigDict) -> dict[str, Any]:
    """{dotted field: plain value} of all that a workdir belongs to."""

    def walk(section: Mapping[str, Any], prefix: str):
        for name, value in section.items():
            if isinstance(value, Mapping):
                yield from walk(value, f"{prefix}{name}.")
            else:
                yield prefix + name, list(value) if isinstance(value, tuple) else value

    return {k: v for k, v in walk(config.to_dict(), "") if k not in FREE}


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
                raise known("stage in config.order", name, config.stages)
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
            for suffix in artefacts.suffixes(self.config.seeds, self.config.folds)
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
            raise known(f"kind of stage {name}", stage.kind, kinds)
        return functools.partial(kinds[stage.kind], stage, self.run.stage(name))

    def _resolved(self, name: str) -> ConfigDict:
        """The stage's config, its unset fields taken from the top.

        A stage of another seed or fold reads the stages of that seed and fold.
        """
        base, suffix, seed, fold = artefacts.parted(name)
        stage = self.config.stages[base].copy_and_resolve_references()
        with stage.unlocked():
            stage.fold = fold
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
            raise known(f"stage that {asking.name} reads", name, self.config.order)
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
                labels = artefacts.read_arrays(
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
            source, faces = source.aligned(names), source.table.face
            source = source.subset(faces)
            if not (source.table.labels != aus.UNKNOWN).any():
                raise UserError(
                    f"stream '{name}' of stage {folder.name} (split {fields.split}) has no record "
                    f"with a label of {', '.join(names)}; name a split or a stage that has"
                )
            columns = {field: column[faces] for field, column in columns.items()}
            columns |= self._truth(source, fields.split, names)
            streams[name] = Stream(source, fields.share, columns)
        return streams

    def _truth(self, source: Source, split: str, names: Sequence[str]) -> dict[str, np.ndarray]:
        """The true labels of a split with wrong ones, where they are known: for reports only."""
        if self.config.data.name != "synthetic_faces" or split != "noisy":
            return {}
        keys, own, labels = noisy_truth(self.data_folder())
        rows = {key: row for row, key in enumerate(keys.tolist())}
        at = np.array([rows[key] for key in source.table.keys.tolist()])
        return {"true": aus.align(labels[at], own.tolist(), names)}

    def training(self, stage: ConfigDict, folder: StageFolder) -> tuple[Training, About]:
        """The training stage's parts, and what its checkpoints say of themselves."""
        sources = self._sources(stage)
        names = aus.check(stage.aus) or aus.group(
            sources(stage.validate[0], stage.crop).aus, stage.group
        )
        streams = self._streams(stage, folder, names)
        if stage.epoch_stream not in streams:
            raise known(f"epoch_stream of stage {folder.name}", stage.epoch_stream, streams)
        lead = streams[stage.epoch_stream]
        steps = stage.train.steps_per_epoch or max(1, len(lead.source) // lead.share)
        spec = _spec(stage, folder.name, names, streams)
        crop_size = lead.source.images(np.array([0])).shape[1]
        about = About(stage.method, spec, stage.crop, crop_size, self.config.data.name)
        optimizer, schedule = make_optimizer(stage.optimizer, stage.train.epochs * steps)
        training = Training(
            method=about.create(),
            optimizer=optimizer,
            learning_rate=schedule,
            streams=streams,
            validation={split: sources(split, stage.crop) for split in stage.validate},
            epochs=stage.train.epochs,
            steps_per_epoch=steps,
            seed=self.config.seed + stage.seed,
            threads=self.config.data.threads,
            score_batch=stage.train.score_batch,
            keep=self.config.checkpoint.keep,
            start=self._start(stage, folder),
        )
        return training, about

    def _start(self, stage: ConfigDict, folder: StageFolder) -> Callable | None:
        """(params, batch_stats) as initialised -> those that the stage starts from."""
        if stage.start:
            return functools.partial(_continue_from, self._input(stage.start, folder), self.mesh)
        if stage.model.weights:
            return functools.partial(_import_weights, stage.model)
        return None

    def first_training(self) -> tuple[str, Training]:
        """The first training stage's name and parts, for a benchmark.

        Raises:
          UserError: the config trains nothing.
        """
        for name in self.config.order:
            if self.config.stages[name].kind == "train":
                return name, self.training(self._resolved(name), self.run.stage(name))[0]
        raise UserError(f"config {self.config.name} has no training stage to measure")

    def _train(self, stage: ConfigDict, folder: StageFolder) -> None:
        training, about = self.training(stage, folder)
        about.write(folder)
        counts = {name: s.source.table.labels for name, s in training.streams.items()}
        artefacts.write_json(
            folder.label_counts,
            {
                name: {
                    "rows": len(labels),
                    "of": dict(zip(about.aus, _counts(labels), strict=True)),
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


def _spec(
    stage: ConfigDict, name: str, names: Sequence[str], streams: Mapping[str, Stream]
) -> dict[str, Any]:
    """What the `create` of the stage's method asks for, by name, in JSON-able values.

    Raises:
      UserError: an option of the stage is none of the method's, or one is missing.
    """
    model, lead = stage.model, streams[stage.epoch_stream].source
    found: dict[str, Callable[[], Any]] = {
        "aus": lambda: list(names),
        "network": lambda: {
            "backbone": model.backbone,
            "precision": model.precision,
            "dropout": model.dropout,
            "pose_branch": model.pose_branch,
            **_pose_statistics(lead.table.pose),
            "fields": {field: model[field] for field in ("padding", "bn_epsilon", "bn_momentum")},
        },
        "image_size": lambda: model.image_size,
        "augmentation": stage.augmentation.to_dict,
        "streams": lambda: list(streams),
        "heads": lambda: {stream: fields.head for stream, fields in stage.streams.items()},
        "predict_head": lambda: stage.predict_head,
        "class_weights": lambda: {
            stream: losses.damped_class_weights(*_balance(s), stage.loss.damping).tolist()
            for stream, s in streams.items()
        },
        "label_smoothing": lambda: stage.loss.label_smoothing,
        "epochs": lambda: stage.train.epochs,
        "noisy_records": lambda: len(streams["noisy"].source) if "noisy" in streams else 0,
    }
    if stage.method not in methods.METHODS:
        raise known(f"method of stage {name}", stage.method, methods.METHODS)
    asked = inspect.signature(methods.METHODS[stage.method]).parameters
    for option in stage.options:
        if option not in asked or option in found:
            options = [own for own in asked if own not in found]
            raise known(f"option of stage {name}", option, options)
    options = stage.options.to_dict()
    missing = [own for own in asked if own not in found and own not in options]
    if missing:
        raise UserError(
            f"stage {name} lacks the options {', '.join(missing)} of its method {stage.method}"
        )
    return {own: found[own]() if own in found else _plain(options[own]) for own in asked}


def _balance(stream: Stream) -> tuple[np.ndarray, np.ndarray]:
    """How many known labels of each AU are present and absent, float64 [A]; soft ones in parts."""
    labels = stream.columns.get("soft", stream.source.table.labels).astype(np.float64)
    known_ones = labels >= 0
    return (labels * known_ones).sum(0), ((1 - labels) * known_ones).sum(0)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _continue_from(
    folder: StageFolder, mesh: Mesh, params: Any, batch_stats: Any
) -> tuple[Any, Any]:
    """The trained network of another stage, in the place of the one given.

    Raises:
      UserError: the two are of different shapes.
    """
    variables = restore(folder, About.read(folder).create(), folder.epochs()[-1], mesh)
    mine = {"params": params, "batch_stats": batch_stats}
    shapes = [
        {
            jax.tree_util.keystr(path, simple=True, separator="/"): leaf.shape
            for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
        }
        for tree in (variables, mine)
    ]
    for leaf in sorted(shapes[0].keys() | shapes[1].keys()):
        theirs, ours = (own.get(leaf, "absent") for own in shapes)
        if theirs != ours:
            raise UserError(
                f"stage {folder.name} cannot be started from: its '{leaf}' is {theirs}, and here "
                f"it is {ours}; give both stages one method, network and AU list"
            )
    variables = jax.device_get(variables)
    return variables["params"], variables["batch_stats"]


def _import_weights(model: ConfigDict, params: dict, batch_stats: dict) -> tuple[dict, dict]:
    """Puts the ImageNet weights of `model.weights` into every backbone of a method's network."""
    if "backbone" in params:
        loaded, stats = pretrained.load(
            Path(model.weights), model.backbone, params["backbone"], batch_stats["backbone"]
        )
        return {**params, "backbone": loaded}, {**batch_stats, "backbone": stats}
    pairs = {
        name: _import_weights(model, params[name], batch_stats[name])
        for name in params
        if isinstance(params[name], dict) and name in batch_stats
    }
    return (
        params | {name: p for name, (p, _) in pairs.items()},
        batch_stats | {name: s for name, (_, s) in pairs.items()},
    )


def _pose_statistics(pose: np.ndarray) -> dict[str, list[float]]:
    """Mean and spread of the known head angles, degrees; 0 and 1 where none is known."""
    known_rows = pose[~np.isnan(pose).any(1)]
    if not len(known_rows):
        return {"pose_mean": [0.0] * 3, "pose_std": [1.0] * 3}
    return {
        "pose_mean": known_rows.mean(0).tolist(),
        "pose_std": np.maximum(known_rows.std(0), 1e-3).tolist(),
    }


def _counts(labels: np.ndarray) -> list[list[int]]:
    """How often each AU is present, absent, unknown in `labels` int8 [N, A]: [A][3]."""
    codes = (aus.PRESENT, aus.ABSENT, aus.UNKNOWN)
    return np.stack([(labels == code).sum(0) for code in codes], -1).tolist()


def make_optimizer(
    config: ConfigDict, steps: int
) -> tuple[optax.GradientTransformation, optax.Schedule]:
    """The optimiser and its learning-rate schedule over `steps` updates.

    Weight decay is the L2 penalty of the papers: decay times the kernels joins the gradient.
    """
    rate = config.learning_rate
    if config.schedule == "steps":
        at = {round(b * steps): config.factor for b in config.boundaries}
        schedule = optax.piecewise_constant_schedule(rate, at)
    elif config.schedule == "cosine":
        schedule = optax.cosine_decay_schedule(rate, steps)
    elif config.schedule == "constant":
        schedule = optax.constant_schedule(rate)
    else:
        raise known("optimizer.schedule", config.schedule, ("steps", "cosine", "constant"))
    if config.name == "sgd":
        update = optax.sgd(schedule, momentum=config.momentum or None)
    elif config.name == "adam":
        update = optax.adam(schedule)
    else:
        raise known("optimizer.name", config.name, ("sgd", "adam"))

    def kernels(params):
        return jax.tree_util.tree_map_with_path(lambda p, _: p[-1].key == "kernel", params)

    decay = optax.add_decayed_weights(config.weight_decay, mask=kernels)
    return optax.chain(decay, update), schedule


def check_workdir(config: ConfigDict, run: RunFolder, may_select_otherwise: bool = False) -> None:
    """Writes the config into a new workdir; in an old one, checks that it is the same.

    Args:
      may_select_otherwise: the stages that select may differ; the config's own then count.

    Raises:
      UserError: the workdir belongs to another config; names the fields that differ.
    """
    mine = flat(config)
    if not run.config.exists():
        artefacts.write_json(run.config, mine)
        return
    theirs = artefacts.read_json(run.config)
    free = tuple(
        f"stages.{name}."
        for name, stage in config.stages.items()
        if may_select_otherwise and stage.kind == "select"
    )
    differing = [
        f"{k} ({theirs.get(k, 'absent')} there, {mine.get(k, 'absent')} here)"
        for k in sorted(mine.keys() | theirs.keys())
        if mine.get(k) != theirs.get(k) and not k.startswith(free or "\n")
    ]
    if differing:
        shown = "; ".join(differing[:8]) + ("; ..." if len(differing) > 8 else "")
        raise UserError(
            f"{run.path} belongs to another config; it differs in {shown}. Give another --workdir, "
            "or the config that made it"
        )
    artefacts.write_json(run.config, mine)
