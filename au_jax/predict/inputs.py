"""The photographs, videos and cameras that a list of paths names."""

import dataclasses
import glob
from collections.abc import Sequence
from pathlib import Path

from au_jax.errors import UserError

VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm")
IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


@dataclasses.dataclass(frozen=True)
class Input:
    """One photograph, video or camera.

    Attributes:
      name: its path, or the number of the camera, as the table shows it.
      kind: "image", "video" or "camera".
    """

    name: str
    kind: str


def resolve(given: Sequence[str]) -> tuple[list[Input], list[str]]:
    """The inputs that paths, folders, patterns and camera numbers name, each of them once.

    A folder stands for the images and videos in it and in its subfolders, by the ends of their
    names and ordered by name; hidden files are passed over. A file that is named itself and has
    not the end of a video's name is taken for an image.

    Args:
      given: what the user wrote, such as "photo.jpg", "folder", "clips/*.mp4" or "0" for a camera.

    Returns:
      The inputs, and the files of folders that are neither images nor videos.

    Raises:
      UserError: there is no such file, a pattern or folder gives no input, or a camera is not the
        only input.
    """
    inputs: dict[Input, None] = {}
    others: list[str] = []
    for text in given:
        if not text or "\0" in text:
            raise UserError(f"--input: {text!r} is no path; give that of a photograph or video")
        path = Path(text)
        try:
            is_there, is_folder = path.exists(), path.is_dir()
        except OSError as error:
            raise UserError(f"--input={text} cannot be opened: {error.strerror}") from error
        if text.isascii() and text.isdigit() and not is_there:
            if len(given) > 1:
                raise UserError(f"--input={text} is a camera, which has to be the only input")
            return [Input(text, "camera")], []
        if is_folder:
            files = _files(path)
            usable = [file for file in files if _kind_by_name(file)]
            others += [file for file in files if file not in set(usable)]
            if not usable:
                raise UserError(f"the folder {text} of --input holds no image and no video")
        elif is_there:
            usable = [text]
        else:
            usable = sorted(
                name for name in glob.glob(text, recursive=True) if Path(name).is_file()
            )
            if not usable:
                raise UserError(
                    f"--input: there is no file {text}; give a photograph, a video, a folder, a "
                    "pattern such as 'clips/*.mp4', or 0 for the first camera"
                )
        inputs |= {Input(name, _kind_by_name(name) or "image"): None for name in usable}
    return list(inputs), others


def _files(folder: Path) -> list[str]:
    paths = [p for p in folder.rglob("*") if not p.is_dir()]
    return sorted(
        str(p) for p in paths if not any(part[0] == "." for part in p.relative_to(folder).parts)
    )


def _kind_by_name(name: str) -> str:
    """The kind that the end of a file's name says, "" if it says none."""
    suffix = Path(name).suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return "video"
    return "image" if suffix in IMAGE_SUFFIXES else ""
