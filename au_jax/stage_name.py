"""Stage names: those of a config, and which seed and fold of the run a stage belongs to."""

import dataclasses
import re
from collections.abc import Sequence

from au_jax.errors import UserError


def fold_numbers(folds: int) -> Sequence[int]:
    """The numbers of the folds, from 1; 0 alone where there are no folds."""
    return range(1, folds + 1) or (0,)


@dataclasses.dataclass(frozen=True)
class StageName:
    """The name of a stage and its folder: `BASE[.seedSEED][.foldFOLD]`, as `student.seed1.fold2`.

    A recipe may be run from several seeds and on several folds of the data, each stage every time.

    Attributes:
      base: the stage's name in the config.
      seed: which run of the recipe it belongs to, from 0; 0 is left out of the text.
      fold: the number of the fold, from 1; 0 where there are no folds, left out of the text.
    """

    base: str
    seed: int = 0
    fold: int = 0

    @classmethod
    def parse(cls, text: str) -> "StageName":
        """Reads what `str` wrote.

        Raises:
          UserError: `text` is not of this form.
        """
        match = re.fullmatch(r"([^.]+)(?:\.seed([1-9]\d*))?(?:\.fold([1-9]\d*))?", text)
        if match is None:
            raise UserError(f"'{text}' is no stage's name; write NAME[.seedSEED][.foldFOLD]")
        base, seed, fold = match.groups()
        return cls(base, int(seed or 0), int(fold or 0))

    def __str__(self) -> str:
        seed = f".seed{self.seed}" if self.seed else ""
        fold = f".fold{self.fold}" if self.fold else ""
        return f"{self.base}{seed}{fold}"

    def sibling(self, base: str) -> str:
        """The name of another stage of the same seed and fold."""
        return str(dataclasses.replace(self, base=base))

    def on_folds(self, folds: int) -> list[str]:
        """The stage's names on each of the folds, in order; its own where there are none."""
        return [str(dataclasses.replace(self, fold=fold)) for fold in fold_numbers(folds)]
