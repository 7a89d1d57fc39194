"""Splits of data sets: the records that a split's name stands for, in folds where there are any."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from au_jax.data.corruptions import corrupted
from au_jax.data.folds import PUBLISHED, Folds, read_folds
from au_jax.data.sources import Source, by_unit, open_source
from au_jax.data.split_name import SplitName
from au_jax.data.units import only_one, units
from au_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Splits:
    """Opens splits by name.

    Attributes:
      folder: data set ("" for the config's own) -> its folder.
      val_fraction: which share of the records, in whole units (`sources.by_unit`), is for
        validation (or is the test part of random folds).
      seed: what that division and the draw of `#RECORDS` follow from.
      size: pixels that images are resized to when read; 0 leaves them as stored.
      present_from: the least intensity at which an AU is present; 0 takes the stored labels.
      folds: "random", "published", or a .csv file of subjects and folds.
      count: how many folds there are; 0 for none.
    """

    folder: Callable[[str], Path]
    val_fraction: float
    seed: int
    size: int = 0
    present_from: int = 0
    folds: str = "random"
    count: int = 0

    def open(self, split: str, crop: str, fold: int = 0) -> Source:
        """The records that `split` stands for, in fold `fold` (from 1; 0 where there are none).

        Raises:
          UserError: the split, crop or fold does not exist; see also `open_source`.
        """
        name = SplitName.parse(split)
        source = self._part(name, crop, fold)
        if self.present_from:
            source = _present_from(source, self.present_from)
        if name.share:
            if only_one(units(source.table.subject, source.table.video)):
                raise UserError(
                    f"split '{split}' asks for a share of the subjects, but its records name one "
                    "only, or subjects who all share videos; ask for a number of records (#RECORDS)"
                )
            source = source.subset(by_unit(source.table, name.share / 100, self.seed))
        if name.records:
            if name.records > len(source):
                raise UserError(
                    f"split '{split}' asks for {name.records} records, but there are {len(source)}"
                )
            drawn = np.random.default_rng(self.seed).permutation(len(source))[: name.records]
            source = source.subset(np.sort(drawn))
        return (
            corrupted(source, split) if name.expanded else dataclasses.replace(source, name=split)
        )

    def _part(self, name: SplitName, crop: str, fold: int) -> Source:
        """The stored split, or the part of it that `name` and `fold` say."""
        folder = self.folder(name.data)

        def stored(split: str) -> Source:
            return open_source(folder, split, crop, self.val_fraction, self.seed, self.size)

        if not (fold and name.part):
            return stored(str(SplitName(name.stored, name.part)))
        whole = stored(name.stored)
        return whole.subset(self._in_fold(whole, name.data, fold, name.part))

    def _in_fold(self, whole: Source, data: str, fold: int, part: str) -> np.ndarray:
        """Which records of a split are in the part "train" or "test" of a fold: bool [N]."""
        if part not in ("train", "test"):
            raise UserError(
                f"'{whole.name}-{part}' is no part of a fold; write {whole.name}-train or "
                f"{whole.name}-test, or set config.folds to 0"
            )
        if self.folds == "random":
            tested = by_unit(whole.table, self.val_fraction, self.seed + fold - 1)
        else:
            lists = self._lists(whole, data)
            tested = np.isin(whole.table.subject, list(lists.subjects(fold, "test")))
        chosen = tested if part == "test" else ~tested
        if not chosen.any():
            raise UserError(f"fold {fold} has no records in '{whole.name}-{part}'")
        return chosen

    def _lists(self, whole: Source, data: str) -> Folds:
        where = f"config.data.folds={self.folds}"
        present = set(whole.table.subject.tolist())
        if self.folds == "published":
            name = data or self.folder(data).parent.name
            if name not in PUBLISHED:
                raise UserError(
                    f"{where}, but no lists are published for '{name}' (there are for "
                    f"{', '.join(PUBLISHED)}); give a .csv file with the columns subject and fold"
                )
            lists = PUBLISHED[name]
        else:
            lists = read_folds(Path(self.folds))
            unknown = sorted({s for of_fold in lists.tested for s in of_fold} - present)
            if unknown:
                raise UserError(
                    f"{self.folds} names {len(unknown)} subjects that '{whole.name}' lacks, the "
                    f"first '{unknown[0]}'; mend the file, or prepare the data set again"
                )
        unlisted = lists.unlisted(present)
        if unlisted:
            raise UserError(
                f"{where} puts {len(unlisted)} subjects of '{whole.name}' into no fold, the first "
                f"'{unlisted[0]}'; add them to the file"
            )
        if len(lists.tested) != self.count:
            raise UserError(
                f"{where} has {len(lists.tested)} folds; set config.folds to {len(lists.tested)}"
            )
        return lists


def _present_from(source: Source, intensity: int) -> Source:
    """`source` with labels that say which known intensities are at least `intensity`."""
    table = source.table
    labels = np.where(table.intensity >= 0, table.intensity >= intensity, table.labels)
    table = dataclasses.replace(table, labels=labels.astype(np.int8))
    return dataclasses.replace(source, table=table)
