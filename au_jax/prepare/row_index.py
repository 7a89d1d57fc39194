"""The index of a data set that is being prepared: every raw row, in one SQLite file.

The rows of a large data set do not fit into memory several times over, and a run that was stopped
must go on with the same ones. The index is built once, under another name until it is whole.
"""

import dataclasses
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from au_jax.errors import UserError, spelled_out
from au_jax.prepare.readers.rows import Problem, RawSet, Row

_SCHEMA = """
CREATE TABLE rows (number INTEGER PRIMARY KEY, split TEXT, file TEXT, line INTEGER, image TEXT,
                   position INTEGER, subject TEXT, kind TEXT, reason TEXT, data TEXT);
CREATE TABLE images (key TEXT PRIMARY KEY, number INTEGER, labels TEXT) WITHOUT ROWID;
CREATE TABLE tasks (number INTEGER PRIMARY KEY, split TEXT, first INTEGER, last INTEGER,
                    size INTEGER);
CREATE TABLE counts (split TEXT, au TEXT, present INTEGER, absent INTEGER, unknown INTEGER);
"""

# Rows of one task of images: enough tasks to share out and to resume by, and shard files that
# are neither tiny nor too many to keep open, as a process may open about a thousand.
_FEWEST, _MOST, _TASKS, _MOST_TASKS = 64, 4096, 200, 500
# Each split becomes a set of files; a column of other things, taken for splits, thousands of them.
_MOST_SPLITS = 100


@dataclasses.dataclass(frozen=True)
class Task:
    """The rows of one split between two numbers: images, or one whole video; one shard file."""

    number: int
    split: str
    first: int
    last: int
    size: int


class Index:
    """An index file, open for reading."""

    def __init__(self, path: Path):
        self._db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)

    def close(self) -> None:
        self._db.close()

    def tasks(self) -> list[Task]:
        rows = self._db.execute("SELECT number, split, first, last, size FROM tasks")
        return [Task(*row) for row in rows]

    def rows(self, task: Task) -> Iterator[tuple[int, Row]]:
        """Number and content of a task's rows that have no problem."""
        query = (
            "SELECT number, data FROM rows WHERE number BETWEEN ? AND ? AND split = ? "
            "AND kind IS NULL ORDER BY number"
        )
        for number, data in self._db.execute(query, (task.first, task.last, task.split)):
            yield number, Row(**json.loads(data))

    def total(self) -> dict[str, int]:
        """Raw rows by split."""
        return dict(self._db.execute("SELECT split, COUNT(*) FROM rows GROUP BY split"))

    def problems(self) -> Iterator[tuple[int, Problem]]:
        query = "SELECT number, kind, reason FROM rows WHERE kind IS NOT NULL ORDER BY number"
        for number, kind, reason in self._db.execute(query):
            yield number, Problem(kind, reason)

    def places(self, numbers: Iterable[int]) -> Iterator[tuple[str, int, str, str]]:
        """File, line, image (of a video the frame's place, from 1) and split of each row."""
        query = (
            "SELECT file, line, image || CASE WHEN position >= 0 THEN ', frame ' || (position + 1) "
            "ELSE '' END, split FROM rows WHERE number = ?"
        )
        for number in numbers:
            yield self._db.execute(query, (number,)).fetchone()

    def label_counts(self) -> dict[str, dict[str, tuple[int, int, int]]]:
        """Split -> AU -> (present, absent, unknown) over all raw rows, those left out too."""
        counts: dict[str, dict[str, tuple[int, int, int]]] = {}
        for split, au, *numbers in self._db.execute("SELECT * FROM counts"):
            counts.setdefault(split, {})[au] = tuple(numbers)
        return counts

    def subjects(self) -> dict[str, set[str]]:
        """The subjects of each split's usable rows."""
        query = "SELECT DISTINCT split, subject FROM rows WHERE kind IS NULL AND subject != ''"
        subjects: dict[str, set[str]] = {}
        for split, subject in self._db.execute(query):
            subjects.setdefault(split, set()).add(subject)
        return subjects

    def first_images(self) -> Iterator[Row]:
        """Usable rows in order, for a look at the first image that can be read."""
        for (data,) in self._db.execute("SELECT data FROM rows WHERE kind IS NULL ORDER BY number"):
            yield Row(**json.loads(data))


def build(raw: RawSet, path: Path) -> None:
    """Reads all raw rows into the index file `path`, unless it is there.

    A second row for one image is left out as a duplicate.

    Raises:
      UserError: the label files hold no row, or more splits than a data set has; the index that is
        there was damaged.
    """
    proof = path.with_suffix(".hash")
    if path.exists():
        if not proof.is_file() or proof.read_text() != hash_of_file(path):
            raise UserError(f"{path} is damaged; delete the folder {path.parent} and start again")
        return
    unfinished = path.with_suffix(".tmp")
    unfinished.unlink(missing_ok=True)
    db = sqlite3.connect(unfinished)
    try:
        db.execute("PRAGMA journal_mode=OFF")
        db.execute("PRAGMA synchronous=OFF")
        db.executescript(_SCHEMA)
        counts: dict[str, np.ndarray] = {}
        bar = tqdm(raw.rows(), desc=f"reading the labels of {raw.name}", unit=" rows")
        total = 0
        splits: set[str] = set()
        for number, row in enumerate(bar):
            total += 1
            splits.add(row.split)
            if len(splits) > _MOST_SPLITS:
                raise UserError(
                    f"{row.file}, line {row.line}: '{row.split}' is the split number {len(splits)} "
                    f"and a data set has at most {_MOST_SPLITS}; is that the column of the splits?"
                )
            if row.labels:
                sums = counts.setdefault(row.split, np.zeros((len(raw.aus), 3), np.int64))
                for i, label in enumerate(row.labels):
                    sums[i, (1, 0, 2)[label]] += 1  # label -1 picks the last
            _insert(db, number, row)
        if not total:
            files = ", ".join(map(str, raw.files[:3]))
            raise UserError(f"the label files of {raw.name} hold no rows: {files}")
        for split, sums in counts.items():
            lines = [(split, au, *map(int, of_au)) for au, of_au in zip(raw.aus, sums, strict=True)]
            db.executemany("INSERT INTO counts VALUES (?, ?, ?, ?, ?)", lines)
        db.executemany("INSERT INTO tasks VALUES (?, ?, ?, ?, ?)", list(_divide(db, total)))
        db.commit()
    except sqlite3.OperationalError as error:
        # SQLite names a full disk and a forbidden write in words of its own.
        raise OSError(None, str(error), str(path)) from error
    finally:
        db.close()
    proof.write_text(hash_of_file(unfinished))
    os.replace(unfinished, path)


def hash_of_file(path: Path) -> str:
    """A hash of all its bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def _insert(db: sqlite3.Connection, number: int, row: Row) -> None:
    if row.problem is None:
        labels = json.dumps([row.labels, row.emotion])
        key = spelled_out(row.image_key())
        try:
            db.execute("INSERT INTO images VALUES (?, ?, ?)", (key, number, labels))
        except sqlite3.IntegrityError:
            query = (
                "SELECT file, line, images.labels FROM images JOIN rows USING (number) "
                "WHERE key = ?"
            )
            file, line, kept = db.execute(query, (key,)).fetchone()
            same = "the same" if kept == labels else "other"
            reason = f"{file}, line {line} is kept for this image; it has {same} labels"
            row = dataclasses.replace(row, problem=Problem("duplicate", reason))
    data = None if row.problem else json.dumps(dataclasses.asdict(row))
    place = (
        row.split,
        spelled_out(row.file),
        row.line,
        spelled_out(row.image),
        row.position,
        spelled_out(row.subject),
    )
    why = (row.problem.kind, spelled_out(row.problem.reason)) if row.problem else (None, None)
    # The data keep every byte: JSON spells out what is no UTF-8.
    db.execute("INSERT INTO rows VALUES (?,?,?,?,?,?,?,?,?,?)", (number, *place, *why, data))


def _divide(db: sqlite3.Connection, total: int) -> Iterator[tuple[int, str, int, int, int]]:
    """Tasks over all usable rows: runs of one split and of images, or of one video.

    A table may name the splits in any order of its rows.
    """
    most = max(min(max(total // _TASKS, _FEWEST), _MOST), -(-total // _MOST_TASKS))
    run: tuple[str, str | None] | None = None
    number = first = last = size = 0
    query = (
        "SELECT number, split, image, position >= 0 FROM rows JOIN (SELECT split AS name, "
        "MIN(number) AS first FROM rows GROUP BY split) ON split = name WHERE kind IS NULL "
        "ORDER BY first, number"
    )
    for row, split, image, of_video in db.execute(query):
        this = (split, image if of_video else None)
        if this != run or (not of_video and size >= most):
            if run:
                yield number, run[0], first, last, size
                number += 1
            run, first, size = this, row, 0
        last, size = row, size + 1
    if run:
        yield number, run[0], first, last, size
