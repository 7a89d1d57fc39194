"""Worker processes of `--mode=prepare`: a task's rows become a shard file and a note about it.

The note (`000012.json`) is written last, so a task is done when its note is there.
"""

import contextlib
import dataclasses
import hashlib
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from au_jax.data.crop_jpeg import encode
from au_jax.data.image_io import BadImageError, Video, read_image
from au_jax.data.records import Record
from au_jax.errors import spelled_out
from au_jax.faces.align import cut
from au_jax.faces.face import Face
from au_jax.faces.openface import OpenFace, face_from_points
from au_jax.prepare.readers.rows import ImageReader, Row, record_key
from au_jax.prepare.row_index import Index, Task, hash_of_file
from au_jax.prepare.tfds_builder import PreparedFaces, Serializer, builder, shard_writer


@dataclasses.dataclass(frozen=True)
class Job:
    """What a worker needs to know; it is sent to each as it starts.

    Attributes:
      name, aus, crops, description, drawn, settings: what the data set is called and holds, see
        `rows.RawSet`.
      images: opens the images of its rows; each process calls it once.
      work: the folder of unfinished work, with the index and the parts.
      landmarks: "models", "dataset", "aligned" or a folder of OpenFace's CSV files.
      whole: height and width that images are brought to which are stored whole: those of the crop
        `as_is`, or all of them if they are aligned already.
    """

    name: str
    aus: tuple[str, ...]
    crops: tuple[str, ...]
    description: str
    images: Callable[[], ImageReader]
    work: Path
    landmarks: str
    whole: tuple[int, int]
    drawn: bool = False
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def takes_whole(self) -> bool:
        """Whether all images are stored whole, so that nothing looks for faces."""
        return self.landmarks == "aligned" or self.crops == ("as_is",)

    def builder(self, data_dir: Path) -> PreparedFaces:
        """The builder of the data set in `data_dir/NAME/1.0.0`."""
        return builder(
            self.name,
            data_dir,
            self.aus,
            self.crops,
            self.description,
            drawn=self.drawn,
            settings=self.settings,
        )

    @property
    def index(self) -> Path:
        return self.work / "index.sqlite"

    def part(self, task: Task) -> Path:
        return self.work / "parts" / f"{task.number:06d}.array_record"

    def note(self, task: Task) -> Path:
        return self.part(task).with_suffix(".json")


@dataclasses.dataclass
class Note:
    """What became of a task's rows.

    Attributes:
      labels: [A, 3] present, absent, unknown among the kept rows.
      kept: records in the shard file.
      faces, several: records with a face, and with more than one.
      emotions: kept rows by emotion.
      left_out: row number, kind and reason of each row that has no record.
      faceless: row numbers of records without a face.
      contents: row number and a short hash of each kept image file.
      part: a hash of the shard file.
    """

    labels: list[list[int]]
    kept: int = 0
    faces: int = 0
    several: int = 0
    emotions: dict[str, int] = dataclasses.field(default_factory=dict)
    left_out: list[tuple[int, str, str]] = dataclasses.field(default_factory=list)
    faceless: list[int] = dataclasses.field(default_factory=list)
    contents: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    part: str = ""

    def keep(self, number: int, row: Row, data: bytes, has_face: bool, count: int) -> None:
        """Counts a row that has a record.

        Args:
          number: which row of the index it is.
          data: the bytes of its image file; empty for a video frame.
          count: how many faces were seen.
        """
        self.kept += 1
        self.faces += has_face
        self.several += count > 1
        for counts, label in zip(self.labels, row.labels, strict=True):
            counts[(1, 0, 2)[label]] += 1  # label -1 picks the last
        self.emotions[str(row.emotion)] = self.emotions.get(str(row.emotion), 0) + 1
        if not has_face:
            self.faceless.append(number)
        if data:
            digest = hashlib.blake2b(data, digest_size=6).digest()
            self.contents.append((number, int.from_bytes(digest)))

    def write(self, path: Path) -> None:
        """Writes the note, and its hash behind it, under another name until it is whole."""
        unfinished = path.with_suffix(".note")
        content = json.dumps(dataclasses.asdict(self))
        unfinished.write_text(f"{content}\n{_hash(content.encode())}")
        os.replace(unfinished, path)


class Images:
    """The images of rows, read one after another; a video stays open for its next frame."""

    def __init__(self, raw: Path, outside: bool):
        """Reads from the folder `raw`, and from elsewhere only if `outside`."""
        self._raw, self._outside = raw, outside
        self._root = os.path.realpath(raw)
        self._video: tuple[str, Video | BadImageError] | None = None

    def read(self, row: Row) -> tuple[np.ndarray, bytes]:
        """The row's image uint8 [H, W, 3] RGB, and its file's bytes, none for a video frame.

        Raises:
          BadImageError: it cannot be used, or lies outside of the raw folder; a video that cannot
            be opened fails for each frame.
        """
        if row.position < 0:
            return read_image(self._place(row.image))
        if self._video is None or self._video[0] != row.image:
            self._video = (row.image, _open(self._place(row.image)))
        video = self._video[1]
        if isinstance(video, BadImageError):
            raise video
        return video.frame(row.position), b""

    def _place(self, image: str) -> Path:
        """The path of an image, when it may be read: a table or a link may name any file."""
        path = self._raw / image
        with contextlib.suppress(ValueError):  # a null character; there is no such file
            real = os.path.realpath(path)
            if not self._outside and not Path(real).is_relative_to(self._root):
                reason = f"it lies outside of the raw folder, at {spelled_out(real)}"
                raise BadImageError("outside", f"{reason}; --allow_outside permits that")
        return path


class Worker:
    """Does tasks, one after another, with models that are loaded once."""

    def __init__(self, job: Job, seen: Callable[[bool], None]):
        """Loads the models.

        Args:
          seen: called after each row with whether a face was found.
        """
        # One thread each: the processes share the cores out among themselves.
        cv2.setNumThreads(1)
        self._job, self._seen = job, seen
        self._index = Index(job.index)
        self._serialize: Serializer = job.builder(job.work / "built").serializer()
        self._images = job.images()
        self._find = _face_finder(job)

    def do(self, task: Task) -> None:
        """Writes the task's shard file and note.

        Raises:
          OSError: they cannot be written.
        """
        job = self._job
        note = Note([[0, 0, 0] for _ in job.aus])
        with shard_writer(job.part(task)) as writer:
            for number, row in self._index.rows(task):
                try:
                    image, data = self._images.read(row)
                    if job.landmarks == "aligned":
                        _check_square(image)
                except BadImageError as bad:
                    note.left_out.append((number, bad.kind, str(bad)))
                    self._seen(False)
                    continue
                face, count = self._find(image, row)
                has_face = face is not None or job.takes_whole
                writer.write(self._serialize(_record(job, row, image, data, face, has_face)))
                note.keep(number, row, data, has_face, count)
                self._seen(has_face)
        note.part = hash_of_file(job.part(task))
        note.write(job.note(task))


def read_note(path: Path) -> Note:
    """Reads what `Note.write` wrote.

    Raises:
      ValueError: the file is damaged.
    """
    content, _, said = path.read_text().partition("\n")
    if said != _hash(content.encode()):
        raise ValueError(f"{path} is damaged")
    return Note(**json.loads(content))


def is_done(job: Job, task: Task) -> bool:
    """Whether the task's note is there, whole, and that of the shard file beside it."""
    try:
        return read_note(job.note(task)).part == hash_of_file(job.part(task))
    except (OSError, ValueError):
        return False


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content).hexdigest()


def _face_finder(job: Job) -> Callable[[np.ndarray, Row], tuple[Face | None, int]]:
    if job.takes_whole:
        return lambda image, row: (None, 0)
    if job.landmarks == "models":
        from au_jax.faces.mediapipe import MediaPipe

        models = MediaPipe()
        return lambda image, row: models.find(image, None if not row.near else np.array(row.near))
    if job.landmarks == "dataset":
        return lambda image, row: (face_from_points(row.points), 1) if row.points else (None, 0)
    openface = OpenFace(Path(job.landmarks))
    return lambda image, row: openface.find(row.image, row.position)


def _check_square(image: np.ndarray) -> None:
    height, width = image.shape[:2]
    if height != width:
        raise BadImageError(
            "not square", f"{width} x {height} pixels are no aligned crop, as crops are square"
        )


def _record(
    job: Job, row: Row, image: np.ndarray, data: bytes, face: Face | None, has_face: bool
) -> Record:
    crops = {}
    for crop in job.crops:
        if crop != "as_is" and job.landmarks != "aligned":
            crops[crop] = encode(cut(image, face, crop))
        elif image.shape[:2] == job.whole and data.startswith(b"\xff\xd8"):
            crops[crop] = data  # the owners' own JPEG, not compressed once more
        else:
            crops[crop] = encode(cv2.resize(image, job.whole[::-1], interpolation=cv2.INTER_AREA))
    pose: Sequence[float] = (float("nan"),) * 3
    if row.pose is not None:
        pose = row.pose
    elif face is not None:
        pose = face.pose.tolist()
    return Record(
        key=record_key(job.name, row.image_key()),
        crops=crops,
        labels=np.array(row.labels, np.int8),
        intensity=None if row.intensity is None else np.array(row.intensity, np.int8),
        pose=pose,
        emotion=row.emotion,
        face=has_face,
        subject=spelled_out(row.subject),
        video=spelled_out(row.video),
        frame=row.frame,
    )


def _open(path: Path) -> Video | BadImageError:
    try:
        return Video(path)
    except BadImageError as bad:
        return bad


_worker: Worker


def start(job: Job, rows_done, faces_found) -> None:
    """Makes this process a worker: the initialiser of the process pool.

    Args:
      rows_done, faces_found: `multiprocessing.Value` counters that all workers share.
    """
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once and without a trace
    parent = multiprocessing.parent_process()
    assert parent is not None

    def leave_with_parent() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=leave_with_parent, daemon=True).start()

    def seen(has_face: bool) -> None:
        with rows_done.get_lock():
            rows_done.value += 1
            faces_found.value += has_face

    _worker = Worker(job, seen)


def do(task: Task) -> None:
    """Does one task in a worker process."""
    _worker.do(task)
