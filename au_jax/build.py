"""From a config to sources, methods, optimisers and stages: the only reader of configs."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from au_jax import artefacts, aus, losses, sharding
from au_jax.artefacts import RunFolder, StageFolder
from au_jax.data import datasets
from au_jax.data.pipeline import Stream
from au_jax.data.sources import Source, open_source
from au_jax.errors import UserError, known
from au_jax.models import pretrained
from au_jax.stages.pose_svm import pose_svm
from au_jax.stages.pseudo_label import pseudo_label
from au_jax.stages.select import Rules, select
from au_jax.stages.train import Training, train
from au_jax.trained import About

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
    """

    def __init__(self, config: ConfigDict, run: RunFolder, data_dir: Path):
        self.config, self.run, self.data_dir = config, run, data_dir
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
        """Every stage of the run: those of the config's order, once for each seed."""
        return [
            name + artefacts.seed_suffix(seed)
            for seed in range(self.config.seeds)
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
            "select": self._select,
            "pose_svm": self._pose_svm,
        }
        stage = self._resolved(name)
        if stage.kind not in kinds:
            raise known(f"kind of stage {name}", stage.kind, kinds)
        return functools.partial(kinds[stage.kind], stage, self.run.stage(name))

    def _resolved(self, name: str) -> ConfigDict:
        """The stage's config, its unset fields taken from the top.

        A stage of another seed reads the stages of that seed.
        """
        base, _, number = name.partition(".seed")
        stage = self.config.stages[base].copy_and_resolve_references()
        if number:
            suffix = artefacts.seed_suffix(int(number))
            if "inputs" in stage:
                stage.inputs = tuple(read + suffix for read in stage.inputs)
            if "teacher" in stage:
                stage.teacher += suffix
            if "seed" in stage:
                stage.seed += int(number)
            for fields in stage.get("streams", {}).values():
                fields.labels += suffix if fields.labels else ""
        for section in self.config:
            if section in stage and isinstance(stage[section], ConfigDict):
                whole = self.config[section].copy_and_resolve_references()
                whole.update({k: v for k, v in stage[section].items() if v is not None})
                stage[section] = whole
        return stage

    @functools.cached_property
    def data_folder(self) -> Path:
        data = self.config.data
        if data.name == "synthetic_faces":
            return datasets.synthetic(self.data_dir, **data.synthetic)
        return datasets.prepared(self.data_dir, data.name)

    @functools.cache  # noqa: B019  (one Build lives as long as the process)
    def source(self, split: str, crop: str) -> Source:
        data = self.config.data
        return open_source(
            self.data_folder, split, crop, data.val_fraction, data.split_seed, data.size
        )

    def _input(self, name: str, asking: StageFolder) -> StageFolder:
        """The folder of a stage that `asking` reads."""
        if name not in self.names:
            raise known(f"stage that {asking.name} reads", name, self.config.order)
        folder = self.run.stage(name)
        if not folder.done:
            raise UserError(
                f"stage {asking.name} reads {name}, which has not run; put it first in config.order"
            )
        return folder

    def _streams(self, stage: ConfigDict, folder: StageFolder, names) -> dict[str, Stream]:
        streams = {}
        for name, fields in stage.streams.items():
            source = self.source(fields.split, stage.crop)
            if fields.labels:
                labels = artefacts.read_arrays(
                    self._input(fields.labels, folder).labels(fields.split)
                )
                source = source.with_labels(
                    labels["keys"], labels["aus"].tolist(), labels["labels"]
                )
            source = source.aligned(names).subset(source.table.face)
            if not len(source):
                raise UserError(f"stream '{name}' of stage {folder.name} has no records")
            streams[name] = Stream(source, fields.share)
        return streams

    def training(self, stage: ConfigDict, folder: StageFolder) -> tuple[Training, About]:
        """The training stage's parts, and what its checkpoints say of themselves."""
        names = aus.group(self.source(stage.validate[0], stage.crop).aus, stage.group)
        streams = self._streams(stage, folder, names)
        if stage.epoch_stream not in streams:
            raise known(f"epoch_stream of stage {folder.name}", stage.epoch_stream, streams)
        lead = streams[stage.epoch_stream]
        steps = stage.train.steps_per_epoch or max(1, len(lead.source) // lead.share)
        model = stage.model
        spec = {
            "aus": list(names),
            "network": {
                "backbone": model.backbone,
                "precision": model.precision,
                "dropout": model.dropout,
                "pose_branch": model.pose_branch,
                **_pose_statistics(lead.source.table.pose),
                "fields": {
                    field: model[field] for field in ("padding", "bn_epsilon", "bn_momentum")
                },
            },
            "image_size": model.image_size,
            "augmentation": stage.augmentation.to_dict(),
            "heads": {name: fields.head for name, fields in stage.streams.items()},
            "predict_head": stage.predict_head,
            "class_weights": {
                name: losses.damped_class_weights(
                    (s.source.table.labels == 1).sum(0),
                    (s.source.table.labels == 0).sum(0),
                    stage.loss.damping,
                ).tolist()
                for name, s in streams.items()
            },
            "label_smoothing": stage.loss.label_smoothing,
        }
        crop_size = lead.source.images(np.array([0])).shape[1]
        about = About(stage.method, spec, stage.crop, crop_size, self.config.data.name)
        optimizer, schedule = make_optimizer(stage.optimizer, stage.train.epochs * steps)
        training = Training(
            method=about.create(),
            optimizer=optimizer,
            learning_rate=schedule,
            streams=streams,
            validation={split: self.source(split, stage.crop) for split in stage.validate},
            epochs=stage.train.epochs,
            steps_per_epoch=steps,
            seed=self.config.seed + stage.seed,
            threads=self.config.data.threads,
            score_batch=stage.train.score_batch,
            start=functools.partial(_import_weights, model) if model.weights else None,
        )
        return training, about

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
            source=self.source,
            mesh=self.mesh,
            threads=self.config.data.threads,
        )

    def _pose_svm(self, stage: ConfigDict, folder: StageFolder) -> None:
        splits = dict.fromkeys((*stage.validate, *stage.test))
        pose_svm(
            folder,
            train=self.source(stage.split, stage.crop),
            score=[self.source(split, stage.crop) for split in splits],
        )

    def _select(self, stage: ConfigDict, folder: StageFolder) -> None:
        select(
            folder,
            inputs=[self._input(name, folder) for name in stage.inputs],
            split=stage.split,
            test=stage.test,
            rules=Rules(stage.epochs, stage.combine, stage.thresholds),
            source=self.source,
            mesh=self.mesh,
            threads=self.config.data.threads,
        )


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


def check_workdir(config: ConfigDict, run: RunFolder) -> None:
    """Writes the config into a new workdir; in an old one, checks that it is the same.

    Raises:
      UserError: the workdir belongs to another config; names the fields that differ.
    """
    mine = flat(config)
    if not run.config.exists():
        artefacts.write_json(run.config, mine)
        return
    theirs = artefacts.read_json(run.config)
    differing = [
        f"{k} ({theirs.get(k, 'absent')} there, {mine.get(k, 'absent')} here)"
        for k in sorted(mine.keys() | theirs.keys())
        if mine.get(k) != theirs.get(k)
    ]
    if differing:
        shown = "; ".join(differing[:8]) + ("; ..." if len(differing) > 8 else "")
        raise UserError(
            f"{run.path} belongs to another config; it differs in {shown}. Give another --workdir, "
            "or the config that made it"
        )
