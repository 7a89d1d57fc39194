"""Two-dimensional maps of the features of frozen encoders, side by side on the same records.

Contrastive pretraining (EmoCo), Fig. 5: what lies close together in the feature space lies close
together on the map. How well emotions and an AU are told apart is counted in the feature space
itself, as a map always distorts it.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Annotated, Self

import jax
import numpy as np
import threadpoolctl
from jaxtyping import Float32, Int, Shaped

from au_jax import aus, log
from au_jax.allowed import AU, Name, Range, Unique
from au_jax.data.split_name import Split
from au_jax.errors import UserError, unknown
from au_jax.files import atomic_files
from au_jax.run_dir import Features, StageFolder
from au_jax.stages.base import Stage, StageContext

_NEIGHBOURS = 10
_PERPLEXITY = 30.0  # a third of the records at most
_FEWEST = 5  # records of a map


@dataclasses.dataclass(frozen=True)
class FeatureMap(Stage):
    """The maps of what several encode stages make of one split.

    It writes maps/INPUT.npz, see `StageFolder.map`.

    Attributes:
      inputs: the encode stages, each of which has a map of its own.
      split: whose features are mapped.
      au: the AU whose presence is shown within the emotions.
      records: how many are drawn at random of those in which every input found a face.
    """

    inputs: Annotated[tuple[Name, ...], Unique(least=1)]
    split: Split
    au: AU = "AU06"
    records: Annotated[int, Range(ge=_FEWEST, le=10**6)] = 2000

    def renamed(self, rename: Callable[[str], str]) -> Self:
        return dataclasses.replace(self, inputs=tuple(rename(name) for name in self.inputs))

    def run(self, context: StageContext) -> None:
        """Makes the maps that are not there yet.

        Raises:
          UserError: an input kept no features of `split`, does not know `au`, or kept other
            records than the first; or too few of them hold a face.
        """
        inputs = [context.input(name) for name in self.inputs]
        features = [_features(folder, self.split, self.au) for folder in inputs]
        rows = self._drawn(inputs, features, context.seed)
        if jax.process_index():
            return
        for folder, of_input in zip(inputs, features, strict=True):
            path = context.folder.map(folder.in_config)
            if path.exists():
                log.say(f"  {folder.name}: the map is there already")
                continue
            chosen = of_input.features[rows]
            emotion = of_input.emotion[rows]
            present = of_input.labels[rows, of_input.aus.tolist().index(self.au)]
            points, library = map_of(chosen, context.seed)
            atomic_files.write_arrays(
                path,
                {
                    "points": points,
                    "emotion": emotion,
                    "present": present,
                    "library": np.array(library),
                    "same_emotion": same_emotion(chosen, emotion),
                    "same_label": same_label(chosen, present, emotion),
                },
            )
            log.say(f"  {folder.name}: a map of {len(rows)} records of {self.split}, by {library}")

    def _drawn(
        self, inputs: Sequence[StageFolder], features: Sequence[Features], seed: int
    ) -> np.ndarray:
        """The rows that are mapped, ascending: int64 [n]."""
        for folder, of_input in zip(inputs, features, strict=True):
            if not np.array_equal(of_input.keys, features[0].keys):
                raise UserError(
                    f"stages {inputs[0].name} and {folder.name} kept features of other records of "
                    f"'{self.split}'; encode one data set and split with both"
                )
        faces = np.flatnonzero(np.logical_and.reduce([of.face for of in features]))
        count = min(self.records, len(faces))
        if count < _FEWEST:
            raise UserError(
                f"a map of '{self.split}' would hold {count} records; give a split with more faces "
                f"that were found, and records={_FEWEST} or more"
            )
        return np.sort(np.random.default_rng(seed).choice(faces, count, replace=False))


def _features(folder: StageFolder, split: str, au: str) -> Features:
    """The features of a split that a stage kept, whose labels know `au`."""
    if not folder.features(split).exists():
        raise UserError(
            f"stage {folder.name} keeps no features of '{split}' (kept: "
            f"{', '.join(folder.encoded_splits()) or 'none'}); add it to the splits of that stage"
        )
    features = folder.read_features(split)
    if au not in features.aus:
        raise unknown(f"AU of the features of {folder.name} on {split}", au, features.aus.tolist())
    return features


def map_of(
    features: Float32[np.ndarray, "records width"], seed: int
) -> tuple[Float32[np.ndarray, "records 2"], str]:
    """The map of `features`, the same at every call, and the name of the library that made it.

    It is a t-SNE (openTSNE), else a UMAP (umap-learn), else scikit-learn's t-SNE, whichever of them
    is installed.
    """
    perplexity = min(_PERPLEXITY, (len(features) - 1) / 3)
    # One thread: sums of several threads differ from call to call in their last bits.
    with threadpoolctl.threadpool_limits(1):
        try:
            import openTSNE
        except ImportError:
            pass
        else:
            tsne = openTSNE.TSNE(perplexity=perplexity, random_state=seed, n_jobs=1)
            return np.asarray(tsne.fit(features), np.float32), "openTSNE"
        try:
            import umap
        except ImportError:
            pass
        else:
            neighbours = min(15, len(features) - 1)
            reducer = umap.UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1)
            return np.asarray(reducer.fit_transform(features), np.float32), "umap-learn"
        from sklearn.manifold import TSNE

        learner = TSNE(perplexity=perplexity, init="pca", random_state=seed)
        return learner.fit_transform(features).astype(np.float32), "scikit-learn"


def same_emotion(
    features: Float32[np.ndarray, "records width"], emotion: Int[np.ndarray, " records"]
) -> np.ndarray:
    """How often neighbours show the same emotion, of the records whose emotion is known.

    Returns:
      As `same_among_neighbours`.
    """
    known = emotion != aus.UNKNOWN
    return same_among_neighbours(features[known], emotion[known], np.zeros(known.sum(), np.int8))


def same_label(
    features: Float32[np.ndarray, "records width"],
    present: Int[np.ndarray, " records"],
    emotion: Int[np.ndarray, " records"],
) -> np.ndarray:
    """How often neighbours of the same emotion have the same label of an AU, where both are known.

    Returns:
      As `same_among_neighbours`.
    """
    known = (emotion != aus.UNKNOWN) & (present != aus.UNKNOWN)
    return same_among_neighbours(features[known], present[known], emotion[known])


def same_among_neighbours(
    features: Float32[np.ndarray, "records width"],
    labels: Shaped[np.ndarray, " records"],
    groups: Shaped[np.ndarray, " records"],
) -> np.ndarray:
    """The share of neighbours with a record's own label, and what chance gives.

    The neighbours of a record are the 10 nearest others of its group, or all others where there
    are fewer; nearness is Euclidean. By chance every other record of the group is as near.

    Returns:
      float64 [2]: the share and the chance level, each the mean over all records that have a
      neighbour; NaN where none has.
    """
    from sklearn.neighbors import NearestNeighbors  # imports for seconds, needed by few

    shares, chances = [], []
    for group in np.unique(groups):
        inside = groups == group
        others = int(inside.sum()) - 1
        if others == 0:
            continue
        search = NearestNeighbors(n_neighbors=min(_NEIGHBOURS, others))
        # Asked about no other records, it leaves each record out of its own neighbours.
        nearest = search.fit(features[inside]).kneighbors(return_distance=False)
        of_group = labels[inside]
        shares.append((of_group[nearest] == of_group[:, None]).mean(1))
        _, which, count = np.unique(of_group, return_inverse=True, return_counts=True)
        chances.append((count[which] - 1) / others)
    if not shares:
        return np.full(2, np.nan)
    return np.array([np.concatenate(shares).mean(), np.concatenate(chances).mean()])
