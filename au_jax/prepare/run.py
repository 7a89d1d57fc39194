"""The course of `--mode=prepare`: from raw files on a disk to a data set to train on.

The work goes on in `DATA_DIR/NAME.unfinished`: an index of all rows, then one shard file and note
per task, written by several processes, then the data set itself and its audit. The last act renames
it to `DATA_DIR/NAME/1.0.0`. Whatever stops it, the same command goes on from the finished tasks.
"""

import contextlib
import errno
import functools
import json
import multiprocessing
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
from tqdm import tqdm

from au_jax.data.image_io import BadImageError
from au_jax.data.records import CROPS, VERSION, truth_path
from au_jax.errors import NO_ROOM, UserError, unknown
from au_jax.faces.align import SIDE
from au_jax.files import lock
from au_jax.prepare import audit, row_index, worker
from au_jax.prepare.readers import open_raw
from au_jax.prepare.readers.rows import ImageReader, RawSet
from au_jax.prepare.row_index import Index, Task
from au_jax.prepare.worker import Images, Job, Worker
from au_jax.process import cores

_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def run(
    dataset: str,
    raw: Path,
    data_dir: Path,
    crops: Sequence[str] = (),
    landmarks: str = "models",
    name: str = "",
    columns: Mapping[str, str] | None = None,
    processes: int = 0,
    outside: bool = False,
    render: Mapping[str, str] | None = None,
) -> Path:
    """Prepares a data set, or goes on where an interrupted run stopped.

    Args:
      dataset: a key of `readers.READERS`, or `module:function` for a reader of the user's own.
      raw: the folder of the raw files as their owners deliver them.
      data_dir: where prepared data sets lie; this one comes to lie in `data_dir/NAME/1.0.0`.
      crops: which of `records.CROPS` to cut; the data set's own choice if empty.
      landmarks: what says where faces are: "models" (MediaPipe), "dataset" (the 68 points that
        AffectNet brings), a folder of OpenFace's .csv files, or "aligned": each image is the one
        crop in `crops` already, and is stored whole, resized to that crop's side.
      name, columns, render: see `readers.open_raw`.
      processes: how many to work with; 0 for one per core.
      outside: whether images may lie outside of the raw folder, where a table or a link leads.

    Returns:
      The prepared data set's folder; `audit/index.html` in it shows what became of the rows.

    Raises:
      UserError: with one sentence, for whatever the user can mend.
    """
    source = open_raw(dataset, Path(raw), name, columns, render)
    chosen = _check_crops(crops or source.crops)
    folder = Path(data_dir) / source.name / VERSION
    work = Path(data_dir) / f"{source.name}.unfinished"
    if folder.exists():
        _already(folder, chosen, source)
        if work.is_dir():  # of a run that was killed when the data set had its name already
            with _disk(Path(data_dir)), _alone(work):
                shutil.rmtree(work)
        return folder
    _check_landmarks(landmarks, source, chosen)
    with _disk(Path(data_dir)), _alone(work):
        _check_request(work, source, Path(raw), chosen, landmarks, outside)
        images = _images(source, Path(raw).absolute(), work.absolute(), outside)
        row_index.build(source, work / "index.sqlite")
        whole = (0, 0)
        if landmarks == "aligned":
            whole = (SIDE[chosen[0]],) * 2
        elif "as_is" in chosen:
            whole = _first_size(work, images())
        job = Job(
            source.name,
            source.aus,
            chosen,
            source.description,
            images,
            work.absolute(),
            landmarks,
            whole,
            source.drawn,
            source.settings,
        )
        _work(job, cores.as_many(processes, "--processes"))
        _finish(job, source, folder)
    print(f"prepared {source.name} in {folder}; its audit is {folder / 'audit' / 'index.html'}")
    return folder


def _check_crops(crops: Sequence[str]) -> tuple[str, ...]:
    for crop in crops:
        if crop not in CROPS:
            raise unknown("crop in --crops", crop, CROPS)
    return tuple(dict.fromkeys(crops))


def _already(folder: Path, crops: tuple[str, ...], source: RawSet) -> None:
    """Finds out whether a finished data set has what is asked for."""
    try:
        metadata = json.loads((folder / "metadata.json").read_text())
        has, settings = metadata["crops"], metadata.get("settings", {})
        lacking = [crop for crop in crops if crop not in has]
        names = ", ".join(has)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder} is there but is no data set of this package; move it away, or give another "
            "--data_dir"
        ) from error
    if lacking:
        raise UserError(
            f"{folder} is prepared with the crops {names} and lacks {lacking[0]}; delete "
            "it, or give another --data_dir, and prepare it with all the crops that you need"
        )
    other = [key for key, value in source.settings.items() if settings.get(key) != value]
    if other:
        raise UserError(
            f"{folder} is prepared with {other[0]}={settings.get(other[0])}, not "
            f"{source.settings[other[0]]}; give another --name, or delete it"
        )
    print(f"{folder} is prepared already; delete it to prepare it anew")


def _check_landmarks(landmarks: str, source: RawSet, crops: tuple[str, ...]) -> None:
    if landmarks == "aligned":
        if len(crops) != 1 or crops[0] not in SIDE:
            raise UserError(
                "--landmarks=aligned takes every image whole as the one crop that it was aligned "
                f"to, which --crops={','.join(crops)} does not say; give one of {', '.join(SIDE)}"
            )
    elif crops == ("as_is",):
        return  # nothing looks for faces
    elif landmarks == "models":
        from au_jax.faces.mediapipe import weights_folder

        weights_folder()
    elif landmarks == "dataset":
        if not any(row.points for row, _ in zip(source.rows(), range(100), strict=False)):
            raise UserError(
                f"{source.name} brings no 68 landmarks in its first rows; use --landmarks=models"
            )
    elif not Path(landmarks).is_dir():
        raise UserError(
            f"--landmarks={landmarks} is neither 'models' nor 'dataset' nor 'aligned' nor a folder "
            "of OpenFace's .csv files"
        )


@contextlib.contextmanager
def _disk(data_dir: Path) -> Iterator[None]:
    """Says in a sentence what the disk refused."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        code = getattr(error, "errno", None)
        if code in NO_ROOM or "disk is full" in str(error):
            raise UserError(
                f"the disk of {data_dir} is full; free some space and run the same command again, "
                "it goes on where it stopped"
            ) from error
        if code in _FORBIDDEN:
            raise UserError(
                f"{getattr(error, 'filename', None) or data_dir} may not be written "
                f"({os.strerror(code)}); give a --data_dir that is yours"
            ) from error
        if isinstance(error, sqlite3.Error):
            raise UserError(
                f"the unfinished work in {data_dir} is damaged ({error}); delete its folder "
                "NAME.unfinished and start again"
            ) from error
        raise UserError(
            f"{getattr(error, 'filename', None) or data_dir} cannot be used ({error}); "
            "move it away, or give another --data_dir"
        ) from error


@contextlib.contextmanager
def _alone(work: Path) -> Iterator[None]:
    """Makes the folder of unfinished work and keeps a second run out of it."""
    try:
        work.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, FileNotFoundError, NotADirectoryError) as error:
        place = work.parent
        raise UserError(f"--data_dir={place} is no folder; give another one") from error
    with lock.alone(work / "lock", f"is at work in {work}"):
        yield


def _check_request(
    work: Path,
    source: RawSet,
    raw: Path,
    crops: tuple[str, ...],
    landmarks: str,
    outside: bool,
) -> None:
    """Finds out whether unfinished work was begun with the same files and wishes."""
    files = {str(f.absolute()): [f.stat().st_size, f.stat().st_mtime_ns] for f in source.files}
    request = {
        "raw": str(raw.absolute()),
        "crops": list(crops),
        "landmarks": landmarks,
        "allow_outside": outside,
        "aus": list(source.aus),
        "files": files,
        "settings": dict(source.settings),
    }
    path = work / "request.json"
    (work / "parts").mkdir(exist_ok=True)
    if (work / "index.sqlite").exists():
        try:
            begun = json.loads(path.read_text())
        except (OSError, ValueError):
            begun = {}
        begun = begun if isinstance(begun, dict) else {}
        changed = [key for key, value in request.items() if begun.get(key) != value]
        if changed:
            raise UserError(
                f"{work} holds unfinished work that was begun with other {changed[0]}; delete that "
                "folder to start afresh, or ask for the same as then"
            )
        return
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(json.dumps(request))
    os.replace(unfinished, path)


def _images(source: RawSet, raw: Path, work: Path, outside: bool) -> Callable[[], ImageReader]:
    """What opens the images of the rows, in this process and in others.

    Raises:
      UserError: what makes the images lacks something.
    """
    if source.images is None:
        return functools.partial(Images, raw if raw.is_dir() else raw.parent, outside)
    images = functools.partial(source.images, work)
    images()  # says what it lacks before anything starts
    return images


def _first_size(work: Path, images: ImageReader) -> tuple[int, int]:
    """Height and width of the first image that can be read: those of the crop `as_is`."""
    rows = Index(work / "index.sqlite")
    try:
        for row in rows.first_images():
            with contextlib.suppress(BadImageError):
                image, _ = images.read(row)
                return image.shape[0], image.shape[1]
    finally:
        rows.close()
    return 0, 0


def _work(job: Job, processes: int) -> None:
    """Does all tasks that are not done yet, or whose files were damaged since."""
    rows = Index(job.index)
    tasks = rows.tasks()
    rows.close()
    todo = [task for task in tasks if not worker.is_done(job, task)]
    total = sum(task.size for task in tasks)
    bar = tqdm(
        total=total,
        initial=total - sum(task.size for task in todo),
        desc=f"preparing {job.name}",
        unit=" images",
        smoothing=0.05,
    )
    with bar:
        if min(processes, len(todo)) > 1:
            # The largest first, so that no process ends with a long video while the rest wait.
            todo.sort(key=lambda task: -task.size)
            _share_out(job, todo, min(processes, len(todo)), bar)
        elif todo:
            _do_here(job, todo, bar)


def _do_here(job: Job, todo: list[Task], bar: tqdm) -> None:
    counts = [0, 0]

    def seen(has_face: bool) -> None:
        counts[0] += 1
        counts[1] += has_face
        _advance(bar, 1, *counts)

    worker = Worker(job, seen)
    for task in todo:
        worker.do(task)


def _share_out(job: Job, todo: list[Task], processes: int, bar: tqdm) -> None:
    # Spawned, not forked: the libraries here have threads, which a fork would leave in pieces.
    context = multiprocessing.get_context("spawn")
    done, faces = context.Value("q"), context.Value("q")
    pool = ProcessPoolExecutor(
        processes, context, initializer=worker.start, initargs=(job, done, faces)
    )
    try:
        pending = {pool.submit(worker.do, task) for task in todo}
        shown = 0
        while pending:
            finished, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
            now = done.value
            _advance(bar, now - shown, now, faces.value)
            shown = now
            for future in finished:
                future.result()
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process was ended from outside, most often for want of memory; run the same "
            "command again with a smaller --processes, finished work is kept"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _advance(bar: tqdm, by: int, done: int, faces: int) -> None:
    bar.set_postfix_str(f"faces in {100 * faces / max(done, 1):.1f} %", refresh=False)
    bar.update(by)


def _finish(job: Job, source: RawSet, folder: Path) -> None:
    """Audits the finished tasks, builds the data set, and gives it its name."""
    results = audit.collect(job)
    print(audit.as_table(results))
    report = job.work / "audit"
    audit.write_quarantine(job, report / "quarantine.csv")
    if not results.kept:
        kinds = ", ".join(kind for kind, _ in results.left_out.most_common())
        for begun in (job.work / "parts", job.index):  # the next run is to look again
            shutil.rmtree(begun) if begun.is_dir() else begun.unlink()
        raise UserError(
            f"none of the {results.total} rows of {job.name} could be kept "
            f"({kinds}); {report / 'quarantine.csv'} says why"
        )
    audit.write_page(job, results, report)
    built = job.work / "built"
    shutil.rmtree(built, ignore_errors=True)
    shards: dict[str, list[tuple[Path, int]]] = {}
    for task, kept in results.tasks:
        if kept:
            shards.setdefault(task.split, []).append((job.part(task), kept))
    data_set = job.builder(built)
    data_set.put_together(shards)
    staged = Path(data_set.data_path)
    shutil.copytree(report, staged / "audit")
    for split, truth in (source.truth() if source.truth else {}).items():
        np.savez_compressed(truth_path(staged, split), **truth._asdict())
    folder.parent.mkdir(parents=True, exist_ok=True)
    os.rename(staged, folder)
    shutil.rmtree(job.work, ignore_errors=True)
