"""Which uploaded files are taken, by their contents, and how large they may be."""

import dataclasses
from pathlib import Path

from au_jax.data.file_kind import IMAGES, VIDEOS, kind_of
from au_jax.errors import UserError

_MEGA = 10**6


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much one upload may ask of the server.

    Attributes:
      image_bytes, video_bytes: of a file. A picture's pixels have a limit in `data.image_io`.
      frame_pixels: of a frame of a video, many of which are in memory at once.
      seconds: of a video.
      frames: of a video that are looked at, evenly spread.
    """

    image_bytes: int = 20 * _MEGA
    video_bytes: int = 200 * _MEGA
    frame_pixels: int = 10 * _MEGA
    seconds: int = 300
    frames: int = 300

    def __str__(self) -> str:
        return (
            f"A picture may have {self.image_bytes // _MEGA} MB, a video "
            f"{self.video_bytes // _MEGA} MB and {self.seconds} seconds."
        )


def check(path: Path, limits: Limits) -> str:
    """The kind of an uploaded file: "image" or "video".

    Raises:
      UserError: it is neither, or has more bytes than its kind may.
    """
    with open(path, "rb") as file:
        kind = kind_of(file.read(12))
    if kind is None:
        raise UserError(
            f"{path.name} is neither a picture ({IMAGES}) nor a video ({VIDEOS}); give one of these"
        )
    size = path.stat().st_size
    most = limits.image_bytes if kind == "image" else limits.video_bytes
    if size > most:
        noun = "picture" if kind == "image" else "video"
        raise UserError(
            f"{path.name} has {size / _MEGA:.1f} MB, and a {noun} may have {most / _MEGA:g} MB; "
            "give a smaller one"
        )
    return kind
