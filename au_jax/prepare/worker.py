"""One process of `prepare`: turns a task's rows into a finished shard file and a note about it.

The note (`000012.json`) is written last, so a task is done when its note is there.
"""

import dataclasses
import hashlib
import json
import multiprocessing
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from pathlib import Path

import cv2
import numpy as np

from au_jax.data.records import Record
from au_jax.faces.align import cut
from au_jax.faces.face import Face
from au_jax.faces.openface import OpenFace, face_from_points
from au_jax.prepare.image_io import BadImageError, Video, read_image
from au_jax.prepare.readers.rows import Row
from au_jax.prepare.row_index import Index, Task, text
from au_jax.prepare.tfds_builder import Serializer, builder, shard_writer

JPEG_QUALITY = 95


@dataclasses.dataclass(frozen=True)
class Job:
    """What a worker needs to know; it is sent to each as it starts.

    Attributes:
      name, aus, crops, description: of the data set.
      raw: the raw folder.
      work: the folder of unfinished work, with the index and the parts.
      landmarks: "models", "dataset" or a folder of OpenFace's CSV files.
      as_is: height and width that images of the crop `as_is` are brought to.
    """

    name: str
    aus: tuple[str, ...]
    crops: tuple[str, ...]
    description: str
    raw: Path
    work: Path
    landmarks: str
    as_is: tuple[int, int]

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
      kept: records in the shard file.
      faces, several: records with a face, and with more than one.
      labels: [A, 3] present, absent, unknown among the kept rows.
      emotions: kept rows by emotion.
      left_out: row number, kind and reason of each row that has no record.
      faceless: row numbers of records without a face.
      contents: row number and a short hash of each kept image file.
    """

    kept: int
    faces: int
    several: int
    labels: list[list[int]]
    emotions: dict[str, int]
    left_out: list[tuple[int, str, str]]
    faceless: list[int]
    contents: list[tuple[int, int]]


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
        text_ = job.description
        self._serialize: Serializer = builder(
            job.name, job.work / "built", job.aus, job.crops, text_
        ).serializer()
        self._find = _face_finder(job)

    def do(self, task: Task) -> None:
        """Writes the task's shard file and note.

        Raises:
          OSError: they cannot be written.
        """
        job = self._job
        note = Note(0, 0, 0, [[0, 0, 0] for _ in job.aus], {}, [], [], [])
        emotions: Counter[str] = Counter()
        video: tuple[str, Video | BadImageError] | None = None
        with shard_writer(job.part(task)) as writer:
            for number, row in self._index.rows(task):
                try:
                    if row.position < 0:
                        image, data = read_image(job.raw / row.image)
                    else:
                        if video is None or video[0] != row.image:
                            video = (row.image, _open(job.raw / row.image))
                        image, data = _frame(video[1], row.position), b""
                except BadImageError as bad:
                    note.left_out.append((number, bad.kind, str(bad)))
                    self._seen(False)
                    continue
                face, count = self._find(image, row)
                found = face is not None or job.crops == ("as_is",)
                writer.write(self._serialize(_record(job, row, image, data, face, found)))
                note.kept += 1
                note.faces += found
                note.several += count > 1
                for of_au, label in zip(note.labels, row.labels, strict=True):
                    of_au[(1, 0, 2)[label]] += 1  # label -1 picks the last
                emotions[str(row.emotion)] += 1
                if not found:
                    note.faceless.append(number)
                if data:
                    digest = hashlib.blake2b(data, digest_size=6).digest()
                    note.contents.append((number, int.from_bytes(digest)))
                self._seen(found)
        note.emotions = dict(emotions)
        path = job.note(task)
        unfinished = path.with_suffix(".note")
        unfinished.write_text(json.dumps(dataclasses.asdict(note)))
        os.replace(unfinished, path)


def read_note(path: Path) -> Note:
    return Note(**json.loads(path.read_text()))


def _face_finder(job: Job) -> Callable[[np.ndarray, Row], tuple[Face | None, int]]:
    if job.crops == ("as_is",):
        return lambda image, row: (None, 0)
    if job.landmarks == "models":
        from au_jax.faces.mediapipe import MediaPipe

        models = MediaPipe()
        return lambda image, row: models.find(image, None if not row.near else np.array(row.near))
    if job.landmarks == "dataset":
        return lambda image, row: (face_from_points(row.points), 1) if row.points else (None, 0)
    openface = OpenFace(Path(job.landmarks))
    return lambda image, row: openface.find(row.image, row.position)


def _record(
    job: Job, row: Row, image: np.ndarray, data: bytes, face: Face | None, found: bool
) -> Record:
    crops = {}
    for crop in job.crops:
        if crop != "as_is":
            crops[crop] = encode(cut(image, face, crop))
        elif image.shape[:2] == job.as_is and data.startswith(b"\xff\xd8"):
            crops[crop] = data  # the owners' own JPEG, not compressed once more
        else:
            crops[crop] = encode(cv2.resize(image, job.as_is[::-1], interpolation=cv2.INTER_AREA))
    pose: Sequence[float] = (float("nan"),) * 3
    if row.pose is not None:
        pose = row.pose
    elif face is not None:
        pose = face.pose.tolist()
    return Record(
        key=f"{job.name}/{text(row.image_key())}#0",
        crops=crops,
        labels=np.array(row.labels, np.int8),
        intensity=None if row.intensity is None else np.array(row.intensity, np.int8),
        pose=pose,
        emotion=row.emotion,
        face=found,
        subject=text(row.subject),
        video=text(row.video),
        frame=row.frame,
    )


def encode(image: np.ndarray) -> bytes:
    """JPEG bytes of uint8 [H, W, 3], RGB."""
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def _open(path: Path) -> Video | BadImageError:
    try:
        return Video(path)
    except BadImageError as bad:
        return bad


def _frame(video: Video | BadImageError, position: int) -> np.ndarray:
    if isinstance(video, BadImageError):
        raise video
    return video.frame(position)


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

    def seen(found: bool) -> None:
        with rows_done.get_lock():
            rows_done.value += 1
            faces_found.value += found

    _worker = Worker(job, seen)


def do(task: Task) -> None:
    """Does one task in a worker process."""
    _worker.do(task)
