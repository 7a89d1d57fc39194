"""Where data sets lie: the embedded one, made on first use, and those that users prepared."""

from pathlib import Path
from typing import Any

from au_jax import aus as au_names
from au_jax.data import records
from au_jax.data.synthetic_faces.builder import SyntheticFaces, SyntheticFacesConfig
from au_jax.errors import UserError, unknown


def synthetic(data_dir: Path, **sizes: Any) -> Path:
    """The folder of `synthetic_faces`, drawn now if it is not there.

    Args:
      sizes: the fields of `SyntheticFacesConfig`.
    """
    builder = SyntheticFaces(
        data_dir=str(data_dir), file_format="array_record", config=SyntheticFacesConfig(**sizes)
    )
    builder.download_and_prepare()
    return Path(builder.data_dir)


def prepared(data_dir: Path, name: str) -> Path:
    """The folder of a data set that `--mode=prepare` wrote.

    Raises:
      UserError: there is no such data set in `data_dir`, or only one of another version.
    """
    if name not in au_names.DATASETS and not (data_dir / name).exists():
        raise unknown("data set", name, au_names.DATASETS)
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
