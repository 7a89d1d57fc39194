"""Raw files that are odd, damaged or meant badly: each row is read right, or left out by name."""

import csv
import math
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import raw_sets

from au_jax.data.sources import open_source
from au_jax.errors import UserError
from au_jax.prepare import run as preparation
from au_jax.prepare.readers import open_raw


def prepare(raw: Path, text: str, **options) -> Path:
    """Prepares a table beside the images `ok.jpg` and `b.jpg`, taken as they are."""
    for seed, name in enumerate(("ok.jpg", "b.jpg")):
        raw_sets.write_image(raw / name, seed)
    (raw / "t.csv").write_text(text)
    options = {"crops": ("as_is",), "processes": 1} | options
    return preparation.run("csv", raw, raw.parent / "data", **options)


def left_out(folder: Path) -> dict[str, str]:
    """The image and kind of each row that is left out."""
    with open(folder / "audit" / "quarantine.csv", newline="") as file:
        return {row["image"]: row["kind"] for row in csv.DictReader(file)}


def keys(folder: Path) -> list[str]:
    return open_source(folder, "full", "as_is", 0.2, 0).table.keys.tolist()


@pytest.mark.parametrize(
    "path", ["../o.jpg", "{top}/o.jpg", "x/../../o.jpg", "link.jpg", "up/o.jpg"]
)
def test_images_outside_of_the_raw_folder(tmp_path, path):
    raw_sets.write_image(tmp_path / "o.jpg", 7)
    (tmp_path / "raw").mkdir()
    os.symlink("../o.jpg", tmp_path / "raw" / "link.jpg")
    os.symlink("..", tmp_path / "raw" / "up")
    image = path.format(top=tmp_path)
    text = f"image,AU1\nok.jpg,1\n{image},0\n"
    folder = prepare(tmp_path / "raw", text)
    assert keys(folder) == ["csv/ok.jpg#0"]
    assert list(left_out(folder).values()) == ["outside"]
    (tmp_path / "data" / "csv").rename(tmp_path / "data" / "before")
    assert len(keys(prepare(tmp_path / "raw", text, outside=True))) == 2


def test_absolute_path_within_the_raw_folder(tmp_path):
    folder = prepare(tmp_path / "raw", f"image,AU1\nok.jpg,1\n{tmp_path}/raw/b.jpg,0\n")
    assert len(keys(folder)) == 2


def test_no_row_within_the_raw_folder(tmp_path):
    with pytest.raises(UserError, match=r"none of the 1 rows of csv could be kept \(outside\)"):
        prepare(tmp_path / "raw", "image,AU1\n/etc/passwd,1\n")


def test_affectnet_path_outside(tmp_path):
    raw_sets.affectnet(tmp_path / "raw")
    table = tmp_path / "raw" / "training.csv"
    table.write_text(table.read_text().replace("1/bild_ü0.jpg", "/etc/passwd"))
    folder = preparation.run(
        "affectnet", tmp_path / "raw", tmp_path / "data", crops=("as_is",), processes=1
    )
    assert left_out(folder)["/etc/passwd"] == "outside"


def test_one_picture_under_several_names(tmp_path):
    """Another spelling of a name is a duplicate; a copy with other labels is said."""
    raw_sets.write_image(tmp_path / "raw" / "copy.jpg", 0)  # as ok.jpg
    folder = prepare(tmp_path / "raw", "image,AU1\nok.jpg,1\nx/../ok.jpg,0\ncopy.jpg,0\nb.jpg,0\n")
    assert keys(folder) == ["csv/ok.jpg#0", "csv/copy.jpg#0", "csv/b.jpg#0"]
    assert left_out(folder) == {"ok.jpg": "duplicate"}
    page = (folder / "audit" / "index.html").read_text()
    assert "DISPUTED: 1 contents stand under several names with differing labels." in page


@pytest.mark.parametrize("angle", ["", "nan", "NaN"])
def test_unknown_head_angle(tmp_path, angle):
    folder = prepare(tmp_path / "raw", f"image,AU1,pitch,yaw,roll\nok.jpg,1,{angle},2,-3.5\n")
    pose = open_source(folder, "full", "as_is", 0.2, 0).table.pose[0]
    assert math.isnan(pose[0])
    assert pose[1:].tolist() == [2, -3.5]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("AU1", value) for value in ("0.9", "-0.5", "1e400", "nan", "2", "1_0", "٣")),
        *(("pitch", value) for value in ("inf", "1e400", "181", "1_0", "٣", "9" * 5000)),
        *(("frame", value) for value in ("-1", "1.5", "2147483648", "9" * 5000, "٣", "nan")),
        *(("emotion", value) for value in ("8", "1.5", "9" * 5000, "٣", "glad")),
        *(("split", value) for value in ("../x", "all", "x" * 100, "train[:5]", "a b")),
        ("image", "x" * 300),
    ],
)
def test_odd_values_in_a_table(tmp_path, column, value):
    cells = {"image": "b.jpg", "AU1": "0", "pitch": "1", "yaw": "2", "roll": "3"}
    cells |= {"frame": "4", "emotion": "5", "split": "full", column: value}
    text = f"{','.join(cells)}\nok.jpg,1,0,0,0,1,1,full\n{','.join(cells.values())}\n"
    folder = prepare(tmp_path / "raw", text)
    assert keys(folder) == ["csv/ok.jpg#0"]
    assert next(iter(left_out(folder).values())) in ("out of range", "bad row", "unreadable")


def test_a_column_taken_for_splits(tmp_path):
    lines = "".join(f"{number}.jpg,1,s{number}\n" for number in range(200))
    with pytest.raises(UserError, match=r"line 102: 's100' is the split number 101"):
        prepare(tmp_path / "raw", f"image,AU1,split\n{lines}")


@pytest.mark.parametrize("text", ["0.9", "-0.5", "1e400", "nan", "1_0", "٣", "9" * 5000, ""])
def test_affectnet_expressions_that_are_no_code(tmp_path, text):
    raw_sets.affectnet(tmp_path)
    table = tmp_path / "training.csv"
    lines = table.read_text().splitlines()
    lines[2] = lines[2].replace(",1,0.1,-2", f",{text},0.1,-2")
    table.write_text("\n".join(lines))
    row = list(open_raw("affectnet", tmp_path).rows())[1]
    assert row.problem
    assert row.problem.kind == "out of range"


def save_packed(path: Path) -> None:
    with open(path, "wb") as file:
        np.savez(file, a=1)


def save_endless(path: Path) -> None:
    header = "{'descr': '<i8', 'fortran_order': False, 'shape': (10**15,)}".ljust(117) + "\n"
    path.write_bytes(b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode())


@pytest.mark.parametrize(
    "save",
    [
        save_packed,
        save_endless,
        lambda path: np.save(path, 0.9),
        lambda path: np.save(path, np.inf),
        lambda path: np.save(path, 1j),
        lambda path: np.save(path, np.zeros((), "i4,f4")),
        lambda path: path.write_bytes(b""),
        os.mkfifo,
    ],
)
def test_affectnet_annotations_that_are_no_number(tmp_path, save):
    for split in ("train_set", "val_set"):
        raw_sets.write_image(tmp_path / split / "images" / "1.jpg", 1)
        (tmp_path / split / "annotations").mkdir()
    save(tmp_path / "train_set" / "annotations" / "1_exp.npy")
    row = next(open_raw("affectnet", tmp_path).rows())
    assert row.problem
    assert row.problem.kind in ("bad row", "out of range")


@pytest.mark.parametrize("text", ["", "\n\n", "x,1,2\n1,0,0\n", "9" * 5000 + ",1\n"])
def test_bp4d_tables_without_a_header(tmp_path, text):
    raw_sets.bp4d(tmp_path)
    (tmp_path / "AUCoding/AU_OCC/F001_T1.csv").write_text(text)
    with pytest.raises(UserError, match=r"F001_T1\.csv does not begin with a line of AU numbers"):
        open_raw("bp4d", tmp_path)


@pytest.mark.parametrize("data_set", ["bp4d", "disfa"])
@pytest.mark.parametrize("frame", ["9" * 5000, "99999999999", "٣", "-7", "1_0"])
def test_frames_that_are_no_number(tmp_path, data_set, frame):
    files = {
        "bp4d": (raw_sets.bp4d, "AUCoding/AU_OCC/F001_T1.csv"),
        "disfa": (raw_sets.disfa, "ActionUnit_Labels/SN001/SN001_au1.txt"),
    }
    write, name = files[data_set]
    write(tmp_path)
    lines = (tmp_path / name).read_text().splitlines()
    lines[2] = ",".join([frame, *lines[2].split(",")[1:]])
    (tmp_path / name).write_text("\n".join(lines))
    problems = [row.problem for row in open_raw(data_set, tmp_path).rows() if row.problem]
    assert "bad row" in {problem.kind for problem in problems}


@pytest.mark.parametrize(
    ("part", "edit"),
    [
        ("xl/worksheets/sheet2.xml", lambda content: content[: len(content) // 2]),
        ("xl/worksheets/sheet2.xml", lambda content: b"no XML"),
        ("xl/workbook.xml", lambda content: content[:-50]),
        ("xl/worksheets/sheet2.xml", lambda content: content.replace(b'r="A2"', b'r="!!"')),
    ],
)
def test_broken_workbooks(tmp_path, part, edit):
    raw_sets.emotionet(tmp_path, rows=3, sheet="xlsx")
    path = next(tmp_path.glob("*.xlsx"))
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    parts[part] = edit(parts[part])
    with zipfile.ZipFile(path, "w") as book:
        for name, content in parts.items():
            book.writestr(name, content)
    with pytest.raises(UserError, match=r"\.xlsx cannot be read as \.xlsx .*download it again"):
        list(open_raw("emotionet", tmp_path).rows())


def test_workbook_that_unpacks_to_no_end(tmp_path, monkeypatch):
    monkeypatch.setattr("au_jax.prepare.readers.emotionet._MOST_UNPACKED", 1000)
    raw_sets.emotionet(tmp_path, rows=3, sheet="xlsx")
    with pytest.raises(UserError, match=r"it unpacks to \d+ bytes, which no sheet of labels has"):
        open_raw("emotionet", tmp_path)
