"""Errors of a detector's AU labels: rates, confusions, and the conditions that go with them."""

import dataclasses

import numpy as np

from au_jax import aus
from au_jax.files import atomic_files, file_forms
from au_jax.run_dir import StageFolder

# A condition is the case where it holds to this share or more.
_HOLDS_FROM = 0.5


@dataclasses.dataclass(frozen=True)
class LabelErrors:
    """The labels of a split beside the true ones; shares are NaN where nothing can be counted.

    A wrong label is missed, absent where the AU is truly present, or invented, the other way round.

    Attributes:
      records: how many there are. aus: names [A]. others: names [T], of all AUs whose truth is
        known.
      wrong: float64 [A], the share of all labels. missed: of the present AUs. invented: of the
        absent ones.
      confused: float64 [A, T], how much oftener an AU is invented where the other one is present
        than where it is absent, both of absent AUs; NaN for an AU and itself.
      conditions: names [C]. held: int [C], the records under each.
      wrong_under, wrong_else: float64 [C, A], the share of all labels under each condition, and of
        all other records.
    """

    records: int
    aus: tuple[str, ...]
    others: tuple[str, ...]
    wrong: np.ndarray
    missed: np.ndarray
    invented: np.ndarray
    confused: np.ndarray
    conditions: tuple[str, ...]
    held: np.ndarray
    wrong_under: np.ndarray
    wrong_else: np.ndarray


def label_errors(stage: StageFolder, split: str) -> LabelErrors:
    """Counts the wrong labels of a split whose labels `stage` learned and whose truth it kept."""
    kept = atomic_files.read_arrays(stage.given_labels(split), file_forms.GIVEN_LABELS)
    names, others = kept["aus"].tolist(), kept["true_aus"].tolist()
    labels, all_true = kept["labels"], kept["true"]
    true = aus.align(all_true, others, names)
    judged = (labels >= 0) & (true >= 0)
    wrong, present, absent = judged & (labels != true), judged & (true == 1), judged & (true == 0)
    every = np.ones((len(labels), 1), bool)
    holds = kept["held"] >= _HOLDS_FROM
    confused = _share(wrong, absent, all_true == 1) - _share(wrong, absent, all_true == 0)
    itself = np.array(names)[:, None] == np.array(others)[None]
    return LabelErrors(
        records=len(labels),
        aus=tuple(names),
        others=tuple(others),
        wrong=_share(wrong, judged, every)[:, 0],
        missed=_share(wrong, present, every)[:, 0],
        invented=_share(wrong, absent, every)[:, 0],
        confused=np.where(itself, np.nan, confused),
        conditions=tuple(kept["conditions"].tolist()),
        held=holds.sum(0),
        wrong_under=_share(wrong, judged, holds).T,
        wrong_else=_share(wrong, judged, ~holds).T,
    )


def _share(part: np.ndarray, whole: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The share of `whole` that is in `part`, of each AU among some records: float64 [A, K].

    Args:
      part, whole: bool [N, A]. where: bool [N, K], each time the records that are counted.
    """
    counted, of_part = (
        of.T.astype(np.float64) @ where.astype(np.float64) for of in (whole, part & whole)
    )
    shares = np.full(counted.shape, np.nan)
    return np.divide(of_part, counted, out=shares, where=counted > 0)
