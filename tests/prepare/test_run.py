"""Preparing whole data sets, mostly without the face models: images as they are, or the data
set's own landmarks."""

import csv
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import raw_sets
import tensorflow_datasets as tfds

from au_jax import aus as au_names
from au_jax.data.datasets import is_drawn
from au_jax.data.sources import open_source
from au_jax.errors import UserError
from au_jax.prepare import row_index, worker
from au_jax.prepare import run as preparation
from au_jax.prepare.readers import open_raw

AS_IS = ("as_is",)


def records(folder: Path) -> dict[str, list[dict]]:
    builder = tfds.builder_from_directory(folder)
    crops = builder.info.metadata["crops"]
    skip = {"crops": {crop: tfds.decode.SkipDecoding() for crop in crops}}
    return {
        split: list(builder.as_data_source(split, decoders=skip)) for split in builder.info.splits
    }


def quarantine(folder: Path) -> list[dict[str, str]]:
    with open(folder / "audit" / "quarantine.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def audit(folder: Path) -> dict:
    return json.loads((folder / "audit" / "audit.json").read_text())


def counts(labels: np.ndarray, unknown: int) -> list[list[int]]:
    return [[int((column == code).sum()) for code in (1, 0, unknown)] for column in labels.T]


def run(dataset: str, raw: Path, data_dir: Path, **options) -> Path:
    return preparation.run(dataset, raw, data_dir, **{"crops": AS_IS, "processes": 1} | options)


def test_emotionet_counts_and_records(tmp_path):
    manual, automatic = raw_sets.emotionet(tmp_path / "raw", rows=20)
    folder = run("emotionet", tmp_path / "raw", tmp_path / "data")
    assert folder == tmp_path / "data" / "emotionet" / "1.0.0"
    audited = audit(folder)["splits"]
    assert list(audited["opt"]["labels"]) == list(au_names.EMOTIONET)
    assert list(audited["opt"]["labels"].values()) == counts(manual, 999)
    columns = np.array(raw_sets.EMOTIONET) - 1
    assert list(audited["noisy"]["labels"].values()) == counts(automatic[:, columns], 999)
    stored = records(folder)
    assert {split: len(rows) for split, rows in stored.items()} == {"opt": 20, "noisy": 20}
    by_key = {row["key"].decode(): row for row in stored["opt"]}
    row = by_key["emotionet/images/N_0000000002/N_0000000002_00005.jpg#0"]
    np.testing.assert_array_equal(row["labels"], np.where(manual[5] == 999, -1, manual[5]))
    raw_bytes = (tmp_path / "raw/images/N_0000000002/N_0000000002_00005.jpg").read_bytes()
    assert row["crops"]["as_is"] == raw_bytes  # not compressed a second time
    assert row["subject"] == b"N_0000000002"
    assert row["face"]
    assert np.isnan(row["pose"]).all()
    assert not (tmp_path / "data" / "emotionet.unfinished").exists()


def test_affwild2_counts(tmp_path):
    written = raw_sets.affwild2(tmp_path / "raw")
    folder = run("affwild2", tmp_path / "raw", tmp_path / "data", crops=())
    audited = audit(folder)
    kept = np.delete(np.arange(7), 2)  # the third frame has no image
    train = np.concatenate([written["v1"], written["v1_left"]])
    kept_train = np.concatenate([written["v1"][kept], written["v1_left"][kept]])
    assert list(audited["splits"]["train"]["labels"].values()) == counts(kept_train, -1)
    assert list(audited["splits"]["train"]["raw_labels"].values()) == counts(train, -1)
    assert audited["left_out"] == {"missing": 3}
    assert (audited["rows"], audited["kept"]) == (21, 18)
    assert {row["image"][-9:] for row in quarantine(folder)} == {"00003.jpg"}


def test_bp4d_and_disfa_counts(tmp_path):
    tables = raw_sets.bp4d(tmp_path / "bp4d")
    folder = run("bp4d", tmp_path / "bp4d", tmp_path / "data")
    labels = np.concatenate(list(tables.values()))[:, list(raw_sets.BP4D)]
    assert list(audit(folder)["splits"]["full"]["labels"].values()) == counts(labels, 9)

    levels = raw_sets.disfa(tmp_path / "disfa")
    folder = run("disfa", tmp_path / "disfa", tmp_path / "data")
    labels = (np.concatenate(list(levels.values())) >= 2).astype(int)
    assert list(audit(folder)["splits"]["full"]["labels"].values()) == counts(labels, -1)
    for row in records(folder)["full"]:
        subject, frame = row["subject"].decode(), row["frame"]
        np.testing.assert_array_equal(row["intensity"], levels[subject][frame - 1])
        image = cv2.imdecode(np.frombuffer(row["crops"]["as_is"], np.uint8), cv2.IMREAD_COLOR)
        assert abs(image.mean() - 10 * frame) < 3  # label line 1 goes with the first frame


def test_gft_through_the_table(tmp_path):
    labels = raw_sets.gft(tmp_path / "raw" / "gft.csv")
    columns = {"image": "frame_file", "subject": "person"}
    folder = run("gft", tmp_path / "raw", tmp_path / "data", columns=columns)
    audited = audit(folder)["splits"]
    assert list(audited["train"]["labels"].values()) == counts(labels[:4], -1)
    assert list(audited["test"]["labels"].values()) == counts(labels[4:], -1)


def test_affectnet_with_its_own_landmarks(tmp_path):
    """No model is needed where the data set says where the face is."""
    from au_jax.faces.mean_face import MEAN_SHAPE

    codes = raw_sets.affectnet(tmp_path / "raw", points=MEAN_SHAPE[:, :2] * 0.1 + 12)
    crops = ("arcface", "closeup", "wide", "box", "five_point")
    raw = tmp_path / "raw"
    folder = run("affectnet", raw, tmp_path / "data", crops=crops, landmarks="dataset")
    stored = records(folder)
    assert Counter(int(row["emotion"]) for row in stored["train"]) == Counter(
        code for code in codes if code < 8
    )
    assert audit(folder)["left_out"] == {"no label": 3}
    sizes = {"arcface": 112, "closeup": 240, "wide": 240, "box": 240, "five_point": 256}
    for row in stored["train"]:
        for crop, side in sizes.items():
            jpeg = np.frombuffer(row["crops"][crop], np.uint8)
            assert cv2.imdecode(jpeg, cv2.IMREAD_COLOR).shape == (side, side, 3)
        np.testing.assert_allclose(row["pose"], 0, atol=2)
        assert row["face"]


def test_folders_of_people_with_aligned_images(tmp_path):
    raw = tmp_path / "raw"
    for number, image in enumerate(("p1/a.jpg", "p1/deeper/b.JPG", "p2/a.jpg")):
        raw_sets.write_image(raw / image, number, size=112 if number < 2 else 60)
    (raw / "p2" / "notes.txt").write_text("no image")
    (raw / "p2" / "broken.jpg").write_text("no image")
    cv2.imwrite(str(raw / "p2" / "long.png"), np.zeros((112, 96, 3), np.uint8))
    (raw / "p3").mkdir()
    folder = run("people", raw, tmp_path / "data", crops=(), landmarks="aligned", name="glint")
    audited = audit(folder)
    assert audited["left_out"] == {"unreadable": 1, "not square": 1, "missing": 1}
    assert (audited["landmarks"], audited["splits"]["train"]["subjects"]) == ("aligned", 2)
    rows = {row["key"].decode(): row for row in records(folder)["train"]}
    assert {key: row["subject"] for key, row in rows.items()} == {
        "glint/p1/a.jpg#0": b"p1",
        "glint/p1/deeper/b.JPG#0": b"p1",
        "glint/p2/a.jpg#0": b"p2",
    }
    assert rows["glint/p1/a.jpg#0"]["crops"]["arcface"] == (raw / "p1/a.jpg").read_bytes()
    source = open_source(folder, "train", "arcface", 0.2, 0)
    assert source.table.labels.shape == (3, 0)
    assert source.table.face.all()
    assert source.images(np.arange(3)).shape == (3, 112, 112, 3)


@pytest.mark.parametrize("crops", [("as_is",), ("arcface", "wide")])
def test_aligned_images_are_one_crop(tmp_path, crops):
    raw_sets.write_image(tmp_path / "raw" / "p1" / "a.jpg", 0)
    with pytest.raises(UserError, match=r"--landmarks=aligned takes .* give one of arcface"):
        run("people", tmp_path / "raw", tmp_path / "data", crops=crops, landmarks="aligned")


def spoil(raw: Path) -> dict[str, str]:
    """Spoils images of the optimisation set; returns the kind of each by its place."""
    images = sorted((raw / "images").rglob("N_000000000*.jpg"))
    images[0].unlink()
    images[1].write_bytes(images[1].read_bytes()[:-200])
    images[2].write_text("a text file")
    data = bytearray(images[3].read_bytes())
    start = data.index(b"\xff\xc0")
    data[start + 5 : start + 9] = (30_000).to_bytes(2) * 2
    images[3].write_bytes(bytes(data))
    kinds = ("missing", "unreadable", "unreadable", "too large")
    return {p.name: kind for p, kind in zip(images, kinds, strict=False)}


def test_bad_images_and_rows_are_left_out_by_name(tmp_path):
    raw = tmp_path / "räw data"
    raw_sets.emotionet(raw, rows=12)
    expected = spoil(raw)
    file = next(raw.rglob("dataFile_0001.txt"))
    lines = file.read_text().splitlines()
    file.write_bytes("\r\n".join([*lines, lines[4], "junk"]).encode())
    folder = run("emotionet", raw, tmp_path / "data")
    rows = quarantine(folder)
    spoilt = {row["image"].split("/")[-1]: row["kind"] for row in rows if row["split"] == "opt"}
    assert spoilt == expected
    rest = [(row["line"], row["kind"]) for row in rows if row["split"] == "noisy"]
    assert rest == [("13", "duplicate"), ("14", "bad row")]
    assert "line 5 is kept for this image; it has the same labels" in rows[-2]["reason"]
    audited = audit(folder)
    assert audited["rows"] == 26 == audited["kept"] + len(rows)
    assert sum(len(of_split) for of_split in records(folder).values()) == audited["kept"] == 20


def test_audit_finds_equal_images_and_leaks(tmp_path):
    for i, seed in enumerate((1, 2, 1, 1)):
        raw_sets.write_image(tmp_path / f"{i}.jpg", seed)
    (tmp_path / "t.csv").write_text(
        "image,AU1,subject,split\n0.jpg,1,a,train\n1.jpg,0,b,train\n2.jpg,1,a,test\n3.jpg,1,c,test\n"
    )
    folder = run("csv", tmp_path / "t.csv", tmp_path / "data", name="own")
    assert folder.parent.name == "own"
    audited = audit(folder)
    assert audited["equal_pictures"] == 2
    assert audited["contents_in_several_splits"] == 1
    assert audited["subjects_in_several_splits"] == ["a"]
    page = (folder / "audit" / "index.html").read_text()
    assert "LEAK: 1 subjects stand in more than one split: a" in page
    assert "0.jpg = 3.jpg" in page
    sheet = cv2.imread(str(folder / "audit" / "contact_sheet-train.jpg"))
    assert sheet.std() > 5


def test_names_that_are_no_utf8(tmp_path):
    name = os.fsdecode(b"na\xefve.jpg")
    raw_sets.write_image(tmp_path / "plain.jpg", 0)
    os.rename(tmp_path / "plain.jpg", tmp_path / name)
    (tmp_path / "t.csv").write_bytes(
        b"image,AU1,subject\nna\xefve.jpg,1,Zo\xeb\ngone\xef.jpg,0,x\n"
    )
    folder = run("csv", tmp_path, tmp_path / "data")
    (row,) = records(folder)["full"]
    assert row["key"] == rb"csv/na\udcefve.jpg#0"
    assert row["subject"] == rb"Zo\udceb"
    assert [row["image"] for row in quarantine(folder)] == [r"gone\udcef.jpg"]


def test_label_file_mended_after_a_refusal(tmp_path):
    raw_sets.disfa(tmp_path / "raw")
    first = tmp_path / "raw/ActionUnit_Labels/SN002/SN002_au1.txt"
    good = first.read_bytes()
    first.write_bytes(b"1,0\n" * 3 + b"\x00" * 3 + b'"' + b"9" * 200_000)  # csv gives up here
    with pytest.raises(UserError, match=r"SN002_au1\.txt is not a text table"):
        run("disfa", tmp_path / "raw", tmp_path / "data")
    first.write_bytes(good)
    assert audit(run("disfa", tmp_path / "raw", tmp_path / "data"))["kept"] == 12


def test_images_of_other_sizes_are_brought_to_the_first_one(tmp_path):
    for i, size in enumerate((24, 40)):
        raw_sets.write_image(tmp_path / f"{i}.jpg", i, size)
    (tmp_path / "t.csv").write_text("image,AU1\n0.jpg,1\n1.jpg,0\n")
    rows = records(run("csv", tmp_path, tmp_path / "data"))["full"]
    shapes = {cv2.imdecode(np.frombuffer(row["crops"]["as_is"], np.uint8), 1).shape for row in rows}
    assert shapes == {(24, 24, 3)}


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.glob("*.array_record*")}


def test_interrupted_work_goes_on_where_it_was(tmp_path, monkeypatch):
    raw_sets.emotionet(tmp_path / "raw", rows=100)
    whole = run("emotionet", tmp_path / "raw", tmp_path / "whole")
    done = []
    original = worker.Worker.do

    def stops(worker, task):
        if len(done) == 2:
            raise KeyboardInterrupt
        original(worker, task)
        done.append(task.number)

    monkeypatch.setattr(worker.Worker, "do", stops)
    with pytest.raises(KeyboardInterrupt):
        run("emotionet", tmp_path / "raw", tmp_path / "data")
    assert not (tmp_path / "data" / "emotionet").exists()  # not mistaken for a finished one

    def counted(worker, task):
        original(worker, task)
        done.append(task.number)

    monkeypatch.setattr(worker.Worker, "do", counted)
    folder = run("emotionet", tmp_path / "raw", tmp_path / "data")
    assert sorted(done) == [0, 1, 2, 3]  # 100 + 100 rows in tasks of 64: none was done twice
    assert files(folder) == files(whole)
    assert audit(folder) == audit(whole)


# Ends itself as soon as the note of a task is there.
KILLED = """
import os, signal, sys
from pathlib import Path
from au_jax.prepare import run

raw, data_dir = map(Path, sys.argv[1:])


def look(bar, by, done, faces):
    if list(data_dir.rglob("parts/*.json")):
        os.kill(os.getpid(), signal.SIGKILL)


run._advance = look
if __name__ == "__main__":
    run.run("emotionet", raw, data_dir, ("as_is",), processes=2)
"""


def test_killed_work_in_two_processes_goes_on(tmp_path):
    raw_sets.emotionet(tmp_path / "raw", rows=400)
    (tmp_path / "go.py").write_text(KILLED)
    command = [sys.executable, str(tmp_path / "go.py"), str(tmp_path / "raw"), str(tmp_path / "d")]
    # The workers of the killed process leave by themselves: they share its screen, which ends here.
    killed = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "d" / "emotionet").exists()
    assert list((tmp_path / "d" / "emotionet.unfinished" / "parts").glob("*.json"))
    whole = run("emotionet", tmp_path / "raw", tmp_path / "whole")
    finished = run("emotionet", tmp_path / "raw", tmp_path / "d")
    assert files(finished) == files(whole)


def test_other_wishes_do_not_mix_with_unfinished_work(tmp_path, monkeypatch):
    raw_sets.bp4d(tmp_path / "raw")

    def stops(job, processes):
        raise KeyboardInterrupt

    monkeypatch.setattr(preparation, "_work", stops)
    with pytest.raises(KeyboardInterrupt):
        run("bp4d", tmp_path / "raw", tmp_path / "data")
    with pytest.raises(UserError, match="begun with other crops; delete that folder"):
        run("bp4d", tmp_path / "raw", tmp_path / "data", crops=("as_is", "box"), landmarks=".")
    table = tmp_path / "raw/AUCoding/AU_OCC/F001_T1.csv"
    table.write_text(table.read_text() + "\n")
    with pytest.raises(UserError, match="begun with other files"):
        run("bp4d", tmp_path / "raw", tmp_path / "data")


@pytest.fixture
def table(tmp_path) -> Path:
    """A table of 200 small images whose rows are of train and test in turn."""
    lines = ["image,AU12,who,person,split"]
    for i in range(200):
        raw_sets.write_image(tmp_path / "raw" / f"{i}.jpg", i)
        lines.append(f"{i}.jpg,{i % 3 % 2},w{i % 5},p{i},{('train', 'test')[i % 2]}")
    (tmp_path / "raw" / "t.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "raw"


def test_a_table_whose_rows_alternate_between_splits(table, tmp_path):
    folder = run("csv", table, tmp_path / "data")
    # A hundred images a split, at most 64 of them a file.
    assert len(list(folder.glob("*.array_record*"))) == 4
    stored = records(folder)
    for first, split in enumerate(("train", "test")):
        keys = [row["key"].decode() for row in stored[split]]
        assert keys == [f"csv/{i}.jpg#0" for i in range(first, 200, 2)]


def test_as_many_rows_as_may_be_make_few_enough_files(tmp_path, monkeypatch):
    """A process may open about a thousand files, and a split is read from all of its own."""
    for name in ("_FEWEST", "_MOST"):
        monkeypatch.setattr(row_index, name, 1)
    db = sqlite3.connect(":memory:")
    db.executescript(row_index._SCHEMA)
    rows = [(n, "ab"[n % 2], "", n, f"{n}.jpg", -1, "", None, None, "{}") for n in range(5000)]
    db.executemany("INSERT INTO rows VALUES (?,?,?,?,?,?,?,?,?,?)", rows)
    tasks = list(row_index._divide(db, 5000))
    assert len(tasks) == 500
    assert {size for *_, size in tasks} == {10}


def test_frames_of_a_video_are_named_by_their_place(tmp_path):
    raw_sets.disfa(tmp_path / "raw")
    row_index.build(open_raw("disfa", tmp_path / "raw"), tmp_path / "index.sqlite")
    index = row_index.Index(tmp_path / "index.sqlite")
    images = [image for _, _, image, _ in index.places([0, 1])]
    index.close()
    assert [image.partition(".avi")[2] for image in images] == [", frame 1", ", frame 2"]


def test_another_column_is_another_data_set(table, tmp_path, monkeypatch):
    def stops(job, processes):
        raise KeyboardInterrupt

    work = preparation._work
    monkeypatch.setattr(preparation, "_work", stops)
    with pytest.raises(KeyboardInterrupt):
        run("csv", table, tmp_path / "data", columns={"subject": "who"})
    monkeypatch.setattr(preparation, "_work", work)
    with pytest.raises(UserError, match="begun with other settings; delete that folder"):
        run("csv", table, tmp_path / "data", columns={"subject": "person"})
    monkeypatch.chdir(tmp_path)  # the same files by another path
    folder = run("csv", Path("raw"), tmp_path / "data", columns={"subject": "who"})
    assert {row["subject"] for row in records(folder)["train"]} == {b"w%d" % i for i in range(5)}
    with pytest.raises(UserError, match=r"is prepared with columns=\{'subject': 'who'\}, not"):
        run("csv", table, tmp_path / "data", columns={"subject": "person"})


def test_work_left_by_a_kill_after_its_end_is_cleared(table, tmp_path, monkeypatch):
    monkeypatch.setattr(preparation.shutil, "rmtree", lambda *_, **__: None)
    folder = run("csv", table, tmp_path / "data")
    monkeypatch.undo()
    work = tmp_path / "data" / "csv.unfinished"
    assert list((work / "parts").iterdir())
    assert run("csv", table, tmp_path / "data") == folder
    assert not work.exists()


def test_finished_set_is_used_or_refused(tmp_path, capsys):
    raw_sets.bp4d(tmp_path / "raw")
    folder = run("bp4d", tmp_path / "raw", tmp_path / "data")
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    assert run("bp4d", tmp_path / "raw", tmp_path / "data") == folder
    assert "is prepared already" in capsys.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before
    with pytest.raises(UserError, match="lacks wide; delete it, or give another --data_dir"):
        run("bp4d", tmp_path / "raw", tmp_path / "data", crops=("as_is", "wide"))


def test_second_run_at_the_same_time_is_refused(tmp_path):
    raw_sets.bp4d(tmp_path / "raw")
    work = tmp_path / "data" / "bp4d.unfinished"
    with preparation._alone(work), pytest.raises(UserError, match=r"process \d+ of .* is at work"):
        run("bp4d", tmp_path / "raw", tmp_path / "data")


@pytest.mark.parametrize("where", ["shard", "index"])
def test_full_disk(tmp_path, monkeypatch, where):
    raw_sets.emotionet(tmp_path / "raw", rows=100)
    original = worker.shard_writer
    calls = []

    def full(path):
        calls.append(path)
        if len(calls) == 2:
            raise OSError(28, os.strerror(28), str(path))
        return original(path)

    if where == "shard":
        monkeypatch.setattr(worker, "shard_writer", full)
    else:

        def full_index(raw, path):
            raise OSError(None, "database or disk is full", str(path))

        monkeypatch.setattr(preparation.row_index, "build", full_index)
    with pytest.raises(
        UserError, match=r"the disk of .* is full; free some space and run the same"
    ):
        run("emotionet", tmp_path / "raw", tmp_path / "data")
    monkeypatch.undo()
    folder = run("emotionet", tmp_path / "raw", tmp_path / "data")
    assert audit(folder)["kept"] == 200


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission_to_write(tmp_path):
    raw_sets.bp4d(tmp_path / "raw")
    (tmp_path / "data").mkdir(mode=0o500)
    with pytest.raises(UserError, match="may not be written"):
        run("bp4d", tmp_path / "raw", tmp_path / "data")


def test_data_dir_that_is_a_file(tmp_path):
    raw_sets.bp4d(tmp_path / "raw")
    (tmp_path / "data").touch()
    with pytest.raises(UserError, match=r"data.* is no folder"):
        run("bp4d", tmp_path / "raw", tmp_path / "data")


def test_nothing_could_be_kept(tmp_path):
    raw_sets.bp4d(tmp_path / "raw")
    for path in (tmp_path / "raw" / "Sequences_2D+3D").rglob("*.jpg"):
        path.unlink()
    with pytest.raises(
        UserError, match=r"none of the 10 rows .*quarantine\.csv says why"
    ) as caught:
        run("bp4d", tmp_path / "raw", tmp_path / "data")
    listed = Path(re.search(r"(/\S+quarantine\.csv)", str(caught.value))[1])
    assert len(listed.read_text().splitlines()) == 11
    raw_sets.write_image(tmp_path / "raw/Sequences_2D+3D/F001/T1/0007.jpg", 0)
    folder = run(
        "bp4d", tmp_path / "raw", tmp_path / "data"
    )  # what was found missing is sought anew
    assert audit(folder)["kept"] == 1


def test_wishes_that_cannot_be_met(tmp_path):
    raw_sets.bp4d(tmp_path / "raw")
    for options, sentence in (
        ({"crops": ("huge",)}, "unknown crop in --crops 'huge'; known: closeup, wide, arcface"),
        ({"crops": ("wide",), "landmarks": "dataset"}, "bp4d brings no 68 landmarks"),
        ({"crops": ("wide",), "landmarks": "/nowhere"}, "neither 'models' nor 'dataset' nor"),
    ):
        with pytest.raises(UserError, match=re.escape(sentence)):
            run("bp4d", tmp_path / "raw", tmp_path / "data", **options)


READER = """
from au_jax.prepare.readers.rows import RawSet, Row


def read(raw):
    def rows():
        for number, line in enumerate((raw / "labels.txt").read_text().split(), 1):
            yield Row("train", "labels.txt", number, image=f"{number}.jpg", labels=(int(line),))

    return RawSet("mine", ("AU12",), ("as_is",), (raw / "labels.txt",), rows, "My faces.")
"""


def test_a_data_set_with_a_reader_of_the_users_own(tmp_path, monkeypatch):
    (tmp_path / "my_whole_reader.py").write_text(READER)
    monkeypatch.syspath_prepend(tmp_path)
    for number in (1, 2, 3):
        raw_sets.write_image(tmp_path / "raw" / f"{number}.jpg", number)
    (tmp_path / "raw" / "labels.txt").write_text("1 0 -1")
    folder = run("my_whole_reader:read", tmp_path / "raw", tmp_path / "data", crops=())
    assert folder == tmp_path / "data" / "mine" / "1.0.0"
    labels = {row["key"].decode(): row["labels"].tolist() for row in records(folder)["train"]}
    assert labels == {f"mine/{number}.jpg#0": [code] for number, code in ((1, 1), (2, 0), (3, -1))}
    assert not is_drawn(folder)


def _stops(job, source, folder):
    """Ctrl-C itself could be raised within a garbage collection, which swallows it."""
    raise KeyboardInterrupt


@pytest.mark.parametrize("damaged", ["000001.json", "000001.array_record"])
@pytest.mark.parametrize("how", ["cut", "gone", "another's", "not of this form"])
def test_damaged_parts_are_made_anew(tmp_path, monkeypatch, damaged, how):
    """A part of unfinished work counts only together with its own note, both whole."""
    raw_sets.emotionet(tmp_path / "raw", rows=100)
    whole = run("emotionet", tmp_path / "raw", tmp_path / "whole")

    finish = preparation._finish
    monkeypatch.setattr(preparation, "_finish", _stops)
    with pytest.raises(KeyboardInterrupt):
        run("emotionet", tmp_path / "raw", tmp_path / "data")
    monkeypatch.setattr(preparation, "_finish", finish)
    path = tmp_path / "data" / "emotionet.unfinished" / "parts" / damaged
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    elif how == "gone":
        path.unlink()
    elif how == "another's":
        path.write_bytes(path.with_stem("000000").read_bytes())
    else:
        path.write_text('{"kept": 5}')
    folder = run("emotionet", tmp_path / "raw", tmp_path / "data")
    assert files(folder) == files(whole)
    assert audit(folder) == audit(whole)


def test_damaged_index_is_not_believed(tmp_path, monkeypatch):
    raw_sets.bp4d(tmp_path / "raw")
    monkeypatch.setattr(preparation, "_finish", _stops)
    with pytest.raises(KeyboardInterrupt):
        run("bp4d", tmp_path / "raw", tmp_path / "data")
    index = tmp_path / "data" / "bp4d.unfinished" / "index.sqlite"
    data = bytearray(index.read_bytes())
    data[data.index(b'"labels": [') + 12] ^= 1
    index.write_bytes(data)
    with pytest.raises(UserError, match=r"index\.sqlite is damaged; delete the folder"):
        run("bp4d", tmp_path / "raw", tmp_path / "data")


@pytest.mark.parametrize("content", ["[]", "5", '{"crops": 5}', "{"])
def test_finished_set_with_a_damaged_description(tmp_path, content):
    raw_sets.bp4d(tmp_path / "raw")
    folder = run("bp4d", tmp_path / "raw", tmp_path / "data")
    (folder / "metadata.json").write_text(content)
    with pytest.raises(UserError, match="is there but is no data set of this package"):
        run("bp4d", tmp_path / "raw", tmp_path / "data")


def test_folder_of_work_that_cannot_be_used(tmp_path):
    raw_sets.bp4d(tmp_path / "raw")
    (tmp_path / "data" / "bp4d.unfinished" / "lock").mkdir(parents=True)
    with pytest.raises(UserError, match=r"bp4d\.unfinished/lock cannot be used"):
        run("bp4d", tmp_path / "raw", tmp_path / "data")
