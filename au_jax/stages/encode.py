"""Features of a frozen encoder: those of whole splits, computed once, for probes and maps."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Self

import jax
import numpy as np

from au_jax import log
from au_jax.allowed import Range, Unique
from au_jax.data.records import Crop
from au_jax.data.split_name import Split
from au_jax.models.network_spec import of_section
from au_jax.stages.base import Stage, StageContext
from au_jax.training import memory
from au_jax.training.encoder import Encoder
from au_jax.training.start import Start, renamed, starting_weights


@dataclasses.dataclass(frozen=True)
class Encode(Stage):
    """The pooled features of every face of some splits, seen through the centre crop.

    It keeps the encoder, features/SPLIT.npz of each split, and encoder.json.

    Attributes:
      splits: whose features are computed.
      crop: the stored crop to read.
      model: the section of the config; a random encoder has its weights of the run's seed.
      start: whose backbone is the encoder, [RUN:]STAGE[@EPOCH]; "" for ImageNet weights, where
        `model.weights` names some, or else a random one.
      batch: examples in a batch.
    """

    splits: Annotated[tuple[Split, ...], Unique(least=1)]
    crop: Crop
    model: Mapping[str, Any]
    start: Start = ""
    batch: Annotated[int, Range(ge=1, le=100_000)] = 64

    def renamed(self, rename: Callable[[str], str]) -> Self:
        return dataclasses.replace(self, start=renamed(self.start, rename))

    def check_network(self, devices: int, drawn: bool) -> None:
        """Makes the network.

        Raises:
          UserError: there is no such network.
        """
        del devices, drawn
        of_section(self.model, np.full((0, 3), np.nan, np.float32))

    def run(self, context: StageContext) -> None:
        """Computes the features that are not kept yet.

        Raises:
          UserError: a split or backbone is unknown, the start's backbone is another one, or a batch
            does not fit into the memory.
        """
        folder = context.folder
        sources = {split: context.source(split, self.crop) for split in self.splits}
        first = next(iter(sources.values()))
        encoder = Encoder(
            # Pooled features alone are what it is for: head angles join behind them.
            network=dataclasses.replace(
                of_section(self.model, first.table.pose), pose_branch=False
            ),
            image_size=self.model["image_size"],
            crop=self.crop,
            crop_size=first.images(np.array([0])).shape[1],
        )
        variables = jax.device_get(encoder.init(context.seed))
        start = starting_weights(
            self.start, self.model, encoder.network, context.input, context.mesh
        )
        if start is not None:
            params, batch_stats = start(variables["params"], variables["batch_stats"])
            variables = {"params": params, "batch_stats": batch_stats}
        memory.check_batch(
            encoder.pooled,
            variables,
            sources.values(),
            self.batch,
            context.mesh,
            f"--config.stages.{folder.in_config}.batch",
        )
        encoder.save(folder, variables)
        features_of = encoder.featurizer(variables, context.mesh, self.batch, context.threads)
        for split, source in sources.items():
            if folder.features(split).exists():
                continue
            features = features_of(source)
            if jax.process_index() == 0:
                folder.write_features(split, features)
            log.say(f"  {split}: {len(source)} faces, {features.features.shape[1]} features each")
