"""Sources of records: random access to one split of a prepared data set.

A prepared data set is a TFDS folder of ArrayRecord files (`tfds_info.py` lists the features). All
that training needs beside the images (labels, pose, keys) is small and lives in memory as a
`Table`; images are read and decoded only when a batch asks for them.
"""

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from array_record.python.array_record_data_source import ArrayRecordDataSource
from tqdm import tqdm

from au_jax import aus as au_names
from au_jax.data import crop_jpeg
from au_jax.data.decoded_images import DecodedImages
from au_jax.data.split_name import SplitName
from au_jax.data.units import units
from au_jax.errors import UserError, unknown


@dataclasses.dataclass(frozen=True)
class Table:
    """The columns of N records, all but the images.

    Attributes:
      labels, intensity: int8 [N, A].
      pose: float32 [N, 3], degrees, NaN unknown.
      emotion: int8 [N]. face: bool [N]. frame: int32 [N].
      keys, subject, video: str [N].
    """

    keys: np.ndarray
    labels: np.ndarray
    intensity: np.ndarray
    pose: np.ndarray
    emotion: np.ndarray
    face: np.ndarray
    subject: np.ndarray
    video: np.ndarray
    frame: np.ndarray

    def take(self, rows: np.ndarray) -> "Table":
        return Table(*(getattr(self, f.name)[rows] for f in dataclasses.fields(self)))


@dataclasses.dataclass(frozen=True)
class Source:
    """A random-access sequence of records, seen through one crop.

    Attributes:
      name: the split, or the subset of one, as configs spell it ("opt", "opt-val").
      aus: the AU of each label column.
      table: the columns of its records.
      crop: which stored crop `images` returns.
      files: the ArrayRecord files of the whole split.
      rows: int64 [N], where each record stands in those files.
      size: pixels that images are resized to when they are read; 0 leaves them as stored.
      decoded: keeps the images of the whole split that were read, of this crop and size; None
        decodes them each time.
    """

    name: str
    aus: tuple[str, ...]
    table: Table
    crop: str
    files: tuple[str, ...]
    rows: np.ndarray
    size: int = 0
    decoded: DecodedImages | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @functools.cached_property
    def _reader(self) -> ArrayRecordDataSource:
        return ArrayRecordDataSource(list(self.files))

    def __getstate__(self) -> dict:  # an open file does not travel to a worker process
        return {k: v for k, v in self.__dict__.items() if k != "_reader"}

    def jpegs(self, indices: Sequence[int] | np.ndarray) -> list[bytes]:
        """The stored JPEG bytes of the records at `indices`.

        Raises:
          UserError: their files are damaged.
        """
        field = f"crops/{self.crop}"
        try:
            raw = self._reader.__getitems__(self.rows[indices].tolist())
        except RuntimeError as error:  # array_record compares hashes of all that it reads
            raise UserError(
                f"records of split '{self.name}' in {Path(self.files[0]).parent} are damaged "
                f"({error}); prepare the data set again"
            ) from error
        parse = _parser()
        return [parse(r)[field].bytes_list.value[0] for r in raw]

    def images(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """The decoded images, uint8 [len(indices), H, W, 3], RGB.

        Raises:
          UserError: an image cannot be decoded, or is not of the size of the first one.
        """
        if self.decoded is None:
            return self._read(indices)
        rows = self.rows[indices]
        missing = ~self.decoded.has(rows)
        if missing.all():
            images = self._read(indices)
            self.decoded.keep(rows, images)
            return images
        if missing.any():
            self.decoded.keep(rows[missing], self._read(np.asarray(indices)[missing]))
            if not self.decoded.has(rows).all():
                return self._read(indices)  # raises: they are not of one size
        return self.decoded.take(rows)

    def _read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        jpegs = self.jpegs(indices)
        first = self._decode(jpegs[0], indices[0])
        images = np.empty((len(jpegs), *first.shape), np.uint8)
        images[0] = first
        for i, jpeg in enumerate(jpegs[1:], 1):
            image = self._decode(jpeg, indices[i])
            if image.shape != first.shape:
                raise UserError(
                    f"record '{self.table.keys[indices[i]]}' is {image.shape[:2]} px and "
                    f"'{self.table.keys[indices[0]]}' {first.shape[:2]}; prepare the data set "
                    "again with one crop size"
                )
            images[i] = image
        return images

    def _decode(self, jpeg: bytes, index: int) -> np.ndarray:
        image = crop_jpeg.decode(jpeg, self.size)
        if image is None:
            raise UserError(
                f"record '{self.table.keys[index]}' of split '{self.name}' holds a corrupt JPEG "
                f"(crop '{self.crop}', {Path(self.files[0]).parent}); prepare the data set again"
            )
        return image

    def subset(self, indices: np.ndarray, name: str | None = None) -> "Source":
        """The records at `indices` (int or bool mask), in that order."""
        indices = np.flatnonzero(indices) if indices.dtype == bool else indices
        return dataclasses.replace(
            self, name=name or self.name, table=self.table.take(indices), rows=self.rows[indices]
        )

    def with_labels(self, keys: np.ndarray, aus: Sequence[str], labels: np.ndarray) -> "Source":
        """The records named in `keys`, with `labels` int8 [len(keys), len(aus)] in place of theirs.

        Raises:
          UserError: a key is not in this source.
        """
        at = {key: i for i, key in enumerate(self.table.keys.tolist())}
        missing = [k for k in keys.tolist() if k not in at]
        if missing:
            raise UserError(
                f"labels name {len(missing)} records that split '{self.name}' lacks, the first "
                f"'{missing[0]}'; they were made from another data set or split"
            )
        kept = self.subset(np.array([at[k] for k in keys.tolist()], np.int64))
        blank = np.full(labels.shape, -1, np.int8)
        table = dataclasses.replace(kept.table, labels=labels.astype(np.int8), intensity=blank)
        return dataclasses.replace(kept, aus=tuple(aus), table=table)

    def aligned(self, aus: Sequence[str]) -> "Source":
        """The same records with label columns in the order of `aus`; missing AUs are unknown."""
        if tuple(aus) == self.aus:
            return self
        table = dataclasses.replace(
            self.table,
            labels=au_names.align(self.table.labels, self.aus, aus),
            intensity=au_names.align(self.table.intensity, self.aus, aus),
        )
        return dataclasses.replace(self, aus=tuple(aus), table=table)


def open_source(
    folder: Path, split: str, crop: str, val_fraction: float, seed: int, size: int = 0
) -> Source:
    """Opens one split of the prepared data set in `folder`.

    Args:
      folder: the TFDS folder, `DATA_DIR/NAME/[CONFIG/]VERSION`.
      split: a split's name, or that name with "-train" or "-val" behind it: its records parted by
        `by_unit`, `val_fraction` of them for validation.
      crop: which stored crop to read.
      seed: parts the units.
      size: pixels that images are resized to when read; 0 leaves them as stored.

    Raises:
      UserError: the folder is missing, half-written or damaged, or lacks the split or crop; a
        label is outside {-1, 0, 1}; the part that is asked for has no records.
    """
    import tensorflow_datasets as tfds  # for half a second, which reports need not wait for

    try:
        builder = tfds.builder_from_directory(folder)
        metadata = builder.info.metadata or {}
        lengths = {name: info.shard_lengths for name, info in builder.info.splits.items()}
    except Exception as error:  # TFDS raises as many kinds of error as its files have faults
        raise UserError(
            f"{folder} is not a whole prepared data set (no readable dataset_info.json, "
            f"features.json and metadata.json: {error}); run --mode=prepare for it, or name the "
            "right --data_dir"
        ) from error
    if not (_are_names(metadata.get("aus")) and _are_names(metadata.get("crops"))):
        raise UserError(f"{folder} was not written by au_jax (no AU list); run --mode=prepare")
    au_names.check(metadata["aus"])
    parts = ("", "train", "val")
    names = [str(SplitName(stored, part)) for stored in builder.info.splits for part in parts]
    if split not in names:
        raise unknown(f"split in {folder}", split, names)
    name = SplitName.parse(split)
    if crop not in metadata["crops"]:
        raise unknown(f"crop in {folder}", crop, metadata["crops"])
    info = builder.info.splits[name.stored]
    files = tuple(str(f) for f in info.filepaths)
    if len(files) != len(lengths[name.stored]):
        raise UserError(f"{folder / 'dataset_info.json'} is damaged; prepare the data set again")
    for file, length in zip(files, lengths[name.stored], strict=True):
        if not os.path.exists(file) or _record_count(file) != length:
            raise UserError(f"{file} is missing or half-written; prepare the data set again")
    table = _table(folder, name.stored, files)
    if table.labels.shape != (len(table.keys), len(metadata["aus"])):
        raise UserError(
            f"{folder / 'metadata.json'} names {len(metadata['aus'])} AUs, which the records of "
            f"'{name.stored}' have not; prepare the data set again"
        )
    whole = Source(
        name.stored,
        tuple(metadata["aus"]),
        table,
        crop,
        files,
        np.arange(len(table.keys)),
        size,
        DecodedImages(len(table.keys)),
    )
    if not name.part:
        return whole
    validation = by_unit(table, val_fraction, seed)
    chosen = validation if name.part == "val" else ~validation
    if not chosen.any():
        raise UserError(
            f"'{split}' of {folder} has no records: the subjects and videos of '{name.stored}' are "
            f"too few to part it with config.data.val_fraction={val_fraction:g}; change that, name "
            "the subjects when you prepare the data set, or use splits of its own"
        )
    return whole.subset(chosen, split)


def _parser() -> Callable[[bytes], Mapping[str, Any]]:
    """What reads the features of a stored record by name."""
    from tensorflow_datasets.core.example_parser import tf_example_pb2

    return lambda raw: tf_example_pb2.Example.FromString(raw).features.feature


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _record_count(file: str) -> int:
    try:
        return len(ArrayRecordDataSource([file]))
    except Exception as error:  # array_record raises its own undocumented types
        raise UserError(
            f"{file} cannot be read as ArrayRecord ({error}); prepare the data set again"
        ) from error


def by_unit(table: Table, fraction: float, seed: int) -> np.ndarray:
    """Marks whole units, drawn at random, up to `fraction` of the records: bool [N].

    A unit is a subject, with all who share a video with it (`units.units`), so that neither a
    person nor a video is parted. The records without subject and video are one unit together; where
    no record has either, each is a unit of its own.
    """
    of_records = (
        np.arange(len(table.keys)) if nameless(table) else units(table.subject, table.video)
    )
    names, index, counts = np.unique(of_records, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    before = np.cumsum(counts[order]) - counts[order]
    marked = np.zeros(len(names), bool)
    marked[order[before < fraction * len(index)]] = True
    return marked[index]


def nameless(table: Table) -> bool:
    """Whether no record names a subject or a video."""
    return not ((table.subject != "") | (table.video != "")).any()


_TYPES = {
    "keys": np.str_,
    "labels": np.int8,
    "intensity": np.int8,
    "pose": np.float32,
    "emotion": np.int8,
    "face": np.bool_,
    "subject": np.str_,
    "video": np.str_,
    "frame": np.int32,
}


def _columns(split: str, files: Sequence[str]) -> dict[str, Any]:
    """Reads the columns of a `Table` out of the records of a split."""
    reader = ArrayRecordDataSource(list(files))
    # Arrays of chunks: the values of millions of records as Python objects would fill the memory.
    chunks: dict[str, list[np.ndarray]] = {name: [] for name in _TYPES}
    chunk = 1024
    parse = _parser()
    progress = tqdm(total=len(reader), desc=f"reading the labels of '{split}'", unit="record")
    with progress:
        for start in range(0, len(reader), chunk):
            stop = min(start + chunk, len(reader))
            rows: dict[str, list] = {name: [] for name in _TYPES}
            for raw in reader.__getitems__(list(range(start, stop))):
                feature = parse(raw)
                rows["keys"].append(feature["key"].bytes_list.value[0].decode())
                for text in ("subject", "video"):
                    rows[text].append(feature[text].bytes_list.value[0].decode())
                for scalar in ("emotion", "face", "frame"):
                    rows[scalar].append(feature[scalar].int64_list.value[0])
                for vector in ("labels", "intensity"):
                    rows[vector].append(list(feature[vector].int64_list.value))
                rows["pose"].append(list(feature["pose"].float_list.value))
            for name, values in rows.items():
                chunks[name].append(np.array(values, _TYPES[name]))
            progress.update(stop - start)
    return {name: np.concatenate(arrays) for name, arrays in chunks.items()}


def _table(folder: Path, split: str, files: Sequence[str]) -> Table:
    """Reads the columns of a split; keeps them in a file beside it, so that it is done once.

    The file is believed only beside the shards that it was made of, by their sizes and times.
    """
    cache = Path(folder) / f"table-{split}.npz"
    made_of = _fingerprint(files)
    kept = _kept_table(cache, made_of)
    if kept is not None:
        return kept
    try:
        columns = _columns(split, files)
    except Exception as error:  # array_record and protobuf raise undocumented types
        raise UserError(
            f"the records of split '{split}' in {folder} cannot be read ({error}); prepare the "
            "data set again"
        ) from error
    bad = ~np.isin(columns["labels"], (-1, 0, 1)).all(1)
    if bad.any():
        row = int(np.argmax(bad))
        raise UserError(
            f"record '{columns['keys'][row]}' of split '{split}' in {folder} has a label outside "
            f"-1, 0, 1 ({sorted(set(columns['labels'][row].tolist()))}); prepare the data set again"
        )
    if os.access(folder, os.W_OK):
        temporary = cache.with_name(f"{cache.stem}.{os.getpid()}.tmp.npz")
        np.savez(temporary, made_of=made_of, **columns)
        os.replace(temporary, cache)
    return Table(**columns)


def _fingerprint(files: Sequence[str]) -> np.ndarray:
    """Name, size and time of change of each shard file: str [F, 3]."""
    states = [(os.path.basename(file), os.stat(file)) for file in files]
    rows = [(name, str(state.st_size), str(state.st_mtime_ns)) for name, state in states]
    return np.array(rows, np.str_).reshape(-1, 3)


def _kept_table(cache: Path, made_of: np.ndarray) -> Table | None:
    """The table of an earlier reading of the same shards; None where it is not there or damaged."""
    try:
        with np.load(cache, allow_pickle=False) as stored:
            columns = dict(stored)
        if not np.array_equal(columns.pop("made_of"), made_of):
            return None
        return Table(**columns)
    except Exception:  # zipfile, zlib and NumPy each raise their own; the shards say it all again
        return None
