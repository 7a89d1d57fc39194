"""Split names: the small language in which configs say which records they mean.

A name is `[DATA:]STORED[-PART][-expanded][%SHARE][#RECORDS]`; `SplitName` explains each piece. No
other module takes such a text apart or puts one together.
"""

import dataclasses
from typing import Annotated

from au_jax.allowed import Form
from au_jax.errors import UserError

_EXPANDED = "-expanded"


@dataclasses.dataclass(frozen=True)
class SplitName:
    """A split as configs name it; `str` writes it as they do.

    Attributes:
      stored: the split as it is stored ("opt").
      part: which of its subjects: "train", "val", "test" (the last one where there are folds), or
        "" for all.
      data: another data set than the config's, or "".
      expanded: whether it is TAL's fourfold set, `corruptions.corrupted`.
      share: per cent of its records that are drawn, in whole units (`sources.by_unit`); 0 for all.
        A larger share holds the smaller ones.
      records: how many records are drawn from it; 0 for all.
    """

    stored: str
    part: str = ""
    data: str = ""
    expanded: bool = False
    records: int = 0
    share: float = 0.0

    @classmethod
    def parse(cls, text: str) -> "SplitName":
        """Reads a name; whether there is such a split and part is not looked at.

        Raises:
          UserError: what stands behind # is no number of records, or behind % no share.
        """
        data, _, rest = text.rpartition(":")
        rest, marked, records = rest.partition("#")
        if marked and not (records.isdecimal() and int(records)):
            raise UserError(f"split '{text}' ends in #{records}; write a number of records there")
        rest, shared, percent = rest.partition("%")
        share = _number(percent)
        if shared and not 0 < share <= 100:
            raise UserError(f"split '{text}' has %{percent}; write a share of 0 to 100 % there")
        plain = rest.removesuffix(_EXPANDED)
        stored, _, part = plain.partition("-")
        if not stored:
            raise UserError(f"split '{text}' does not say which; write its name in front")
        return cls(stored, part, data, plain != rest, int(records or 0), share)

    def __str__(self) -> str:
        return "".join(
            (
                f"{self.data}:" if self.data else "",
                self.stored,
                f"-{self.part}" if self.part else "",
                _EXPANDED if self.expanded else "",
                f"%{self.share:.15g}" if self.share else "",
                f"#{self.records}" if self.records else "",
            )
        )

    def unexpanded(self) -> "SplitName":
        """The split whose records, unchanged, are the first quarter of an expanded one."""
        return dataclasses.replace(self, expanded=False)


def _number(text: str) -> float:
    """0 where the text is no number."""
    try:
        return float(text)
    except ValueError:
        return 0.0


Split = Annotated[
    str, Form(SplitName.parse, "a split: [DATA:]NAME[-PART][-expanded][%SHARE][#RECORDS]")
]
