"""The page of `--report`, made from a finished table and, for its pictures, the inputs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from au_jax.errors import UserError, spelled_out
from au_jax.files import atomic_files
from au_jax.predict import stills
from au_jax.predict.digest import Details, Overview
from au_jax.predict.inputs import Input
from au_jax.report import predictions


def check(page: Path) -> None:
    """Raises UserError where the page could not be written."""
    if page.suffix != ".html":
        raise UserError(f"--report={page} does not end in .html")
    if page.is_dir():
        raise UserError(f"--report={page} is a folder; name a file")
    try:
        atomic_files.try_writing(page.parent)
        atomic_files.sweep_beside(page.parent, [page.name])
    except OSError as error:
        raise UserError(f"cannot write --report={page}: {error.strerror}") from error


def write(
    page: Path,
    table: Path,
    entries: Sequence[Input],
    aus: Sequence[str],
    thresholds: np.ndarray,
    about: Mapping[str, Any],
) -> None:
    """Writes the page, in the place of an older one.

    Args:
      page: the file.
      table: the whole table, in CSV, of these inputs.
      aus: names [A], of the table's columns.
      thresholds: float64 [A], from which on they are present.
      about: see `report.predictions.render`.

    Raises:
      UserError: the page cannot be written.
    """
    # The table spells the odd bytes of a file's name out.
    named = {spelled_out(e.name): e for e in entries}
    overview = Overview(table, aus, {name for name, e in named.items() if e.kind == "video"})
    details = Details(table, overview)
    videos = [
        predictions.VideoPage(
            name=name,
            frames=counts.frames,
            faceless=counts.faceless,
            totals=counts.totals,
            width=counts.width,
            times=details.times[name],
            tracks=details.tracks[name],
            other_tracks=len(counts.tracks) - len(details.tracks[name]),
            stills=list(stills.of_video(named[name].name, details.frames[name])),
        )
        for name, counts in overview.videos.items()
    ]
    shown = {named[name].name: faces for name, faces in details.photographs.items()}
    text = predictions.render(
        about,
        overview.totals,
        thresholds,
        videos,
        overview.other_videos,
        list(stills.of_photographs(shown)),
        overview.photographs - len(shown),
    )
    with atomic_files.replacing(page) as temporary:
        # A photograph's name may be no valid text.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
