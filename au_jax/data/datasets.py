"""Folders of data sets: the embedded one, drawn on first use, and those that users prepared."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from au_jax.data import records
from au_jax.data.synthetic_faces.config import NAME, SyntheticFacesConfig
from au_jax.errors import UserError
from au_jax.files import lock

EMBEDDED = NAME
_VERSIONS = "[0-9]*.[0-9]*"  # folders of TFDS versions


def open_folder(data_dir: Path, name: str, sizes: Mapping[str, Any]) -> Path:
    """The folder of a data set in `data_dir`.

    Args:
      name: the embedded data set's name, `EMBEDDED`, or a prepared one's.
      sizes: what to draw where the embedded data set is meant, as in `synthetic`.

    Raises:
      UserError: see `prepared`; a field of `sizes` has an impossible value.
    """
    if name == EMBEDDED:
        return synthetic(data_dir, **sizes)
    return prepared(data_dir, name)


def synthetic(data_dir: Path, **sizes: Any) -> Path:
    """The folder of the embedded data set, drawn now if it is not there.

    Where another process draws it, this one waits. What a killed one left half-drawn is deleted.

    Args:
      sizes: the fields of `SyntheticFacesConfig`.

    Raises:
      OSError: `data_dir` cannot be written, or its disk is full.
    """
    drawn = SyntheticFacesConfig(**sizes)
    folder = drawn.folder(data_dir)
    if not folder.exists():
        # It needs TFDS, which takes half a second to import.
        from au_jax.data.synthetic_faces.builder import SyntheticFaces

        folder.parent.mkdir(parents=True, exist_ok=True)
        with lock.alone(folder.parent / "lock", "draws faces", wait=True):
            for left in folder.parent.glob("incomplete.*"):
                shutil.rmtree(left)
            builder = SyntheticFaces(
                data_dir=str(data_dir), file_format="array_record", config=drawn
            )
            builder.download_and_prepare()
    return folder


def prepared(data_dir: Path, name: str) -> Path:
    """The folder of a data set that `--mode=prepare` wrote.

    Raises:
      UserError: there is no such data set in `data_dir`, or only one of another version.
    """
    folder = data_dir / name / records.VERSION
    if folder.exists():
        return folder
    others = sorted(version.name for version in (data_dir / name).glob(_VERSIONS))
    if others:
        raise UserError(
            f"{data_dir / name} was prepared as version {', '.join(others)}; this package reads "
            f"{records.VERSION}: run --mode=prepare --dataset={name} again"
        )
    known = sorted({path.parent.name for path in data_dir.glob(f"*/{_VERSIONS}")} | {EMBEDDED})
    raise UserError(
        f"{data_dir} holds no data set '{name}'; run --mode=prepare --dataset={name} --raw=DIR, "
        "name the folder that you prepared it in with --data_dir, or take one that is there: "
        + ", ".join(known)
    )


def is_drawn(folder: Path) -> bool:
    """Whether the faces of the data set in `folder` are drawn, and no photographs of people.

    Raises:
      UserError: the folder is not a prepared data set.
    """
    try:
        drawn = json.loads((folder / "metadata.json").read_text()).get("drawn")
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(
            f"{folder} is not a whole prepared data set (no readable metadata.json); run "
            "--mode=prepare for it, or name the right --data_dir"
        ) from error
    return bool(drawn)


class Truth(NamedTuple):
    """The true labels of N records, and the conditions under which a detector may have erred.

    Attributes:
      keys: str [N]. aus: names str [A]. labels: int8 [N, A], 1 or 0.
      conditions: names str [C]. held: float32 [N, C], how far each was the case, 0 to 1.
    """

    keys: np.ndarray
    aus: np.ndarray
    labels: np.ndarray
    conditions: np.ndarray
    held: np.ndarray

    def rows(self, keys: np.ndarray) -> np.ndarray:
        """Where the records of these keys stand: int [M]."""
        row_of = {key: row for row, key in enumerate(self.keys.tolist())}
        return np.array([row_of[key] for key in keys.tolist()])


def truth(folder: Path, split: str) -> Truth | None:
    """The true labels of a split whose stored labels are wrong in places, where they are known.

    The drawn faces have them for their split `noisy`; a real data set has none.

    Args:
      folder: the data set's, as `open_folder` gives it.
      split: a stored split, whole.

    Returns:
      None where they are not known.

    Raises:
      UserError: their file is damaged.
    """
    path = records.truth_path(folder, split)
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            return Truth(**stored)
    except Exception as error:  # zipfile, zlib and NumPy each raise their own
        raise UserError(
            f"{path} is damaged ({error}); delete the folder {folder}, and draw or prepare the "
            "data set anew"
        ) from error
