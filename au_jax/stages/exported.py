"""A model that is there already, such as the starter, scored on labelled faces as it is."""

import dataclasses
from collections.abc import Iterator
from typing import Annotated

import numpy as np

from au_jax import aus, log, starter
from au_jax.allowed import Group, Text
from au_jax.data.pipeline import ordered_batches
from au_jax.data.records import Crop
from au_jax.data.sources import Source
from au_jax.data.split_name import Split
from au_jax.ensemble import calibration, selection
from au_jax.ensemble.predictor import Predictor, opened
from au_jax.errors import UserError
from au_jax.stages.base import Stage, StageContext, score_once

_BATCH = 64


@dataclasses.dataclass(frozen=True)
class Exported(Stage):
    """What a finished model says of images, with nothing learned.

    It writes scores/SPLIT/1.npz for every split of `validate` and `test`. The logit of the
    probability less that of the AU's threshold stands for the logit: the model decides at its
    thresholds what such a logit decides at 0. AUs that the model or the data lack are left out.

    Attributes:
      folder: an exported folder, the folder of a run, or "starter", as `au_jax.load` takes it.
      group: the AUs that are scored.
      crop: a crop that is stored (the networks read their own).
      validate, test: splits that are scored.
    """

    folder: Annotated[str, Text(least=1)] = starter.NAME
    group: Group = "all"
    crop: Crop = "closeup"
    validate: tuple[Split, ...] = ("opt-val",)
    test: tuple[Split, ...] = ("test",)

    def check(self, context: StageContext) -> None:
        """Finds now whether there is a model.

        Raises:
          UserError: there is none.
        """
        del context
        opened(starter.folder_of(self.folder), None)

    def run(self, context: StageContext) -> None:
        """Scores the model.

        Raises:
          UserError: see `check`; the model is damaged; or it tells none of the AUs of the data.
        """
        chosen, networks = opened(starter.folder_of(self.folder), None)

        def logits_of(source: Source) -> tuple[np.ndarray, tuple[str, ...]]:
            names = tuple(au for au in aus.group(source.aus, self.group) if au in chosen.aus)
            if not names:
                raise UserError(
                    f"'{source.name}' labels {', '.join(source.aus)}, and {self.folder} tells "
                    f"{', '.join(chosen.aus)}; name a data set that has one of these"
                )
            # Without the networks that vote on other AUs alone, nor the crops that only they read.
            predictor = Predictor(selection.on(chosen, names), networks)
            sources = {
                crop: dataclasses.replace(
                    context.source(source.name, crop), size=side, decoded=None
                )
                for crop, side in predictor.crops.items()
            }
            said = np.concatenate(list(_probabilities(predictor, sources, context.threads)))
            above = calibration.logits_of(said[: len(source)])
            log.say(f"  {source.name}: {len(source)} faces scored for {len(names)} AUs")
            return above - calibration.logits_of(predictor.selection.thresholds), names

        score_once(context, (*self.validate, *self.test), self.crop, logits_of)


def _probabilities(
    predictor: Predictor, sources: dict[str, Source], threads: int
) -> Iterator[np.ndarray]:
    """The probabilities float32 [_BATCH, A] of each batch; the last one is filled up."""
    streams = [ordered_batches(source, _BATCH, threads) for source in sources.values()]
    total = -(-len(next(iter(sources.values()))) // _BATCH)
    with log.progress("scoring", total, "batch") as bar:
        for batches in zip(*streams, strict=True):
            images = {crop: batch["image"] for crop, batch in zip(sources, batches, strict=True)}
            yield predictor.probabilities(images, batches[0]["pose"])
            bar.update()
