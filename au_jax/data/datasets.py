"""Where data sets lie: the embedded one, made on first use, and those that users prepared."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from au_jax.data import records
from au_jax.data.synthetic_faces import builder as drawn
from au_jax.errors import UserError

EMBEDDED = "synthetic_faces"


def open_folder(data_dir: Path, name: str, sizes: Mapping[str, Any]) -> Path:
    """The folder of a data set: of the embedded one, drawn if need be, or of a prepared one.

    Args:
      sizes: of the embedded one, the fields of `SyntheticFacesConfig`.

    Raises:
      UserError: see `prepared`.
    """
    return synthetic(data_dir, **sizes) if name == EMBEDDED else prepared(data_dir, name)


def is_drawn(folder: Path) -> bool:
    """Whether a program drew the faces of a data set: their true labels lie beside them."""
    return drawn.has_truth(folder)


def true_labels(folder: Path, split: str) -> tuple[np.ndarray, tuple[str, ...], np.ndarray] | None:
    """Keys str [N], AUs and labels int8 [N, A] of a split's faces; None where they are not known.

    They are for reports only: of the split "noisy" of drawn faces, whose given labels have errors.
    """
    if split != "noisy" or not drawn.has_truth(folder):
        return None
    keys, aus, labels = drawn.noisy_truth(folder)
    return keys, tuple(aus.tolist()), labels


def synthetic(data_dir: Path, **sizes: Any) -> Path:
    """The folder of `synthetic_faces`, drawn now if it is not there.

    Args:
      sizes: the fields of `SyntheticFacesConfig`.
    """
    builder = drawn.SyntheticFaces(
        data_dir=str(data_dir),
        file_format="array_record",
        config=drawn.SyntheticFacesConfig(**sizes),
    )
    builder.download_and_prepare()
    return Path(builder.data_dir)


def prepared(data_dir: Path, name: str) -> Path:
    """The folder of a data set that `--mode=prepare` wrote.

    Raises:
      UserError: there is no such data set in `data_dir`, or only one of another version.
    """
    folder = data_dir / name / records.VERSION
    if folder.exists():
        return folder
    others = sorted(p.name for p in (data_dir / name).glob("[0-9]*.[0-9]*"))
    if others:
        raise UserError(
            f"{data_dir / name} was prepared as version {', '.join(others)}; this package reads "
            f"{records.VERSION}: run --mode=prepare --dataset={name} again"
        )
    raise UserError(
        f"{data_dir} holds no data set '{name}'; run --mode=prepare --dataset={name} --raw=DIR, or "
        "name the folder that you prepared it in with --data_dir"
    )
