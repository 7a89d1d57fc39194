"""Folds of a data set: lists of subjects, as published or as a user's file gives them.

A prepared data set keeps every subject in one split; folds are applied when it is read.
"""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from au_jax.data.csv_table import read_table
from au_jax.errors import UserError, unknown


@dataclasses.dataclass(frozen=True)
class Folds:
    """The test subjects of each fold; every fold trains on the subjects of all the others.

    Attributes:
      tested: fold k (from 1) is tested on `tested[k - 1]`.
    """

    tested: tuple[tuple[str, ...], ...]

    def subjects(self, fold: int, part: str) -> frozenset[str]:
        """The subjects of `fold` (from 1): part "train" or "test".

        Raises:
          UserError: there is no such fold or part.
        """
        if not 1 <= fold <= len(self.tested):
            raise unknown("fold", fold, range(1, len(self.tested) + 1))
        if part not in ("train", "test"):
            raise unknown("part of a fold", part, ("train", "test"))
        if part == "test":
            return frozenset(self.tested[fold - 1])
        others = (of_fold for k, of_fold in enumerate(self.tested, 1) if k != fold)
        return frozenset(subject for of_fold in others for subject in of_fold)

    def unlisted(self, subjects: Iterable[str]) -> list[str]:
        """Those of `subjects` that no fold tests; they would only ever be trained on."""
        return sorted(set(subjects) - {s for of_fold in self.tested for s in of_fold})


# The three subject lists of JAA-Net and ME-GraphAU. Fold 1 tests the third list, fold 2 the second
# and fold 3 the first. Other papers part the subjects differently: figures do not compare.
_BP4D = (
    "F001 M007 F018 F008 F002 M004 F010 F009 M012 M001 F016 M014 F023 M008",
    "M011 F003 M010 M002 F005 F022 M018 M017 F013 M016 F020 F011 M013 M005",
    "F007 F015 F006 F019 M006 M009 F012 M003 F004 F021 F017 M015 F014",
)
_DISFA = (
    "SN002 SN010 SN001 SN026 SN027 SN032 SN030 SN009 SN016",
    "SN013 SN018 SN011 SN028 SN012 SN006 SN031 SN021 SN024",
    "SN003 SN029 SN023 SN025 SN008 SN005 SN007 SN017 SN004",
)


def _from_lists(lists: tuple[str, ...]) -> Folds:
    return Folds(tuple(tuple(text.split()) for text in reversed(lists)))


PUBLISHED = {"bp4d": _from_lists(_BP4D), "disfa": _from_lists(_DISFA)}


def read_folds(path: Path) -> Folds:
    """A user's own folds: a .csv file with the columns `subject` and `fold` (1, 2, ...).

    `fold` is the one that the subject is tested in.

    Raises:
      UserError: the file lacks a column, names a subject twice, or has a gap in its folds.
    """
    lines = read_table(path)
    header = next(lines, (0, []))[1]
    if not {"subject", "fold"} <= set(header):
        raise UserError(f"{path} needs the columns 'subject' and 'fold' in its first line")
    of_subject: dict[str, int] = {}
    for line, fields in lines:
        cells = dict(zip(header, fields, strict=False))
        subject, fold = cells.get("subject", ""), cells.get("fold", "")
        if not subject or not fold.isdecimal() or int(fold) < 1:
            raise UserError(f"{path}, line {line}: give a subject and a fold from 1 on")
        if subject in of_subject:
            raise UserError(f"{path}, line {line}: subject {subject} is listed twice")
        of_subject[subject] = int(fold)
    count = max(of_subject.values(), default=0)
    tested = tuple(
        tuple(s for s, fold in of_subject.items() if fold == k) for k in range(1, count + 1)
    )
    if count < 2 or not all(tested):
        raise UserError(f"{path} must give subjects to at least two folds, numbered without a gap")
    return Folds(tested)
