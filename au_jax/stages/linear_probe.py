"""Linear probes: logistic regressions on the features of a frozen encoder, one for each AU.

EmoCo (Sun et al., FG 2021), section IV.C, "linear protocol". The probe and its encoder are kept as
one network, as trained stages keep theirs.
"""

import dataclasses
import warnings
from collections.abc import Callable
from typing import Annotated, Self

import jax
import numpy as np

from au_jax import aus as au_names
from au_jax import log, losses, sharding
from au_jax.allowed import AUs, Group, Name, Range, Share
from au_jax.augment import Augment
from au_jax.data.split_name import Split, SplitName
from au_jax.errors import UserError
from au_jax.methods.base import Context, StreamFacts
from au_jax.models.au_net import HEAD_PREFIX
from au_jax.run_dir import Features, StageFolder
from au_jax.stages.base import Stage, StageContext
from au_jax.training.checkpoint import ONLY_EPOCH, save_only
from au_jax.training.encoder import Encoder
from au_jax.training.model_card import ModelCard
from au_jax.training.scoring import NO_FACE_LOGIT, with_labels


@dataclasses.dataclass(frozen=True)
class LinearProbe(Stage):
    """One logistic regression for each AU, by scikit-learn, on standardised features.

    Attributes:
      features: the encode stage that kept the features of all splits named here.
      split: what is learned from: a split with features, or a share of one (`opt-train%10`).
      validate: splits that are scored.
      group: the AUs to learn: expression, pose or all of the data set's. aus: or these.
      damping: alpha of the class weights, see `losses.damped_class_weights`; ours.
      penalty: half of it times the sum of squared weights joins the mean loss; ours.
      iterations: of L-BFGS, at most.
    """

    features: Name
    split: Split
    validate: tuple[Split, ...]
    group: Group = "all"
    aus: AUs = ()
    damping: Share = 0.5
    penalty: Annotated[float, Range(gt=0, le=1000)] = 0.01
    iterations: Annotated[int, Range(ge=1, le=10**6)] = 200

    def renamed(self, rename: Callable[[str], str]) -> Self:
        return dataclasses.replace(self, features=rename(self.features))

    def run(self, context: StageContext) -> None:
        """Fits the probes, keeps them with their encoder as epoch 1, and scores the splits.

        Raises:
          UserError: the encode stage kept no features of a split, or the split has no labels.
        """
        folder, encoded = context.folder, context.input(self.features)
        encoder, variables = Encoder.read(encoded, context.mesh)
        stored = str(dataclasses.replace(SplitName.parse(self.split), share=0.0, records=0))
        learned = _rows(
            _features(encoded, stored), context.source(self.split, encoder.crop).table.keys
        )
        names = au_names.check(self.aus) or au_names.group(learned.aus.tolist(), self.group)
        labels = au_names.align(learned.labels, learned.aus.tolist(), names)
        labels[~learned.face] = au_names.UNKNOWN
        if not (labels != au_names.UNKNOWN).any():
            raise UserError(
                f"split {self.split} of stage {folder.name} has no face with a label of "
                f"{', '.join(names)}; name a split that has"
            )
        kernel, bias = self._fit(learned.features, labels)
        if jax.process_index() == 0:
            for split in self.validate:
                scored = _features(encoded, split)
                source = context.source(split, encoder.crop)
                logits = scored.features @ kernel + bias
                logits[~scored.face] = NO_FACE_LOGIT
                folder.write_scores(split, ONLY_EPOCH, with_labels(logits, source, names))
        params = jax.device_get(variables["params"])
        network = {
            "params": params | {f"{HEAD_PREFIX}opt": {"kernel": kernel, "bias": bias}},
            "batch_stats": jax.device_get(variables["batch_stats"]),
        }
        save_only(folder.model, sharding.replicate(network, context.mesh))
        self._card(encoder, names, labels, context.data).write(folder)
        known = (labels != au_names.UNKNOWN).any(1).sum()
        log.say(f"  {len(names)} probes on {kernel.shape[0]} features of {known} faces")

    def _fit(self, features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Kernel float32 [F, A] and bias float32 [A] of the probes of plain features.

        An AU of which one class alone is known gets a constant: the smoothed log odds.
        """
        from sklearn.exceptions import ConvergenceWarning  # imports for seconds, needed by few
        from sklearn.linear_model import LogisticRegression

        present, absent = (labels == au_names.PRESENT).sum(0), (labels == au_names.ABSENT).sum(0)
        weights = losses.damped_class_weights(present, absent, self.damping)
        usable = (labels != au_names.UNKNOWN).any(1)
        mean, spread = features[usable].mean(0), features[usable].std(0) + 1e-6
        standardised = (features - mean) / spread
        kernel = np.zeros((features.shape[1], labels.shape[1]))
        bias = np.log((present + 0.5) / (absent + 0.5))
        for column, of_au in enumerate(labels.T):
            known = of_au != au_names.UNKNOWN
            if present[column] and absent[column]:
                machine = LogisticRegression(
                    C=1 / (self.penalty * known.sum()), max_iter=self.iterations
                )
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ConvergenceWarning)
                    machine.fit(standardised[known], of_au[known], weights[column][of_au[known]])
                kernel[:, column] = machine.coef_[0] / spread
                bias[column] = machine.intercept_[0] - mean @ kernel[:, column]
        return kernel.astype(np.float32), bias.astype(np.float32)

    def _card(
        self, encoder: Encoder, names: tuple[str, ...], labels: np.ndarray, data: str
    ) -> ModelCard:
        facts = StreamFacts(
            records=len(labels),
            share=1,
            positives=tuple((labels == au_names.PRESENT).sum(0).astype(float).tolist()),
            negatives=tuple((labels == au_names.ABSENT).sum(0).astype(float).tolist()),
        )
        return ModelCard(
            method="multi_task",
            options={},
            context=Context(
                aus=names,
                network=encoder.network,
                augmentation=Augment(image_size=encoder.image_size),
                streams={"labelled": facts},
                epochs=ONLY_EPOCH,
                steps_per_epoch=1,
            ),
            crop=encoder.crop,
            crop_size=encoder.crop_size,
            data=data,
        )


def _features(encoded: StageFolder, split: str) -> Features:
    if not encoded.features(split).exists():
        raise UserError(
            f"stage {encoded.name} kept no features of '{split}'; add it to that stage's splits"
        )
    return encoded.read_features(split)


def _rows(features: Features, keys: np.ndarray) -> Features:
    """The features of the records named in `keys`, in that order."""
    at = {key: row for row, key in enumerate(features.keys.tolist())}
    rows = np.array([at[key] for key in keys.tolist()], np.int64)
    return Features(
        **{name: value if name == "aus" else value[rows] for name, value in vars(features).items()}
    )
