"""Balanced batches: every batch of a stream holds a positive and a negative of every AU (ABAW3).

"We wish all 12 Action Units (negative and positive) are included in a batch" (ABAW3, 2022, section
3.1); how is ours. The rows of the shuffled pass stay, but for those that make room for rows with
the labels that the batch lacks. A row that makes room waits for the next pass.
"""

import functools
from collections.abc import Sequence

import numpy as np

from au_jax import aus as au_names
from au_jax.errors import UserError

_WORDS = {au_names.ABSENT: "negative", au_names.PRESENT: "positive"}


class BalancedBatches:
    """Repairs the batches of one stream; what it gives is a pure function of the step."""

    def __init__(
        self,
        labels: np.ndarray,
        rows: np.ndarray,
        aus: Sequence[str],
        share: int,
        seed: tuple[int, int],
        stream: str,
    ):
        """Checks that every batch can hold all.

        Args:
          labels: int8 [N, A] over `aus`, of the stream's records.
          rows: int64, the records that the stream is drawn from; any of them may repeat.
          share: records of each batch.
          seed: of the run, and the number of the stream.
          stream: its name, for errors.

        Raises:
          UserError: an AU has no positive or no negative, or `share` is less than 2 A, the number
            of records that a batch may need.
        """
        if share < 2 * len(aus):
            raise UserError(
                f"the share {share} of stream '{stream}' is too small for balanced batches: a "
                f"positive and a negative of each of {len(aus)} AUs may take {2 * len(aus)} places"
            )
        self._labels, self._seed = labels, seed
        self._holders: dict[tuple[int, int], np.ndarray] = {}
        for a, au in enumerate(aus):
            for label, word in _WORDS.items():
                holders = rows[labels[rows, a] == label]
                if not len(holders):
                    raise UserError(
                        f"stream '{stream}' cannot have balanced batches: it has no {word} of "
                        f"{au}; leave that AU out, or set balanced to False"
                    )
                self._holders[a, label] = holders
        # The rarest come first: a row that shows one of them may well help with others, too.
        self._wanted = sorted(self._holders, key=lambda want: len(self._holders[want]))
        self._shuffled = functools.lru_cache(maxsize=2 * len(self._holders))(self._shuffle)

    def _shuffle(self, a: int, label: int, turn: int) -> np.ndarray:
        return np.random.default_rng((*self._seed, turn, a + 1, label)).permutation(
            self._holders[a, label]
        )

    def repaired(self, drawn: np.ndarray, step: int) -> np.ndarray:
        """The rows of batch `step`, of which the shuffled pass gives `drawn`: int64 [share]."""
        drawn = drawn.copy()
        labels = self._labels[drawn]
        held = {label: (labels == label).sum(0) for label in _WORDS}
        for a, label in self._wanted:
            if held[label][a]:
                continue
            # Each list goes round, one entry a step.
            turn, at = divmod(step, len(self._holders[a, label]))
            row = self._shuffled(a, label, turn)[at]
            place = self._spare_place(labels, held)
            for known, count in held.items():
                count += (self._labels[row] == known).astype(int) - (labels[place] == known)
            drawn[place], labels[place] = row, self._labels[row]
        return drawn

    def _spare_place(self, labels: np.ndarray, held: dict[int, np.ndarray]) -> int:
        """The last place whose row is not the only one of the batch with any of its labels.

        There is one: at most 2 A - 1 rows are the only one with a label, as one label is lacking.
        """
        needed = np.zeros(len(labels), bool)
        for label, count in held.items():
            needed |= ((labels == label) & (count == 1)).any(1)
        return int(np.flatnonzero(~needed)[-1])
