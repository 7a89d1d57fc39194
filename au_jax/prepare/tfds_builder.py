"""The TFDS builder of prepared data sets, and the shard files that it is put together from."""

import contextlib
import errno
import os
import shutil
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from array_record.python import array_record_module
from tensorflow_datasets.core import example_serializer
from tensorflow_datasets.core.dataset_builder import FileReaderBuilder

from au_jax.data import records
from au_jax.data.records import Record
from au_jax.data.tfds_info import dataset_info, quiet_tfds


class PreparedFaces(FileReaderBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Records of a real data set. `builder` makes the class of each data set.

    Its folder is `DATA_DIR/NAME/1.0.0`; `tfds.builder_from_directory` opens it without this class.
    """

    url_infos = None  # nothing is downloaded; spares TFDS a search for checksums beside the code

    VERSION = tfds.core.Version(records.VERSION)
    RELEASE_NOTES = {records.VERSION: "First version."}  # noqa: RUF012

    def __init__(
        self,
        *,
        aus: Sequence[str],
        crops: Sequence[str],
        text: str,
        drawn: bool,
        settings: Mapping[str, Any],
        **kwargs,
    ):
        self._contents = (tuple(aus), tuple(crops), text, drawn, settings)
        with quiet_tfds():
            super().__init__(file_format="array_record", **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return dataset_info(self, *self._contents)

    def serializer(self) -> "Serializer":
        return Serializer(self.info.features)

    def put_together(self, shards: Mapping[str, Sequence[tuple[Path, int]]]) -> None:
        """Builds the data set from finished shard files, which stay where they are.

        Args:
          shards: files and their numbers of records, by split, in order.
        """
        self._shards = shards
        with quiet_tfds():
            self.download_and_prepare()

    def _download_and_prepare(self, dl_manager, download_config=None) -> None:
        splits = []
        for split, parts in self._shards.items():
            template = tfds.core.ShardedFileTemplate(
                data_dir=self.data_path,
                dataset_name=self.name,
                split=split,
                filetype_suffix="array_record",
            )
            for i, (part, _) in enumerate(parts):
                _link(part, Path(template.sharded_filepath(shard_index=i, num_shards=len(parts))))
            splits.append(
                tfds.core.SplitInfo(
                    name=split,
                    shard_lengths=[count for _, count in parts],
                    num_bytes=sum(part.stat().st_size for part, _ in parts),
                    filename_template=template,
                )
            )
        self.info.set_splits(tfds.core.splits.SplitDict(splits))


class Serializer:
    """Turns records into the bytes that TFDS stores."""

    def __init__(self, features):
        self._features = features
        self._serializer = example_serializer.ExampleSerializer(features.get_serialized_info())

    def __call__(self, record: Record) -> bytes:
        example = self._serializer.get_tf_example(self._features.encode_example(record.example()))
        # The order of the fields is fixed, so that the same rows give the same files.
        return example.SerializeToString(deterministic=True)


def builder(
    name: str,
    data_dir: Path,
    aus: Sequence[str],
    crops: Sequence[str],
    text: str,
    drawn: bool = False,
    settings: Mapping[str, Any] = types.MappingProxyType({}),
) -> PreparedFaces:
    """The builder of the data set `name`.

    Args:
      data_dir: its folder is `data_dir/name/1.0.0`.
      aus, crops: what each record holds, in order.
      text: one paragraph that describes the data set.
      drawn, settings: see `tfds_info.dataset_info`.
    """
    kind = types.new_class(
        name.title().replace("_", ""),
        (PreparedFaces,),
        {"skip_registration": True},
        lambda body: body.update(name=name),
    )
    return kind(data_dir=data_dir, aus=aus, crops=crops, text=text, drawn=drawn, settings=settings)


@contextlib.contextmanager
def shard_writer(path: Path) -> Iterator[array_record_module.ArrayRecordWriter]:
    """A shard file as TFDS writes them (one record per group), under another name until whole.

    Raises:
      OSError: the disk is full.
    """
    unfinished = path.with_suffix(".tmp")
    unfinished.unlink(missing_ok=True)
    writer = array_record_module.ArrayRecordWriter(str(unfinished), "group_size:1")
    try:
        try:
            yield writer
        except BaseException:
            with contextlib.suppress(RuntimeError):
                writer.close()
            raise
        writer.close()
    except RuntimeError as error:  # how array_record reports what the disk refuses
        code = next((c for c in (errno.ENOSPC, errno.EDQUOT) if os.strerror(c) in str(error)), None)
        if code is None:
            raise
        raise OSError(code, os.strerror(code), str(path)) from error
    os.replace(unfinished, path)


def _link(source: Path, target: Path) -> None:
    """A second name for a file, or a copy where the disk has no such thing."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        shutil.copyfile(source, target)
