"""The audit of a data set that was just prepared: a table, a page, and the rows left out."""

import csv
import dataclasses
import heapq
import io
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from array_record.python.array_record_data_source import ArrayRecordDataSource
from rich.console import Console
from rich.table import Table
from tensorflow_datasets.core.example_parser import tf_example_pb2

from au_jax import aus as au_names
from au_jax import html
from au_jax.data.crop_jpeg import encode
from au_jax.data.folds import PUBLISHED
from au_jax.data.image_io import decode
from au_jax.prepare.row_index import Index, Task
from au_jax.prepare.worker import Job, Note, read_note

# Faces on the contact sheet of a split, how many in a row, and their side in pixels.
_SHEET, _ACROSS, _THUMB = 48, 8, 112
_SHEETS = 6  # splits with a contact sheet; data sets with more of them are divided by users
_LISTED = 20  # names shown of a list on the page


@dataclasses.dataclass
class Split:
    """Counts of one split.

    Attributes:
      rows, kept: raw rows, and those with a record.
      faces, several: records with a face, and with more than one.
      raw_labels, labels: AU -> (present, absent, unknown) in the raw rows and the kept ones.
      emotions: kept rows by emotion.
      subjects: how many the usable rows name.
    """

    rows: int = 0
    kept: int = 0
    faces: int = 0
    several: int = 0
    raw_labels: dict[str, tuple[int, int, int]] = dataclasses.field(default_factory=dict)
    labels: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    emotions: dict[str, int] = dataclasses.field(default_factory=dict)
    subjects: int = 0


@dataclasses.dataclass
class Audit:
    """What became of all rows.

    Attributes:
      splits: the counts of each split, by its name.
      left_out: rows without a record, by kind (see `rows.Problem`).
      looked_for_faces: whether anything looked for faces; images taken whole need none.
      copies: pairs of names of image files with equal contents, some of them.
      copy_count: how many kept images equal an earlier one.
      crossing: how many contents stand in more than one split.
      disputed: how many contents stand under several names with differing labels.
      shared_subjects: subjects that stand in more than one split.
      unlisted: subjects that the published folds do not name, where there are published folds.
      faceless: names of some images without a face.
      tasks: every task and its number of records, in order.
    """

    splits: dict[str, Split]
    left_out: Counter[str]
    looked_for_faces: bool
    copies: list[tuple[str, str]]
    copy_count: int
    crossing: int
    disputed: int
    shared_subjects: list[str]
    unlisted: list[str]
    faceless: list[str]
    tasks: list[tuple[Task, int]]

    @property
    def total(self) -> int:
        return sum(split.rows for split in self.splits.values())

    @property
    def kept(self) -> int:
        return sum(split.kept for split in self.splits.values())


def collect(job: Job) -> Audit:
    """Adds up the index and the notes of all tasks.

    Raises:
      RuntimeError: rows kept and rows left out are not all rows, which would be our mistake.
    """
    rows = Index(job.index)
    try:
        splits = {name: Split(rows=count) for name, count in rows.total().items()}
        for name, counts in rows.label_counts().items():
            splits[name].raw_labels = counts
        subjects = rows.subjects()
        for name, people in subjects.items():
            splits[name].subjects = len(people)
        left_out = Counter(problem.kind for _, problem in rows.problems())
        faceless: list[int] = []
        tasks = []
        for task in rows.tasks():
            note = read_note(job.note(task))
            _add(splits[task.split], note, job.aus)
            left_out.update(kind for _, kind, _ in note.left_out)
            faceless += note.faceless[: _LISTED - len(faceless)]
            tasks.append((task, note.kept))
        names = [image for _, _, image, _ in rows.places(faceless)]
    finally:
        rows.close()
    times = Counter(subject for people in subjects.values() for subject in people)
    everyone = times.keys()
    copies, copy_count, crossing, disputed = _copies(job, [task for task, _ in tasks])
    audit = Audit(
        splits,
        left_out,
        not job.takes_whole,
        copies,
        copy_count,
        crossing,
        disputed,
        sorted(subject for subject, count in times.items() if count > 1),
        PUBLISHED[job.name].unlisted(everyone) if job.name in PUBLISHED else [],
        names,
        tasks,
    )
    if audit.kept + sum(left_out.values()) != audit.total:
        raise RuntimeError(
            f"{audit.kept} rows kept and {sum(left_out.values())} left out are not {audit.total}"
        )
    return audit


def _add(split: Split, note: Note, aus: tuple[str, ...]) -> None:
    split.kept += note.kept
    split.faces += note.faces
    split.several += note.several
    for au, counts in zip(aus, note.labels, strict=True):
        sums = split.labels.setdefault(au, [0, 0, 0])
        split.labels[au] = [a + b for a, b in zip(sums, counts, strict=True)]
    for code, count in note.emotions.items():
        if int(code) >= 0:
            name = au_names.EMOTIONS[int(code)]
            split.emotions[name] = split.emotions.get(name, 0) + count


def _copies(job: Job, tasks: list[Task]) -> tuple[list[tuple[str, str]], int, int, int]:
    """Kept images of equal contents: some pairs of names, how many, across splits, in dispute."""
    path = job.work / "contents.sqlite"
    path.unlink(missing_ok=True)
    db = sqlite3.connect(path)
    try:
        db.execute("PRAGMA journal_mode=OFF")
        db.execute("PRAGMA synchronous=OFF")
        db.execute("CREATE TABLE contents (number INTEGER PRIMARY KEY, hash INTEGER)")
        for task in tasks:
            db.executemany("INSERT INTO contents VALUES (?, ?)", read_note(job.note(task)).contents)
        db.execute("CREATE INDEX by_hash ON contents (hash)")
        db.commit()
        db.execute("ATTACH ? AS listed", (str(job.index),))
        equal = "SELECT hash FROM contents GROUP BY hash HAVING COUNT(*) > 1"
        count = db.execute(
            "SELECT COALESCE(SUM(n - 1), 0) FROM "
            "(SELECT COUNT(*) AS n FROM contents GROUP BY hash HAVING n > 1)"
        ).fetchone()[0]
        crossing = db.execute(
            f"SELECT COUNT(*) FROM (SELECT hash FROM contents JOIN listed.rows USING (number) "
            f"WHERE hash IN ({equal}) GROUP BY hash HAVING COUNT(DISTINCT split) > 1)"
        ).fetchone()[0]
        disputed = db.execute(
            f"SELECT COUNT(*) FROM (SELECT hash FROM contents JOIN listed.images USING (number) "
            f"WHERE hash IN ({equal}) GROUP BY hash HAVING COUNT(DISTINCT labels) > 1)"
        ).fetchone()[0]
        pairs = db.execute(
            f"SELECT a.image, b.image FROM ({equal} LIMIT {_LISTED}) AS e "
            "JOIN (SELECT hash, MIN(number) AS low, MAX(number) AS high FROM contents "
            "GROUP BY hash) AS m USING (hash) "
            "JOIN listed.rows AS a ON a.number = low JOIN listed.rows AS b ON b.number = high"
        ).fetchall()
        return pairs, count, crossing, disputed
    finally:
        db.close()
        path.unlink(missing_ok=True)


def write_quarantine(job: Job, path: Path) -> None:
    """Writes a line for every row without a record: where it stands, which image, and why."""
    path.parent.mkdir(exist_ok=True)
    rows = Index(job.index)
    try:
        with open(path, "w", encoding="utf-8", newline="") as file:
            out = csv.writer(file)
            out.writerow(("file", "line", "image", "split", "kind", "reason"))
            for number, kind, reason in heapq.merge(
                ((number, *problem) for number, problem in rows.problems()), _left_out(job, rows)
            ):
                for name, line, image, split in rows.places([number]):
                    out.writerow((name, line, image, split, kind, reason))
    finally:
        rows.close()


def _left_out(job: Job, rows: Index) -> Iterator[tuple[int, str, str]]:
    for task in rows.tasks():
        yield from (tuple(entry) for entry in read_note(job.note(task)).left_out)  # type: ignore


def as_table(audit: Audit) -> str:
    """The audit as text for a terminal."""
    out = io.StringIO()
    console = Console(file=out, width=100)
    for title, header, lines in _tables(audit):
        table = Table(title=title, title_justify="left")
        for i, column in enumerate(header):
            table.add_column(column, justify="right" if i else "left")
        for line in lines:
            table.add_row(*map(str, line))
        console.print(table)
    for remark in _remarks(audit):
        console.print(remark, markup=False, highlight=False)
    return out.getvalue()


def _tables(audit: Audit) -> Iterator[tuple[str, tuple[str, ...], list[tuple]]]:
    """Title, header and lines of each table; the first column is text, the others are numbers."""
    header = ("split", "rows", "kept", "left out", "with a face", "with several", "subjects")
    yield (
        "Rows",
        header,
        [
            (name, s.rows, s.kept, s.rows - s.kept, s.faces, s.several, s.subjects)
            for name, s in audit.splits.items()
        ],
    )
    if audit.left_out:
        yield "Left out", ("kind", "rows"), audit.left_out.most_common()
    for name, split in audit.splits.items():
        if split.labels or split.raw_labels:
            header = ("AU", "present", "absent", "unknown", "raw present", "absent", "unknown")
            lines = [
                (au, *split.labels.get(au, (0, 0, 0)), *split.raw_labels.get(au, (0, 0, 0)))
                for au in split.labels or split.raw_labels
            ]
            yield f"Labels of {name}: rows kept, and all raw rows", header, lines
        if split.emotions:
            yield f"Emotions of {name}", ("emotion", "kept"), sorted(split.emotions.items())


def _remarks(audit: Audit) -> Iterator[str]:
    yield (
        f"{audit.total} raw rows = {audit.kept} kept + {audit.total - audit.kept} left out "
        "(quarantine.csv says why)."
    )
    faces = sum(split.faces for split in audit.splits.values())
    if not audit.looked_for_faces:
        yield "Faces were not looked for: the images were taken as they are."
    elif audit.kept:
        yield f"Faces in {faces} of {audit.kept} kept images ({100 * faces / audit.kept:.2f} %)."
    yield f"{audit.copy_count} kept images have the contents of an earlier one."
    if audit.disputed:
        yield (
            f"DISPUTED: {audit.disputed} contents stand under several names with differing labels."
        )
    if audit.crossing:
        yield f"LEAK: {audit.crossing} contents stand in more than one split."
    if audit.shared_subjects:
        some = ", ".join(audit.shared_subjects[:_LISTED])
        yield f"LEAK: {len(audit.shared_subjects)} subjects stand in more than one split: {some}"
    if audit.unlisted:
        some = ", ".join(audit.unlisted[:_LISTED])
        yield f"{len(audit.unlisted)} subjects are in no published fold: {some}"


def write_page(job: Job, audit: Audit, folder: Path) -> None:
    """Writes `index.html`, `audit.json` and a `contact_sheet-SPLIT.jpg` per split into `folder`."""
    folder.mkdir(exist_ok=True)
    kept = [name for name, split in audit.splits.items() if split.kept]
    sheets = {name: encode(_contact_sheet(job, audit, name)) for name in kept[:_SHEETS]}
    for name, sheet in sheets.items():
        (folder / f"contact_sheet-{name}.jpg").write_bytes(sheet)
    (folder / "audit.json").write_text(json.dumps(_as_json(job, audit), indent=1))
    caption = f"Crops of records from all over the split {{}}: {', '.join(job.crops)}."
    page = html.render(
        "audit.html",
        title=f"Audit of {job.name}",
        data_set=job.name,
        description=job.description,
        remarks=list(_remarks(audit)),
        tables=list(_tables(audit)),
        shares={name: _shares(split) for name, split in audit.splits.items() if split.labels},
        lists={
            "Images without a face": audit.faceless,
            "Equal images": [f"{a} = {b}" for a, b in audit.copies],
        },
        listed=_LISTED,
        faces=[
            html.Figure(sheet, "crops of some faces", caption.format(name), "image/jpeg")
            for name, sheet in sheets.items()
        ],
    )
    (folder / "index.html").write_text(page, encoding="utf-8")


def _as_json(job: Job, audit: Audit) -> dict[str, Any]:
    return {
        "data_set": job.name,
        "crops": list(job.crops),
        "landmarks": job.landmarks,
        "rows": audit.total,
        "kept": audit.kept,
        "left_out": dict(audit.left_out),
        "splits": {name: dataclasses.asdict(split) for name, split in audit.splits.items()},
        "equal_pictures": audit.copy_count,
        "contents_in_several_splits": audit.crossing,
        "contents_with_differing_labels": audit.disputed,
        "subjects_in_several_splits": audit.shared_subjects,
        "subjects_in_no_fold": audit.unlisted,
    }


def _shares(split: Split) -> list[dict[str, Any]]:
    """Present, absent and unknown of each AU in percent, for bars as in TAL's Fig. 1."""
    return [
        {
            "au": au,
            "meaning": au_names.MEANING[au],
            "percent": {
                kind: 100 * count / max(sum(counts), 1)
                for kind, count in zip(("present", "absent", "unknown"), counts, strict=True)
            },
        }
        for au, counts in split.labels.items()
    ]


def _contact_sheet(job: Job, audit: Audit, split: str) -> np.ndarray:
    """Crops of records from all over a split, each record's side by side: uint8 [H, W, 3]."""
    kept = [(task, count) for task, count in audit.tasks if count and task.split == split]
    number = audit.splits[split].kept
    places = np.linspace(0, number - 1, min(_SHEET, number)).astype(int)
    starts = np.cumsum([0, *(count for _, count in kept)])
    tiles = []
    for place in places:
        at = int(np.searchsorted(starts, place, "right")) - 1
        reader = ArrayRecordDataSource([str(job.part(kept[at][0]))])
        raw = reader.__getitems__([int(place - starts[at])])[0]
        feature = tf_example_pb2.Example.FromString(raw).features.feature
        crops = [feature[f"crops/{crop}"].bytes_list.value[0] for crop in job.crops]
        tiles.append(np.hstack([_thumb(jpeg) for jpeg in crops]))
    across = max(1, _ACROSS // len(job.crops))
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % across)
    return np.vstack([np.hstack(tiles[i : i + across]) for i in range(0, len(tiles), across)])


def _thumb(jpeg: bytes) -> np.ndarray:
    return cv2.resize(decode(jpeg), (_THUMB, _THUMB), interpolation=cv2.INTER_AREA)
