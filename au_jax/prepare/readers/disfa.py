"""DISFA (Mavadati et al., 2013): videos, and one intensity file per subject and AU.

One undivided split; `folds` parts it by subject. Frames are read from the videos: line `frame n`
of a label file is the n-th frame of the video, so 1 is the first.
"""

import contextlib
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from au_jax import aus as au_names
from au_jax.data.csv_table import read_table
from au_jax.data.image_io import BadImageError, Video
from au_jax.errors import UserError
from au_jax.files import plain_numbers
from au_jax.prepare.readers import rows
from au_jax.prepare.readers.rows import UNDIVIDED, Problem, RawSet, Row

THRESHOLD = 2  # present from this intensity on, as in the published protocols

_AUS = au_names.names(1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
_NUMBERS = tuple(int(au[2:]) for au in _AUS)
_LEVELS = {str(level): level for level in range(6)}
_SUBJECT = re.compile(r"SN\d{3}$")
_VIDEO = re.compile(r"(left|right)video(SN\d{3})_comp\.avi$", re.IGNORECASE)


def read(raw: Path) -> RawSet:
    """Opens DISFA in `raw`; the left camera's videos, or the right one's where no left one is.

    Raises:
      UserError: label files or videos are not found, or an AU's file is missing.
    """
    rows.folder(raw)
    labels = raw / "ActionUnit_Labels"
    subjects = sorted(p for p in labels.glob("SN*") if p.is_dir() and _SUBJECT.match(p.name))
    if not subjects:
        raise UserError(
            f"--raw={raw} holds no ActionUnit_Labels/SN001 and the like; name the folder "
            "that holds DISFA's ActionUnit_Labels and Videos_LeftCamera"
        )
    videos: dict[str, dict[str, Path]] = {"left": {}, "right": {}}
    for path in sorted(raw.rglob("*.avi")):
        match = _VIDEO.match(path.name)
        if match:
            videos[match[1].lower()][match[2].upper()] = path
    if not videos["left"] and not videos["right"]:
        raise UserError(f"--raw={raw} holds no video named like LeftVideoSN001_comp.avi")
    files = {s.name: [s / f"{s.name}_au{n}.txt" for n in _NUMBERS] for s in subjects}
    missing = [file for of_subject in files.values() for file in of_subject if not file.exists()]
    if missing:
        raise UserError(f"{missing[0]} is not there; every subject needs its 12 label files")

    def read_rows() -> Iterator[Row]:
        for subject, of_subject in files.items():
            video = (videos["left"] or videos["right"]).get(subject)
            yield from _subject(raw, subject, of_subject, video)

    return RawSet(
        name="disfa",
        aus=_AUS,
        crops=("closeup", "arcface"),
        files=tuple(file for of_subject in files.values() for file in of_subject),
        rows=read_rows,
        description="DISFA: videos of 27 subjects, intensities of 12 AUs; present from 2 on.",
    )


@dataclasses.dataclass
class _Labels:
    """What a subject's 12 files say of each frame number.

    Attributes:
      levels: frame -> AU number -> intensity, -1 where it is not known.
      lines: frame -> the first line that names it.
      problems: frame -> what keeps it out.
    """

    levels: dict[int, dict[int, int]] = dataclasses.field(default_factory=dict)
    lines: dict[int, int] = dataclasses.field(default_factory=dict)
    problems: dict[int, Problem] = dataclasses.field(default_factory=dict)

    def read(self, number: int, file: Path) -> None:
        """Adds the file of one AU."""
        for line, fields in read_table(file):
            named = plain_numbers.whole(fields[0])
            if len(fields) != 2 or named is None:
                frame = -line  # a line without a frame number is a row of its own
                reason = f"line {line} of {file.name} is not 'frame,intensity'"
                self.problems[frame] = Problem("bad row", reason)
                self.levels.setdefault(frame, {})
                self.lines.setdefault(frame, line)
                continue
            frame = named
            of_frame = self.levels.setdefault(frame, {})
            self.lines.setdefault(frame, line)
            if number in of_frame:
                reason = f"{file.name} has frame {frame} twice"
                self.problems[frame] = Problem("duplicate", reason)
            elif fields[1] not in _LEVELS:
                reason = (
                    f"{file.name} has intensity '{fields[1][:40]}' at frame {frame}; known: 0 to 5"
                )
                self.problems[frame] = Problem("out of range", reason)
            of_frame[number] = _LEVELS.get(fields[1], -1)


def _subject(raw: Path, subject: str, files: list[Path], video: Path | None) -> Iterator[Row]:
    """One row per frame number in any of the subject's 12 files, each needing all of them."""
    labels = _Labels()
    for number, file in zip(_NUMBERS, files, strict=True):
        labels.read(number, file)
    count = None if video is None else _frame_count(video)
    whole = _whole_problem(raw, subject, labels.levels, video, count)
    where = rows.relative(files[0], raw)
    for frame in sorted(labels.levels):  # in the order of the video, whatever that of the file
        of_frame = labels.levels[frame]
        lacking = [f"au{n}" for n in _NUMBERS if n not in of_frame]
        problem = labels.problems.get(frame) or whole
        if problem is None and lacking:
            reason = f"frame {frame} is missing from the files of {', '.join(lacking)}"
            problem = Problem("bad row", reason)
        if problem is None and count is not None and frame > count:
            reason = f"there is no frame {frame}: the video has {count}"
            problem = Problem("misnumbered", reason)
        intensity = tuple(of_frame.get(n, -1) for n in _NUMBERS)
        yield Row(
            UNDIVIDED,
            where,
            labels.lines[frame],
            image="" if video is None else rows.relative(video, raw),
            labels=tuple(-1 if i < 0 else int(i >= THRESHOLD) for i in intensity),
            position=frame - 1,
            intensity=intensity,
            subject=subject,
            video=subject,
            frame=frame,
            problem=problem,
        )


def _whole_problem(raw, subject, levels, video, count) -> Problem | None:
    """What keeps every frame of the subject out."""
    if video is None:
        return Problem("missing", f"there is no video of {subject} (LeftVideo{subject}_comp.avi)")
    if 0 in levels:
        reason = f"the label files of {subject} count frames from 0, DISFA from 1"
        return Problem("misnumbered", f"{reason}: each would get its neighbour's labels")
    if not count:
        return Problem("unreadable", f"{rows.relative(video, raw)} cannot be read as a video")
    return None


def _frame_count(video: Path) -> int:
    try:
        opened = Video(video)
    except BadImageError:
        return 0
    with contextlib.closing(opened):
        return opened.length
