"""A recipe: the stages of a config with their data and devices, each made when it is asked for."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jax.sharding import Mesh
from ml_collections import ConfigDict

from au_jax import log, sharding
from au_jax.data import datasets
from au_jax.data.sources import Source, nameless
from au_jax.data.split_name import SplitName
from au_jax.data.splits import Splits
from au_jax.errors import UserError, unknown
from au_jax.experiment.check import check
from au_jax.experiment.resolve import resolve
from au_jax.files import atomic_files
from au_jax.process import cores
from au_jax.run_dir import RunFolder, StageFolder
from au_jax.stage_name import StageName, fold_numbers
from au_jax.stages import Stage, StageContext
from au_jax.stages.train import Train
from au_jax.training.loop import Training


class Recipe:
    """The stages of one run, and what they need.

    Attributes:
      config: the whole config. run: its folder. data_dir: where data sets lie. mesh: the devices.
      voting: the runs whose trained stages selections are made from.
      names: every stage of the run, in order: those of the config's order for each seed and fold.
    """

    def __init__(
        self,
        config: ConfigDict,
        run: RunFolder,
        data_dir: Path,
        voting: Sequence[RunFolder] = (),
    ):
        """Raises UserError when a field is not what it may be, or there are too few devices."""
        check(config)
        self.config, self.run, self.data_dir = config, run, data_dir
        self.voting = tuple(voting) or (run,)
        available = len(sharding.devices())
        if config.devices > available:
            raise UserError(
                f"--config.devices={config.devices}, but this machine has {available}; give at "
                f"most {available}, or 0 for all"
            )
        self.mesh: Mesh = sharding.make_mesh(config.devices or None)
        self.names = [
            str(StageName(base, seed, fold))
            for seed in range(config.seeds)
            for fold in fold_numbers(config.folds)
            for base in config.order
        ]

    def stage(self, name: str) -> Stage:
        """The stage `name`, its fields resolved; see `resolve`."""
        return resolve(self.config, StageName.parse(name))

    def context(self, name: str) -> StageContext:
        """What the stage `name` is given."""
        parsed = StageName.parse(name)
        return StageContext(
            folder=self.run.stage(name),
            seed=self.config.seed + parsed.seed,
            data=self.config.data.name,
            source=functools.partial(self.source, fold=parsed.fold),
            truth=lambda split: datasets.truth(self.data_folder(), split),
            input=lambda other: self._input(other, name, self.run),
            voters=lambda others: [
                (run, self._input(other, name, run)) for run in self.voting for other in others
            ],
            mesh=self.mesh,
            threads=cores.as_many(self.config.data.threads, "config.data.threads"),
            keep=self.config.checkpoint.keep,
        )

    def _input(self, name: str, reader: str, run: RunFolder) -> StageFolder:
        """The folder of a finished stage that the stage `reader` reads."""
        if name not in self.names:
            raise unknown(f"stage that {reader} reads", name, self.config.order)
        folder = run.stage(name)
        if not folder.done and run != self.run:
            raise UserError(f"{folder.path} is not a finished stage; name finished runs in --from")
        if not folder.done:
            raise UserError(
                f"stage {reader} reads {name}, which is not finished in {run.path}; run the config "
                "to its end first (--mode=run), or name the run's own --workdir"
            )
        return folder

    @functools.cache  # noqa: B019  (one recipe lives as long as the process)
    def data_folder(self, name: str = "") -> Path:
        """The folder of a data set, "" for the config's own."""
        data = self.config.data
        try:
            return datasets.open_folder(self.data_dir, name or data.name, data.synthetic.to_dict())
        except OSError as error:
            raise UserError(
                f"--data_dir={self.data_dir} cannot be used: {atomic_files.reason(error)}; name a "
                "folder that can be written"
            ) from error

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
        source = self._splits.open(split, crop, fold)
        if SplitName.parse(split).part and nameless(source.table):
            self._say_nameless(split)
        return source

    @functools.cache  # noqa: B019  (said once, whatever the crop)
    def _say_nameless(self, split: str) -> None:
        log.say(
            f"'{split}' names no subjects and no videos: who is in it may also be in the other "
            "part, which makes scores look better than they are"
        )

    def data(self) -> dict[str, Any]:
        """What data.json says of the run's data set."""
        return {
            "name": self.config.data.name,
            "drawn": datasets.is_drawn(self.data_folder()),
        }

    def check_networks(self) -> None:
        """Finds from shapes alone what no network can be made of, before any data are opened.

        Raises:
          UserError: see `Stage.check_network`.
        """
        drawn = self.config.data.name == datasets.EMBEDDED
        for name in self.config.order:
            stage = self.stage(name)
            try:
                stage.check_network(self.mesh.devices.size, drawn)
            except UserError as error:
                raise UserError(f"--config.stages.{name}: {error}") from error

    def check(self) -> None:
        """Finds what a stage of the run cannot work with before the first one runs."""
        for name in self.names:
            self.stage(name).check(self.context(name))

    def distinct_trainings(self) -> dict[str, Train]:
        """The training stages that need no other stage's work.

        Of those with one method, network and number of streams, the first.

        Raises:
          UserError: the config trains nothing.
        """
        first: dict[tuple, tuple[str, Train]] = {}
        for name in self.config.order:
            stage = self.stage(name)
            if isinstance(stage, Train) and stage.stands_alone:
                kind = (stage.method, stage.model["backbone"], len(stage.streams))
                first.setdefault(kind, (name, stage))
        if not first:
            raise UserError(f"config {self.config.name} has no training stage to measure")
        return dict(first.values())

    def trainings(self) -> dict[str, Training]:
        """What the `distinct_trainings` train, for a benchmark."""
        return {
            name: stage.prepare(self.context(name))[0].from_disk()
            for name, stage in self.distinct_trainings().items()
        }
