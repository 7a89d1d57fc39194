"""Face identities: any folder with one subfolder per person, and no labels.

Glint360K, MS1MV3, CASIA-WebFace and VGGFace2 are unpacked so. One split, `train`. A person's images
may lie in deeper folders too. These data sets mostly bring faces aligned to ArcFace's template at
112 x 112 pixels; `--landmarks=aligned` takes them whole and looks for no faces in them.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from au_jax.errors import UserError
from au_jax.prepare.readers import rows
from au_jax.prepare.readers.rows import Problem, RawSet, Row

_SPLIT = "train"
# Other files, such as lists and checksums, are no images and are passed over.
_IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def read(raw: Path, name: str = "people") -> RawSet:
    """Opens the folder of the persons' folders.

    The subject of a record is the name of the folder in `raw` that its image lies in.

    Args:
      name: what the prepared data set is called.

    Raises:
      UserError: `raw` cannot be listed, holds no folders, or holds images beside them.
    """
    rows.folder(raw)
    persons = _persons(raw)
    return RawSet(
        name=name,
        aus=(),
        crops=("arcface",),
        files=(raw,),
        rows=lambda: _rows(raw, persons),
        description=f"{name}: faces of {len(persons)} persons, one folder each; no AUs.",
    )


def _persons(raw: Path) -> list[str]:
    """The names of the folders in `raw`, sorted."""
    persons = []
    try:
        with os.scandir(raw) as entries:
            for entry in entries:
                if _is_image(entry.name):
                    raise UserError(
                        f"--raw={raw} holds the image {entry.name} beside the persons' folders; "
                        "move each image into the folder of its person"
                    )
                if entry.is_dir() and not entry.name.startswith("."):
                    persons.append(entry.name)
    except OSError as error:
        raise UserError(f"--raw={raw} cannot be listed ({error.strerror}); make it yours") from None
    if not persons:
        raise UserError(
            f"--raw={raw} holds no folders; name the folder that has one subfolder per person"
        )
    return sorted(persons)


def _rows(raw: Path, persons: list[str]) -> Iterator[Row]:
    for person in persons:
        is_empty = True
        for row in _folder_rows(raw, person, person):
            is_empty = False
            yield row
        if is_empty:
            reason = f"the folder of this person holds no image ({', '.join(_IMAGES)})"
            yield Row(_SPLIT, person, 1, subject=person, problem=Problem("missing", reason))


def _folder_rows(raw: Path, folder: str, person: str) -> Iterator[Row]:
    """The images in a folder, relative to `raw`, and in the folders in it, in a fixed order."""
    folders, images = [], []
    try:
        with os.scandir(raw / folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):  # a link could lead around in a circle
                    folders.append(entry.name)
                elif _is_image(entry.name):
                    images.append(entry.name)
    except OSError as error:
        reason = f"the folder cannot be opened ({error.strerror})"
        yield Row(_SPLIT, folder, 1, subject=person, problem=Problem("unreadable", reason))
    for line, image in enumerate(sorted(images), 1):
        yield Row(_SPLIT, folder, line, image=f"{folder}/{image}", subject=person)
    for inner in sorted(folders):
        yield from _folder_rows(raw, f"{folder}/{inner}", person)


def _is_image(name: str) -> bool:
    """Whether a file is named as an image; macOS keeps notes of its own in files "._NAME.jpg"."""
    return name.lower().endswith(_IMAGES) and not name.startswith(".")
