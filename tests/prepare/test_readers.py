"""Readers against small sets in the owners' formats: right ones, and what disks have in store."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import raw_sets

from au_jax import aus as au_names
from au_jax.errors import UserError
from au_jax.prepare.readers import open_raw


def known(codes: np.ndarray, unknown) -> np.ndarray:
    return np.where(np.isin(codes, unknown), -1, codes)


def read(dataset, raw, **options):
    return list(open_raw(dataset, raw, **options).rows())


def kinds(rows) -> Counter:
    return Counter(row.problem.kind for row in rows if row.problem)


def edit(path, change):
    path.write_text(change(path.read_text()))


# EmotioNet


@pytest.mark.parametrize("sheet", ["csv", "xlsx"])
def test_emotionet(tmp_path, sheet):
    manual, automatic = raw_sets.emotionet(tmp_path, rows=12, sheet=sheet)
    rows = read("emotionet", tmp_path)
    opt = [row for row in rows if row.split == "opt"]
    noisy = [row for row in rows if row.split == "noisy"]
    np.testing.assert_array_equal([row.labels for row in opt], known(manual, 999))
    columns = np.array([int(au[2:]) - 1 for au in au_names.EMOTIONET])
    np.testing.assert_array_equal([r.labels for r in noisy], known(automatic[:, columns], 999))
    assert not kinds(rows)
    assert opt[5].image == "images/N_0000000002/N_0000000002_00005.jpg"
    assert opt[5].subject == "N_0000000002"
    assert all((tmp_path / row.image).is_file() for row in rows)


def test_emotionet_automatic_row_one_is_a_row(tmp_path):
    raw_sets.emotionet(tmp_path, rows=3)
    lines = [row.line for row in read("emotionet", tmp_path) if row.split == "noisy"]
    assert lines == [1, 2, 3]


def test_emotionet_flat_images(tmp_path):
    raw_sets.emotionet(tmp_path, rows=4)
    for path in list((tmp_path / "images").rglob("*.jpg")):
        path.rename(tmp_path / "images" / path.name)
    for folder in list((tmp_path / "images").glob("N_*")):
        if folder.is_dir():
            folder.rmdir()
    rows = read("emotionet", tmp_path)
    assert all((tmp_path / row.image).is_file() for row in rows)


def test_emotionet_bad_rows(tmp_path):
    raw_sets.emotionet(tmp_path, rows=4)
    file = next(tmp_path.rglob("dataFile_0001.txt"))
    lines = file.read_text().splitlines()
    lines[0] += "\t1"  # 63 columns
    lines[1] = lines[1].replace("N_", "X", 2)  # no image's name
    lines[2] = "\t".join([*lines[2].split("\t")[:2], "7", *lines[2].split("\t")[3:]])
    file.write_bytes("\r\n".join([*lines, "", lines[3]]).encode())  # blank, and a second row
    rows = [row for row in read("emotionet", tmp_path) if row.split == "noisy"]
    assert kinds(rows) == {"bad row": 2, "out of range": 1}
    assert rows[2].problem.reason == "AU 1 is '7'; known codes: 1, 0, 999, 1.0, 0.0, 999.0"
    assert len(rows) == 5


def test_emotionet_row_of_another_length_in_the_sheet(tmp_path):
    raw_sets.emotionet(tmp_path, rows=4)
    sheet = tmp_path / "EmotioNet_FACS_aws_2020_24600.csv"
    lines = sheet.read_text().splitlines()
    lines[1] += ",1"
    lines[2] = ",".join(lines[2].split(",")[:50])
    sheet.write_text("\n".join(lines))
    opt = [row for row in read("emotionet", tmp_path) if row.split == "opt"]
    assert [row.problem and row.problem.reason for row in opt] == [
        "63 columns instead of 62",
        "50 columns instead of 62",
        None,
        None,
    ]


def test_emotionet_folders_of_images_beside_the_sheet(tmp_path, monkeypatch):
    """They are not searched one by one for every row."""
    raw_sets.emotionet(tmp_path, rows=12)
    for folder in list((tmp_path / "images").iterdir()):
        folder.rename(tmp_path / folder.name)
    source = open_raw("emotionet", tmp_path)
    asked = []
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: asked.append(path) or exists(path))
    rows = list(source.rows())
    assert all((tmp_path / row.image).is_file() for row in rows)
    assert not [path for path in asked if path.suffix == ".jpg"][len(rows) :]


def test_emotionet_wrong_sheets(tmp_path):
    raw_sets.emotionet(tmp_path, rows=2)
    sheet = tmp_path / "EmotioNet_FACS_aws_2020_24600.csv"
    good = sheet.read_text()
    sheet.write_text(good.replace("'AU 17'", "'AU 77'"))
    with pytest.raises(UserError, match="lacks the column 'AU 17'"):
        open_raw("emotionet", tmp_path)
    sheet.write_text(good.replace("'AU 3'", "'AU 17'"))
    with pytest.raises(UserError, match="has the column 'AU 17' twice"):
        open_raw("emotionet", tmp_path)
    sheet.write_text(good)
    shutil.copy(sheet, tmp_path / "EmotioNet_FACS_aws_without_passw.csv")
    with pytest.raises(UserError, match="several manual sheets"):
        open_raw("emotionet", tmp_path)
    (tmp_path / "EmotioNet_FACS_aws.xlsx").write_text("no workbook")
    with pytest.raises(UserError, match=r"cannot be read as \.xlsx"):
        open_raw("emotionet", tmp_path)


def test_emotionet_swapped_columns_are_read_by_name(tmp_path):
    manual, _ = raw_sets.emotionet(tmp_path, rows=6)
    sheet = tmp_path / "EmotioNet_FACS_aws_2020_24600.csv"
    lines = [line.split(",") for line in sheet.read_text().splitlines()]
    swapped = [",".join([*cells[:2], cells[3], cells[2], *cells[4:]]) for cells in lines]
    sheet.write_text("\n".join(swapped))
    labels = [row.labels for row in read("emotionet", tmp_path) if row.split == "opt"]
    np.testing.assert_array_equal(labels, known(manual, 999))


# Aff-Wild2


def test_affwild2(tmp_path):
    written = raw_sets.affwild2(tmp_path)
    rows = read("affwild2", tmp_path)
    for video, labels in written.items():
        of_video = [row for row in rows if row.video == video]
        np.testing.assert_array_equal([row.labels for row in of_video], labels)
        assert [row.frame for row in of_video] == list(range(1, len(labels) + 1))
        assert {row.split for row in of_video} == {"validation" if video == "v2" else "train"}
    missing = [row.image for row in rows if not (tmp_path / row.image).exists()]
    assert len(missing) == 3
    assert all(name.endswith("/00003.jpg") for name in missing)


def test_affwild2_first_edition(tmp_path):
    raw_sets.affwild2(tmp_path)
    shutil.rmtree(tmp_path / "annotations")
    folder = tmp_path / "annotations" / "AU_Set" / "Training_Set"
    folder.mkdir(parents=True)
    (folder / "v1.txt").write_text("AU1,AU2,AU4,AU6,AU12,AU15,AU20,AU25\n1,0,0,0,0,0,1,-1\n")
    source = open_raw("affwild2", tmp_path)
    assert source.aus[6] == "AU20"


@pytest.mark.parametrize("blank", ["in place of a row", "between rows", "line ends doubled"])
def test_affwild2_video_with_blank_lines_is_left_out(tmp_path, blank):
    """Whether a blank line is a frame is not known, and a guess would shift all labels below."""
    raw_sets.affwild2(tmp_path)
    file = tmp_path / "annotations/AU_Detection_Challenge/Validation_Set/v2.txt"
    lines = file.read_text().splitlines()
    if blank == "in place of a row":
        lines[2] = ""
    elif blank == "between rows":
        lines.insert(2, "")
    ends = "\r\r\n" if blank == "line ends doubled" else "\n"
    file.write_bytes(ends.join([*lines, "", ""]).encode())
    rows = read("affwild2", tmp_path)
    kinds = {row.video: row.problem and row.problem.kind for row in rows}
    assert kinds == {"v1": None, "v1_left": None, "v2": "misnumbered"}
    assert any(row.problem and "is empty: the frames of all" in row.problem.reason for row in rows)


def test_affwild2_swapped_header(tmp_path):
    raw_sets.affwild2(tmp_path)
    file = tmp_path / "annotations/AU_Detection_Challenge/Train_Set/v1.txt"
    edit(file, lambda text: text.replace("AU1,AU2", "AU2,AU1"))
    with pytest.raises(UserError, match=r"first line of .*v1\.txt 'AU2,AU1,AU4.*known: 'AU1,AU2"):
        open_raw("affwild2", tmp_path)


def test_affwild2_of_two_editions(tmp_path):
    raw_sets.affwild2(tmp_path)
    file = tmp_path / "annotations/AU_Detection_Challenge/Train_Set/v1.txt"
    file.write_text("AU1,AU2,AU4,AU6,AU12,AU15,AU20,AU25\n1,0,0,0,0,0,1,-1\n")
    with pytest.raises(UserError, match=r"two editions .* AU1,AU2.* and with AU1,AU2.*; leave"):
        open_raw("affwild2", tmp_path)


@pytest.mark.parametrize(("number", "reason"), [(0, "from 0"), (8, "a frame 8")])
def test_affwild2_off_by_one(tmp_path, number, reason):
    raw_sets.affwild2(tmp_path, frames=7)
    raw_sets.write_image(tmp_path / "cropped_aligned" / "v2" / f"{number:05d}.jpg", 0)
    rows = read("affwild2", tmp_path)
    assert kinds(rows) == {"misnumbered": 7}
    bad = [row for row in rows if row.problem]
    assert {row.video for row in bad} == {"v2"}
    assert reason in bad[0].problem.reason


# AffectNet


def test_affectnet_full(tmp_path):
    codes = raw_sets.affectnet(tmp_path, rows=11)
    rows = read("affectnet", tmp_path)
    train = [row for row in rows if row.split == "train"]
    assert [row.emotion for row in train] == [code if code < 8 else -1 for code in codes]
    assert kinds(train) == {"no label": 3}
    assert train[0].near == (1, 2, 20, 21)
    assert len(train[0].points) == 136
    assert all((tmp_path / row.image).is_file() for row in rows)  # names beyond ASCII
    assert sum(row.split == "validation" for row in rows) == 3


def test_affectnet_without_header_and_with_bad_rows(tmp_path):
    raw_sets.affectnet(tmp_path, rows=8)
    file = tmp_path / "training.csv"
    lines = file.read_text(encoding="utf-8").splitlines()[1:]
    lines[1] = lines[1].replace(",1,0.1,", ",eleven,0.1,")
    lines[2] += ",extra"
    file.write_text("\n".join(lines), encoding="utf-8")
    train = [row for row in read("affectnet", tmp_path) if row.split == "train"]
    assert len(train) == 8
    assert kinds(train) == {"out of range": 1, "bad row": 1}


def test_affectnet_with_a_further_column(tmp_path):
    codes = raw_sets.affectnet(tmp_path, rows=8)
    edit(
        tmp_path / "training.csv",
        lambda text: "".join(f"{i or 'index'},{line}\n" for i, line in enumerate(text.split())),
    )
    train = [row for row in read("affectnet", tmp_path) if row.split == "train"]
    assert [row.emotion for row in train] == codes


def test_affectnet_missing_column(tmp_path):
    raw_sets.affectnet(tmp_path)
    edit(tmp_path / "training.csv", lambda text: text.replace("expression,", "emotion,"))
    with pytest.raises(UserError, match=r"training\.csv lacks the column 'expression'"):
        open_raw("affectnet", tmp_path)


def test_affectnet_reduced(tmp_path):
    for split, codes in (("train_set", [0, 6, 7]), ("val_set", [3])):
        for i, code in enumerate(codes):
            raw_sets.write_image(tmp_path / split / "images" / f"{i}.jpg", i)
            (tmp_path / split / "annotations").mkdir(exist_ok=True)
            np.save(tmp_path / split / "annotations" / f"{i}_exp.npy", np.array(str(code)))
            points = np.arange(136.0)
            np.save(tmp_path / split / "annotations" / f"{i}_lnd.npy", points)
    (tmp_path / "train_set" / "annotations" / "2_exp.npy").unlink()
    (tmp_path / "val_set" / "annotations" / "9_exp.npy").write_bytes(b"junk")
    rows = read("affectnet", tmp_path)
    emotions = {(row.split, row.image[-5:]): row.emotion for row in rows if not row.problem}
    assert emotions == {("train", "0.jpg"): 0, ("train", "1.jpg"): 6, ("validation", "0.jpg"): 3}
    assert sorted(row.problem.reason for row in rows if row.problem) == [
        "2_exp.npy is not there",
        "9_exp.npy cannot be read as one number",
    ]
    assert rows[0].points[3] == 3
    # A further annotation is noticed by the time of its folder.
    assert {str(f.relative_to(tmp_path)) for f in open_raw("affectnet", tmp_path).files} == {
        "train_set/annotations",
        "val_set/annotations",
    }


# BP4D


def test_bp4d(tmp_path):
    written = raw_sets.bp4d(tmp_path)
    rows = read("bp4d", tmp_path)
    for video, table in written.items():
        of_video = [row for row in rows if row.video == video]
        labels = known(table[:, list(raw_sets.BP4D)], 9)
        np.testing.assert_array_equal([row.labels for row in of_video], labels)
        assert [row.frame for row in of_video] == table[:, 0].tolist()
    assert all((tmp_path / row.image).is_file() for row in rows)  # 4 and 3 digits


@pytest.mark.parametrize("digits", [5, 4, 3, 2, 1])
def test_bp4d_pictures_beside_their_meshes(tmp_path, digits):
    written = raw_sets.bp4d(tmp_path)
    for picture in list((tmp_path / "Sequences_2D+3D").rglob("*.jpg")):
        named = picture.rename(picture.with_stem(f"{int(picture.stem):0{digits}d}"))
        for suffix in (".bmp.txt", ".obj", ".mtl", ".wrl"):
            named.with_suffix(suffix).touch()
    rows = read("bp4d", tmp_path)
    assert len(rows) == sum(len(table) for table in written.values())
    assert all((tmp_path / row.image).is_file() for row in rows)
    assert {row.image[-4:] for row in rows} == {".jpg"}


def test_bp4d_plus_positions(tmp_path):
    """Header of AU numbers, the frame's column headed 1 as well."""
    raw_sets.bp4d(tmp_path)
    for file in (tmp_path / "AUCoding/AU_OCC").glob("*.csv"):
        numbers = [1, *raw_sets.BP4D]
        file.write_text(",".join(map(str, numbers)) + "\n7,1" + ",0" * 10 + ",9\n")
    row = read("bp4d", tmp_path)[0]
    assert (row.frame, row.labels) == (7, (1, *[0] * 10, -1))


def test_bp4d_intensities(tmp_path):
    raw_sets.bp4d(tmp_path)
    folder = tmp_path / "AUCoding" / "AU_INT" / "AU12"
    folder.mkdir(parents=True)
    (folder / "F001_T1_AU12.csv").write_text("7,0\n8,5\n9,9\n")
    rows = {r.frame: r for r in read("bp4d", tmp_path) if r.video == "F001_T1"}
    place = raw_sets.BP4D.index(12)
    assert [rows[f].intensity[place] for f in (7, 8, 9, 10)] == [0, 5, -1, -1]


def test_bp4d_bad_headers_and_rows(tmp_path):
    raw_sets.bp4d(tmp_path)
    file = tmp_path / "AUCoding/AU_OCC/F001_T1.csv"
    good = file.read_text()
    file.write_text(good.replace("0,1,2,3", "0,2,1,3", 1))
    with pytest.raises(UserError, match=r"F001_T1\.csv has 2 where 1 belongs"):
        open_raw("bp4d", tmp_path)
    file.write_text(good.split("\n", 1)[1])  # no header: the first row is data
    with pytest.raises(UserError, match="has 7 where 0 belongs"):
        open_raw("bp4d", tmp_path)
    lines = good.splitlines()
    lines[1] = lines[1].rsplit(",", 1)[0]
    lines[2] = lines[2].replace("8,", "8,5,", 1).rsplit(",", 1)[0]  # AU 1 is 5
    file.write_text("\r\n".join([*lines, "x" + lines[3]]))
    rows = [row for row in read("bp4d", tmp_path) if row.subject == "F001"]
    assert kinds(rows) == {"bad row": 2, "out of range": 1}
    assert len(rows) == 6


# DISFA


def test_disfa(tmp_path):
    written = raw_sets.disfa(tmp_path)
    rows = read("disfa", tmp_path)
    for subject, levels in written.items():
        of_one = [row for row in rows if row.subject == subject]
        np.testing.assert_array_equal([row.intensity for row in of_one], levels)
        np.testing.assert_array_equal([row.labels for row in of_one], levels >= 2)
        assert [(row.frame, row.position) for row in of_one] == [(k, k - 1) for k in range(1, 7)]


def test_disfa_takes_the_right_camera_only_without_a_left_one(tmp_path):
    raw_sets.disfa(tmp_path)
    (tmp_path / "Videos_RightCamera").mkdir()
    left = tmp_path / "Videos_LeftCamera/LeftVideoSN001_comp.avi"
    right = tmp_path / "Videos_RightCamera/RightVideoSN001_Comp.avi"
    left.rename(right)
    rows = [row for row in read("disfa", tmp_path) if row.subject == "SN001"]
    assert kinds(rows) == {"missing": 6}
    shutil.rmtree(tmp_path / "Videos_LeftCamera")
    rows = read("disfa", tmp_path)
    assert {row.image for row in rows if not row.problem} == {
        "Videos_RightCamera/RightVideoSN001_Comp.avi"
    }


def test_disfa_numbering(tmp_path):
    raw_sets.disfa(tmp_path, frames=6)
    labels = tmp_path / "ActionUnit_Labels"
    for file in (labels / "SN001").glob("*.txt"):  # counted from 0
        edit(file, lambda text: "".join(f"{k},0\n" for k in range(6)))
    for file in (labels / "SN002").glob("*.txt"):  # one more than the video
        edit(file, lambda text: text + "7,0\n")
    rows = read("disfa", tmp_path)
    first = [row for row in rows if row.subject == "SN001"]
    assert kinds(first) == {"misnumbered": 6}
    assert "count frames from 0" in first[0].problem.reason
    second = [row for row in rows if row.subject == "SN002" and row.problem]
    assert [(row.frame, row.problem.kind) for row in second] == [(7, "misnumbered")]


def test_disfa_bad_lines(tmp_path):
    raw_sets.disfa(tmp_path)
    folder = tmp_path / "ActionUnit_Labels" / "SN001"
    edit(folder / "SN001_au1.txt", lambda text: text + "9,0\n")  # extra in one file
    edit(folder / "SN001_au2.txt", lambda text: text.replace("2,", "2,9", 1))
    edit(folder / "SN001_au4.txt", lambda text: text + "3,1\n")
    edit(folder / "SN001_au5.txt", lambda text: "no numbers\n" + text.split("\n", 1)[1])
    rows = [row for row in read("disfa", tmp_path) if row.subject == "SN001"]
    reasons = {row.frame: row.problem.reason for row in rows if row.problem}
    assert reasons == {
        -1: "line 1 of SN001_au5.txt is not 'frame,intensity'",
        1: "frame 1 is missing from the files of au5",
        2: reasons[2],
        3: "SN001_au4.txt has frame 3 twice",
        9: "frame 9 is missing from the files of "
        + ", ".join(f"au{n}" for n in raw_sets.DISFA if n != 1),
    }
    assert "SN001_au2.txt has intensity '9" in reasons[2]
    (folder / "SN001_au9.txt").unlink()
    with pytest.raises(UserError, match=r"SN001_au9\.txt is not there"):
        open_raw("disfa", tmp_path)


# A user's own table, and GFT


def test_gft_through_the_table(tmp_path):
    written = raw_sets.gft(tmp_path / "gft.csv")
    columns = {"image": "frame_file", "subject": "person"}
    source = open_raw("gft", tmp_path, columns=columns)
    assert source.aus == au_names.names(*raw_sets.GFT)
    rows = list(source.rows())
    np.testing.assert_array_equal([row.labels for row in rows], written)
    assert [row.split for row in rows] == ["train"] * 4 + ["test"] * 4
    assert rows[3].subject == "S1"


def test_gft_needs_its_aus_and_split(tmp_path):
    raw_sets.gft(tmp_path / "gft.csv")
    columns = {"image": "frame_file"}
    edit(tmp_path / "gft.csv", lambda text: text.replace("au_24", "au_25"))
    with pytest.raises(UserError, match="no column for AU24"):
        open_raw("gft", tmp_path, columns=columns)
    edit(tmp_path / "gft.csv", lambda text: text.replace("au_25", "au_24").replace("split", "set"))
    with pytest.raises(UserError, match="no column 'split'"):
        open_raw("gft", tmp_path, columns=columns)


def test_table_with_everything(tmp_path):
    (tmp_path / "t.csv").write_bytes(
        "\ufeffimage,AU12,'AU 1',subject,video,frame,pitch,yaw,roll,emotion,split\r\n"
        "a b/ö.jpg,1,999,p1,v,3,1.5,-2,0,Happy,train\r\n"
        "c.jpg,,0,p2,,,,,,,test\r\n"
        "d.jpg,2,0,p2,,x,,,,,test\r\n"
        "e.jpg,1,0,p2,,,,400,,,test\r\n"
        "f.jpg,1,0,p2,,,,,,glad,test\r\n"
        "g.jpg,1,0,p2,,,,,,,my test\r\n"
        ",1,0,p2,,,,,,,test\r\n".encode()
    )
    source = open_raw("csv", tmp_path / "t.csv", name="mine")
    assert (source.name, source.aus) == ("mine", ("AU01", "AU12"))
    rows = list(source.rows())
    first = rows[0]
    assert (first.image, first.labels, first.emotion, first.pose, first.frame, first.split) == (
        "a b/ö.jpg",
        (-1, 1),
        1,
        (1.5, -2, 0),
        3,
        "train",
    )
    assert (rows[1].labels, rows[1].pose, rows[1].emotion) == ((0, -1), None, -1)
    assert [row.problem and row.problem.kind for row in rows[2:]] == [
        "out of range",
        "out of range",
        "out of range",
        "bad row",
        "bad row",
    ]


def test_table_with_whole_numbers_as_tables_with_gaps_have_them(tmp_path):
    (tmp_path / "t.csv").write_text(
        "image,AU12,emotion,frame\na.jpg,1.0,3.0,12.0\nb.jpg,,-1.0,\nc.jpg,1,1.5,\nd.jpg,1,,1.5\n"
    )
    rows = read("csv", tmp_path / "t.csv")
    assert [(row.emotion, row.frame) for row in rows[:2]] == [(3, 12), (-1, -1)]
    assert kinds(rows) == {"out of range": 1, "bad row": 1}
    assert not kinds(rows[:2])


@pytest.mark.parametrize(
    ("header", "options", "sentence"),
    [
        ("photo,AU1", {}, "no column 'image'"),
        ("image,smile", {}, "no AU column"),
        ("image,AU1,AU01", {}, "two columns for AU01"),
        ("image,AU1,image", {}, "two columns for image"),
        ("image,AU1,yaw", {}, "not all of pitch, yaw and roll"),
        ("image,AU1", {"columns": {"photo": "image"}}, "unknown name in --columns 'photo'"),
        ("image,AU1", {"columns": {"subject": "who"}}, "lacks the column 'who'"),
        ("image,AU1", {"name": "disfa"}, "--name=disfa cannot"),
        ("image,AU1", {"name": "gft"}, "--name=gft cannot"),
        ("image,AU1", {"name": "synthetic_faces"}, "--name=synthetic_faces cannot"),
        ("image,AU1", {"name": "My Set"}, "cannot be a data set's name"),
    ],
)
def test_table_mistakes(tmp_path, header, options, sentence):
    (tmp_path / "t.csv").write_text(header + "\n")
    with pytest.raises(UserError, match=sentence):
        open_raw("csv", tmp_path, **options)


# Folders of people


def test_images_beside_the_folders_of_people_are_refused(tmp_path):
    raw_sets.write_image(tmp_path / "p1" / "a.jpg", 0)
    raw_sets.write_image(tmp_path / "b.jpg", 1)
    with pytest.raises(UserError, match=r"holds the image b\.jpg beside .*; move each image"):
        open_raw("people", tmp_path)


# All of them


@pytest.mark.parametrize(
    "dataset", ["emotionet", "affwild2", "affectnet", "bp4d", "disfa", "people", "csv"]
)
def test_wrong_folder(tmp_path, dataset):
    with pytest.raises(UserError, match=str(tmp_path)):
        open_raw(dataset, tmp_path)
    with pytest.raises(UserError, match="is not a folder"):
        open_raw(dataset, tmp_path / "nowhere")


def test_unknown_data_set(tmp_path):
    with pytest.raises(UserError, match=r"data set 'fer'; known: emotionet, affwild2.* csv, mod"):
        open_raw("fer", tmp_path)
    with pytest.raises(UserError, match="--columns is for --dataset=gft or csv"):
        open_raw("disfa", tmp_path, columns={"image": "x"})
    with pytest.raises(
        UserError, match="--name is for --dataset=people or rendered_faces or csv; gft"
    ):
        open_raw("gft", tmp_path, name="mine")
    with pytest.raises(UserError, match="--render is for --dataset=rendered_faces; csv has its"):
        open_raw("csv", tmp_path, render={"opt": "8"})


READER = """
from au_jax.prepare.readers.rows import RawSet, Row


def read(raw):
    def rows():
        yield Row("train", "labels.txt", 1, image="a.jpg", labels=(1,), subject="p1")

    return RawSet("mine", ("AU12",), ("closeup",), (raw / "labels.txt",), rows, "My faces.")


def named(raw):
    import dataclasses

    return dataclasses.replace(read(raw), name="My faces")


def nothing(raw):
    return None
"""


def test_a_reader_of_the_users_own(tmp_path, monkeypatch):
    (tmp_path / "my_reader.py").write_text(READER)
    monkeypatch.syspath_prepend(tmp_path)
    raw_set = open_raw("my_reader:read", tmp_path)
    assert (raw_set.name, raw_set.aus) == ("mine", ("AU12",))
    assert [row.labels for row in raw_set.rows()] == [(1,)]
    for reference, sentence in (
        ("my_reader:lost", "the module 'my_reader' has no function 'lost'"),
        ("no_such_reader:read", "there is no module 'no_such_reader'"),
        ("my_reader:named", "'My faces' of --dataset=my_reader:named cannot be a data set's name"),
        ("my_reader:nothing", "--dataset=my_reader:nothing returns no RawSet"),
    ):
        with pytest.raises(UserError, match=sentence):
            open_raw(reference, tmp_path)
    with pytest.raises(UserError, match="--columns is for --dataset=gft or csv"):
        open_raw("my_reader:read", tmp_path, columns={"image": "x"})
