"""Head-pose baseline of Magdeburg: an RBF-SVM on three head angles for each pose AU (Fig. 2)."""

import dataclasses
from collections.abc import Callable

import numpy as np

from au_jax import aus, log
from au_jax.data.records import Crop
from au_jax.data.sources import Source
from au_jax.data.split_name import Split
from au_jax.errors import UserError
from au_jax.stages.base import Stage, StageContext, score_once


@dataclasses.dataclass(frozen=True)
class PoseSVM(Stage):
    """Support vector machines on the head angles of a split, one for each pose AU.

    It writes scores/SPLIT/1.npz for every split of `validate` and `test`. The decision function
    stands for the logit: the SVM decides at 0, as a logit does. Missing angles are taken to be the
    mean pose. The machines are scikit-learn's SVC with its defaults.

    Attributes:
      split: what is learned from.
      crop: a crop that is stored (its images are not read).
      validate, test: splits that are scored.
    """

    split: Split
    crop: Crop = "wide"
    validate: tuple[Split, ...] = ("opt-val",)
    test: tuple[Split, ...] = ("test",)

    def run(self, context: StageContext) -> None:
        """Fits and scores the machines.

        Raises:
          UserError: the data set has no pose AUs, or no head angles.
        """
        train = context.source(self.split, self.crop)
        names = aus.group(train.aus, "pose")
        if not names or np.isnan(train.table.pose).all():
            raise UserError(
                f"stage {context.folder.name} needs pose AUs and head angles, which split "
                f"'{train.name}' lacks"
            )
        mean = np.nanmean(train.table.pose, 0)

        def angles(source: Source) -> np.ndarray:
            return np.where(np.isnan(source.table.pose), mean, source.table.pose)

        decide = _decision_functions(angles(train), train.aligned(names).table.labels, names)

        def logits_of(source: Source) -> tuple[np.ndarray, tuple[str, ...]]:
            logits = np.full((len(source), len(names)), -1.0, np.float32)
            for column, au in enumerate(names):
                if au in decide:
                    logits[:, column] = decide[au](angles(source))
            return logits, names

        score_once(context, (*self.validate, *self.test), self.crop, logits_of)
        log.say(f"  SVMs on the head angles of {len(train)} records, for {', '.join(decide)}")


def _decision_functions(
    angles: np.ndarray, labels: np.ndarray, names: tuple[str, ...]
) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """The fitted decision function of each AU that is both present and absent in `labels`."""
    from sklearn.pipeline import make_pipeline  # imports for seconds, needed by few
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    decide = {}
    for column, au in enumerate(names):
        known = labels[:, column] >= 0
        if len(np.unique(labels[known, column])) == 2:
            svm = make_pipeline(StandardScaler(), SVC(kernel="rbf"))
            decide[au] = svm.fit(angles[known], labels[known, column]).decision_function
    return decide
