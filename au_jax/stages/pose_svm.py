"""Magdeburg's pose baseline: an RBF-SVM on the three head angles for each pose AU (Fig. 2)."""

from collections.abc import Sequence

import jax
import numpy as np

from au_jax import aus, log
from au_jax.data.sources import Source
from au_jax.errors import UserError
from au_jax.run_dir import StageFolder
from au_jax.training.scoring import with_labels


def pose_svm(folder: StageFolder, *, train: Source, score: Sequence[Source]) -> None:
    """Fits scikit-learn's SVC (its defaults) and writes scores/SPLIT/1.npz for every split.

    The decision function stands for the logit: the SVM decides at 0, as a logit does. Missing
    angles are taken to be the mean pose.

    Raises:
      UserError: the data set has no pose AUs, or no head angles.
    """
    from sklearn.pipeline import make_pipeline  # imports for seconds, needed by few
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    names = aus.group(train.aus, "pose")
    if not names or np.isnan(train.table.pose).all():
        raise UserError(
            f"stage {folder.name} needs pose AUs and head angles, which split '{train.name}' lacks"
        )
    mean = np.nanmean(train.table.pose, 0)

    def angles(source: Source) -> np.ndarray:
        return np.where(np.isnan(source.table.pose), mean, source.table.pose)

    labels = train.aligned(names).table.labels
    decide = {}
    for column, au in enumerate(names):
        known = labels[:, column] >= 0
        if len(np.unique(labels[known, column])) == 2:
            svm = make_pipeline(StandardScaler(), SVC(kernel="rbf"))
            decide[au] = svm.fit(angles(train)[known], labels[known, column]).decision_function
    for source in score:
        logits = np.full((len(source), len(names)), -1.0, np.float32)
        for column, au in enumerate(names):
            if au in decide:
                logits[:, column] = decide[au](angles(source))
        if jax.process_index() == 0:
            folder.write_scores(source.name, 1, with_labels(logits, source, names))
    log.say(f"  SVMs on the head angles of {len(train)} records, for {', '.join(decide)}")
