"""Batches for training and evaluation: shuffled streams with fixed shares, read by Grain.

A batch is `{stream: {field: array}}`, numbers only:
`image` uint8 [b, H, W, 3], `labels` int8 [b, A], `pose` float32 [b, 3], `emotion` int8 [b] and
`index` int32 [b], the row in the stream's source; a stream may have further columns.

What a batch holds is a pure function of its number, so Grain's iterator state (one number) is all
that a checkpoint has to keep.
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from au_jax.data.balanced_batches import BalancedBatches
from au_jax.data.sources import Source

if TYPE_CHECKING:
    import grain

Batch = dict[str, dict[str, np.ndarray]]
Shape = tuple[tuple[int, ...], type]


@dataclasses.dataclass(frozen=True)
class Stream:
    """A source with its own share of the batch.

    Attributes:
      source: the records.
      share: examples of each global batch.
      columns: further fields of its batches, {field: [N, ...]}, such as soft labels.
      resampled: int64, the records that one pass goes over, where some are repeated or left out.
      balanced: whether every batch holds a positive and a negative of every AU.
    """

    source: Source
    share: int
    columns: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    resampled: np.ndarray | None = None
    balanced: bool = False

    @property
    def rows(self) -> np.ndarray:
        """The records that one pass goes over: int64, positions in the source."""
        return np.arange(len(self.source)) if self.resampled is None else self.resampled

    def read(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """The fields of a batch of the records at `indices`."""
        columns = {name: column[indices] for name, column in self.columns.items()}
        return read(self.source, indices) | columns


class BatchRows:
    """Which rows of each stream make batch i; each stream is reshuffled on every pass over it."""

    def __init__(
        self,
        passes: Mapping[str, tuple[np.ndarray, int]],
        seed: int,
        steps: int,
        balanced: Mapping[str, BalancedBatches] | None = None,
    ):
        """Takes the streams apart from their records.

        Args:
          passes: of each stream the rows that one pass goes over, int64, and its share.
          seed: what the shuffle follows from.
          steps: how many batches there are.
          balanced: what repairs the batches of some of the streams.
        """
        self._passes, self._seed, self._steps = dict(passes), seed, steps
        self._balanced = balanced or {}
        self._permutation = functools.lru_cache(maxsize=2 * len(passes))(self._permute)

    @classmethod
    def of(cls, streams: Mapping[str, Stream], seed: int, steps: int) -> "BatchRows":
        """The batches of `streams`.

        Raises:
          UserError: a stream's batches cannot be balanced, see `BalancedBatches`.
        """
        passes = {name: (stream.rows, stream.share) for name, stream in streams.items()}
        balanced = {
            name: BalancedBatches(
                stream.source.table.labels,
                stream.rows,
                stream.source.aus,
                stream.share,
                (seed, number),
                name,
            )
            for number, (name, stream) in enumerate(streams.items())
            if stream.balanced
        }
        return cls(passes, seed, steps, balanced)

    def __len__(self) -> int:
        return self._steps

    def _permute(self, stream: int, length: int, epoch: int) -> np.ndarray:
        return np.random.default_rng((self._seed, stream, epoch)).permutation(length)

    def __getitem__(self, step: int) -> dict[str, np.ndarray]:
        batch = {}
        for number, (name, (rows, share)) in enumerate(self._passes.items()):
            length = len(rows)
            epoch, at = np.divmod(np.arange(step * share, (step + 1) * share), length)
            shuffled = np.concatenate(
                [self._permutation(number, length, e)[at[epoch == e]] for e in np.unique(epoch)]
            )
            batch[name] = rows[shuffled]
            if name in self._balanced:
                batch[name] = self._balanced[name].repaired(batch[name], step)
        return batch


def read(source: Source, indices: np.ndarray) -> dict[str, np.ndarray]:
    """Reads and decodes the records at `indices` into the fields of a batch."""
    table = source.table
    return {
        "image": source.images(indices),
        "labels": table.labels[indices],
        "pose": table.pose[indices],
        "emotion": table.emotion[indices],
        "index": indices.astype(np.int32),
    }


def batch_shapes(size: int, side: int, aus: int, soft: bool) -> dict[str, Shape]:
    """(shape, dtype) of the fields that `read` returns for `size` records.

    Args:
      side: pixels of the stored crops. aus: label columns. soft: whether there are soft labels.
    """
    shapes: dict[str, Shape] = {
        "image": ((size, side, side, 3), np.uint8),
        "labels": ((size, aus), np.int8),
        "pose": ((size, 3), np.float32),
        "emotion": ((size,), np.int8),
        "index": ((size,), np.int32),
    }
    return shapes | ({"soft": ((size, aus), np.float32)} if soft else {})


def training_batches(
    streams: Mapping[str, Stream],
    *,
    seed: int,
    steps: int,
    threads: int,
    process: int = 0,
    processes: int = 1,
) -> "grain.DatasetIterator":
    """Returns the checkpointable iterator over the batches of a training run.

    Args:
      streams: the streams by their names; shares are of the global batch.
      seed: what the shuffle follows from.
      steps: number of batches.
      threads: how many threads read and decode, each one batch at a time.
      process, processes: which contiguous part of every share this process loads.
    """
    import grain  # for a second, and not in every mode

    def load(rows: dict[str, np.ndarray]) -> Batch:
        return {
            name: streams[name].read(np.array_split(indices, processes)[process])
            for name, indices in rows.items()
        }

    return iter(
        grain.MapDataset.source(BatchRows.of(streams, seed, steps))
        .map(load)
        .to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads))
    )


def ordered_batches(
    source: Source, size: int, threads: int, process: int = 0, processes: int = 1
) -> Iterator[dict[str, np.ndarray]]:
    """Every record once, in order, for evaluation.

    The last batch is filled up with the last record; the field `valid` bool [b] marks what counts.
    `size` is of the global batch; each process loads a contiguous part of it.
    """
    import grain

    steps = -(-len(source) // size)

    def load(step: int) -> dict[str, np.ndarray]:
        rows = np.arange(step * size, (step + 1) * size)
        part = np.array_split(rows, processes)[process]
        return read(source, np.minimum(part, len(source) - 1)) | {"valid": part < len(source)}

    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    yield from grain.MapDataset.range(steps).map(load).to_iter_dataset(options)
