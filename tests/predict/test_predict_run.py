"""`--mode=predict` on drawn images and videos, with a finder of red squares for the face models."""

import csv
import os
import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from red_faces import draw, write_video

from au_jax.ensemble import predictor, selection
from au_jax.ensemble.member_scores import read_selection
from au_jax.ensemble.smoothing import sequences, smoothed
from au_jax.errors import UserError
from au_jax.predict import frames
from au_jax.predict import parquet as parquet_module
from au_jax.predict import run as run_module
from au_jax.predict.partial_table import PartialTable
from au_jax.run_dir import RunFolder, Scores

HEADER = (
    "input,frame,timestamp,face,success,confidence,face_x,face_y,face_width,face_height,"
    "pose_pitch,pose_yaw,pose_roll,AU01,AU12,AU25,AU01_c,AU12_c,AU25_c,doubts"
)


def predict(networks, output, *given, **options) -> list[dict[str, str]]:
    run_module.predict(networks, [str(path) for path in given], output, **options)
    with open(output, newline="") as file:
        return list(csv.DictReader(file))


def walk(count: int, absent=()) -> list[np.ndarray]:
    """Frames in which a face walks to the right."""
    return [draw(*([] if k in absent else [(20 + 2 * k, 30, 40)]), seed=k) for k in range(count)]


def odd_folder(folder):
    """Images with everything that can be wrong with them; the names of those that can be read."""
    folder.mkdir()
    image = Image.fromarray(draw((40, 20, 50)))
    image.save(folder / "plain.jpg")
    image.convert("CMYK").save(folder / "cmyk.jpg")
    image.convert("RGBA").save(folder / "alpha.png")
    image.save(folder / "moving.gif", save_all=True, append_images=[image])
    cv2.imwrite(str(folder / "sixteen.png"), draw((40, 20, 50))[..., ::-1].astype(np.uint16) * 257)
    Image.fromarray(draw((5, 5, 30), (90, 20, 60))).save(folder / "many.png")
    Image.fromarray(draw()).save(folder / "none.png")
    whole = (folder / "plain.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("no image")
    (folder / "huge.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + bytes.fromhex("0000000d49484452000075300000753008020000")
    )
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "notes.txt").write_text("neither")
    (folder / ".hidden.jpg").touch()
    names = "alpha.png cmyk.jpg many.png moving.gif none.png plain.jpg sixteen.png"
    return names.split()


def test_a_folder_of_odd_files(networks, red, tmp_path, capsys):
    readable = odd_folder(tmp_path / "odd")
    rows = predict(networks, tmp_path / "o.csv", tmp_path / "odd", faces="all")
    assert (tmp_path / "o.csv").read_text().splitlines()[0] == HEADER
    by_name: dict[str, list] = {}
    for row in rows:
        by_name.setdefault(row["input"].split("/")[-1], []).append(row)
    assert list(by_name) == readable
    assert [len(of) for of in by_name.values()] == [1, 1, 2, 1, 1, 1, 1]
    assert [row["face"] for row in by_name["many.png"]] == ["0", "1"]
    assert float(by_name["many.png"][0]["face_width"]) > 50  # the largest first
    none = by_name["none.png"][0]
    assert none["success"] == "0"
    assert {none[c] for c in ("face", "confidence", "face_x", "AU01", "AU01_c", "timestamp")} == {
        ""
    }
    for name in ("alpha.png", "plain.jpg", "sixteen.png"):
        (row,) = by_name[name]
        assert float(row["AU12"]) == pytest.approx(float(by_name["moving.gif"][0]["AU12"]), abs=0.1)
        assert row["AU12_c"] == str(int(float(row["AU12"]) >= 0.4))
    said = capsys.readouterr().out
    for name in ("cut.jpg", "empty.jpg", "text.jpg", "huge.png", "gone.jpg", "notes.txt"):
        assert said.count(f"odd/{name}: ") == 1, name
    assert said.splitlines()[-1].endswith(
        "7 images, 7 faces in them, 1 images without a face, 5 inputs that cannot be used or not "
        "to their end"
    )


@pytest.mark.parametrize("suffix", ["avi", "mp4", "mov", "webm"])
def test_a_face_that_leaves_and_returns_gets_a_new_number(networks, red, tmp_path, suffix):
    codec = {"avi": "MJPG", "webm": "VP80"}.get(suffix, "mp4v")
    write_video(tmp_path / f"v.{suffix}", walk(22, absent=(7, 8, 9, 15)), codec)
    rows = predict(networks, tmp_path / "v.csv", tmp_path / f"v.{suffix}")
    assert [row["face"] for row in rows] == ["0"] * 7 + [""] * 3 + ["1"] * 5 + [""] + ["2"] * 6
    assert [int(row["frame"]) for row in rows] == list(range(22))
    assert [float(row["timestamp"]) for row in rows] == pytest.approx(np.arange(22) / 20, abs=2e-3)


def test_two_faces_keep_their_numbers_when_the_larger_one_changes(networks, red, tmp_path):
    images = [draw((10 + k, 30, 40 + 2 * k), (100 - k, 20, 46)) for k in range(7)]
    write_video(tmp_path / "v.avi", images)
    rows = predict(networks, tmp_path / "v.csv", tmp_path / "v.avi", faces="all")
    left = {row["face"] for row in rows if float(row["face_x"]) < 50}
    assert (len(rows), left) == (14, {"1"})


def test_some_frames_only(networks, red, tmp_path):
    write_video(tmp_path / "v.avi", walk(11))
    rows = predict(networks, tmp_path / "v.csv", tmp_path / "v.avi", every=3)
    assert [row["frame"] for row in rows] == ["0", "3", "6", "9"]
    assert [row["timestamp"] for row in rows] == ["0.000", "0.150", "0.300", "0.450"]


def test_a_video_that_was_cut_off_is_read_up_to_its_break(networks, red, tmp_path, capsys):
    write_video(tmp_path / "a.avi", walk(30))
    write_video(tmp_path / "b.avi", walk(5))
    data = (tmp_path / "a.avi").read_bytes()
    (tmp_path / "a.avi").write_bytes(data[: len(data) // 2])
    rows = predict(networks, tmp_path / "v.csv", tmp_path / "*.avi")
    of_a = sum(row["input"].endswith("a.avi") for row in rows)
    assert 5 < of_a < 20
    assert len(rows) == of_a + 5
    assert f"a.avi: ends at frame {of_a}, though it says it has" in capsys.readouterr().out


def test_scores_are_smoothed_as_the_selection_says(networks, red, tmp_path):
    write_video(tmp_path / "v.avi", walk(24, absent=(9,)))
    said = []
    ask = predictor.Predictor.member_logits

    def remembered(self, *arguments):
        said.append(ask(self, *arguments))
        return said[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predictor.Predictor, "member_logits", remembered)
        rows = predict(networks, tmp_path / "v.csv", tmp_path / "v.avi")
    raw = [np.concatenate(parts) for parts in zip(*said, strict=True)]
    chosen = read_selection(RunFolder(networks).stage("chosen"))
    order = [2, 0, 1]  # the members by network: far, near@1, near@2
    frame = np.delete(np.arange(24), 9).astype(np.int32)
    by_member = []
    for place, member in zip(np.argsort(order), chosen.members, strict=True):
        names = np.array(["v"] * 23)
        scores = Scores(
            raw[place], np.zeros((23, 3)), np.array(chosen.aus), names, names, names, frame
        )
        by_member.append((chosen.aus, smoothed(raw[place], sequences(scores), member.window)))
    expected = selection.apply(chosen, by_member)
    found = [[float(row[au]) for au in chosen.aus] for row in rows if row["success"] == "1"]
    np.testing.assert_allclose(found, expected, atol=2e-6)
    unsmoothed = selection.apply(chosen, [(chosen.aus, raw[p]) for p in np.argsort(order)])
    assert np.abs(unsmoothed - expected).max() > 1e-4


class Killed(BaseException):
    """In the place of a signal."""


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8])
def test_killed_work_goes_on_to_the_same_bytes(networks, red, tmp_path, monkeypatch, steps):
    def squares(k: int) -> list[tuple[int, int, int]]:
        if k == 7:  # the last frame of a step, whose place and pose are not known
            return []
        return [(20 + 2 * k, 30, 40)] * (k not in (7, 8)) + [(100, 10, 30)] * (k > 4)

    write_video(tmp_path / "a.avi", [draw(*squares(k), seed=k) for k in range(18)])
    Image.fromarray(draw((40, 20, 50))).save(tmp_path / "b.png")
    (tmp_path / "c.png").touch()
    write_video(tmp_path / "d.avi", walk(9))
    given = [tmp_path / name for name in ("a.avi", "b.png", "c.png", "d.avi")]
    predict(networks, tmp_path / "whole.csv", *given, faces="all")
    left = [steps]
    append = PartialTable.append

    def killed(table, rows, state):
        if left[0] == 0:
            table._write([row[:5] for row in rows])  # the rows are cut off, the progress is old
            raise Killed
        left[0] -= 1
        append(table, rows, state)

    with monkeypatch.context() as patch:
        patch.setattr(PartialTable, "append", killed)
        with pytest.raises(Killed):
            predict(networks, tmp_path / "o.csv", *given, faces="all")
    assert not (tmp_path / "o.csv").exists()
    looked = []
    read = frames.read
    monkeypatch.setattr(frames, "read", lambda *a: (looked.append(f) or f for f in read(*a)))
    predict(networks, tmp_path / "o.csv", *given, faces="all")
    assert (tmp_path / "o.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert len(looked) == 18 + 2 + 9 - min(29, 4 * steps)  # nothing whole is done twice
    assert sorted(p.name for p in tmp_path.glob("o.*")) == ["o.csv"]


def test_what_a_kill_left_half_written_is_swept(networks, red, tmp_path):
    Image.fromarray(draw((40, 20, 50))).save(tmp_path / "b.png")
    for name in ("o.parquet", "o.parquet.amended", "o.parquet.progress", "page.html"):
        (tmp_path / f".unfinished-0123abcd.{name}").touch()
    output = tmp_path / "o.parquet"
    report = tmp_path / "page.html"
    run_module.predict(networks, [str(tmp_path / "b.png")], output, report=report)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.png", "o.parquet", "page.html"]


def test_names_with_ends_of_lines_and_without_text(networks, red, tmp_path, capsys):
    image = Image.fromarray(draw((40, 20, 50)))
    names = [
        tmp_path / "a\rb.png",
        tmp_path / "c\nd.png",
        Path(os.fsdecode(b"%b/\xe9.png" % bytes(tmp_path))),
    ]
    for name in names:
        image.save(name)
    (tmp_path / "v.avi").touch()
    odd = Path(os.fsdecode(b"%b/\xe9.avi" % bytes(tmp_path)))
    write_video(tmp_path / "w.avi", walk(3))
    (tmp_path / "w.avi").rename(odd)
    options = {"overlay": tmp_path / "drawn", "report": tmp_path / "page.html"}
    rows = predict(networks, tmp_path / "o.csv", *names, odd, **options)
    assert [Path(row["input"]).name for row in rows] == ["a\rb.png", "c\nd.png", r"\udce9.png"]
    assert "has a name that is no valid text; rename it" in capsys.readouterr().out
    assert len(list((tmp_path / "drawn").iterdir())) == 3
    assert r"\udce9.png" in (tmp_path / "page.html").read_text()


def test_unfinished_work_of_another_command_is_refused(networks, red, tmp_path, monkeypatch):
    write_video(tmp_path / "a.avi", walk(9))

    def killed(table, rows, state):
        raise Killed

    append = PartialTable.append
    monkeypatch.setattr(PartialTable, "append", lambda *a: (append(*a), killed(*a)))
    with pytest.raises(Killed):
        predict(networks, tmp_path / "o.csv", tmp_path / "a.avi")
    for options, flag in (({"every": 2}, "--every"), ({"faces": "all"}, "--faces")):
        with pytest.raises(UserError, match=f"o.csv.partial was begun with another {flag}; give"):
            predict(networks, tmp_path / "o.csv", tmp_path / "a.avi", **options)
    write_video(tmp_path / "b.avi", walk(2))
    with pytest.raises(UserError, match="begun with another list of inputs"):
        predict(networks, tmp_path / "o.csv", tmp_path / "*.avi")
    with pytest.raises(UserError, match="begun with another selection"):
        predict(networks, tmp_path / "o.csv", tmp_path / "a.avi", stage="far")


def test_a_video_of_any_length_takes_the_same_memory(networks, red, tmp_path, monkeypatch):
    alive: weakref.WeakSet = weakref.WeakSet()
    most = [0]

    class Counted(frames.Frame):
        def __init__(self, *fields):
            super().__init__(*fields)
            alive.add(self)
            most[0] = max(most[0], len(alive))

        __hash__ = object.__hash__

    monkeypatch.setattr(frames, "Frame", Counted)
    held = []
    for count in (40, 400):
        write_video(tmp_path / f"{count}.avi", [draw((20 + k % 60, 30, 40)) for k in range(count)])
        most[0] = 0
        predict(networks, tmp_path / f"{count}.csv", tmp_path / f"{count}.avi")
        held.append(most[0])
    limit = 2 * run_module.face_threads() + 1
    assert max(held) <= limit


def test_no_number_of_faces_compiles_the_networks_again(networks, red, tmp_path, monkeypatch):
    images = [draw(*[(3 + 30 * i, 20, 20) for i in range(k % 6)]) for k in range(22)]
    write_video(tmp_path / "v.avi", images)
    made = []
    load = predictor.load
    monkeypatch.setattr(predictor, "load", lambda *a: made.append(load(*a)) or made[-1])
    rows = predict(networks, tmp_path / "v.csv", tmp_path / "v.avi", faces="all")
    assert {row["face"] for row in rows} >= {"0", "1", "2", "3", "4", ""}
    assert made[0]._forward._cache_size() == 1


def test_parquet_holds_what_the_csv_holds(networks, red, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_video(tmp_path / "v.avi", walk(9, absent=(4,)))
    rows = predict(networks, tmp_path / "v.csv", tmp_path / "v.avi")
    run_module.predict(networks, [str(tmp_path / "v.avi")], tmp_path / "v.parquet")
    table = parquet.read_table(tmp_path / "v.parquet").to_pydict()
    assert list(table) == HEADER.split(",")
    assert table["face"] == [int(row["face"]) if row["face"] else None for row in rows]
    assert table["success"] == [1] * 4 + [0] + [1] * 4
    np.testing.assert_allclose(table["AU12"][3], float(rows[3]["AU12"]), atol=1e-6)
    assert table["AU12"][4] is table["AU12_c"][4] is None
    assert sorted(p.name for p in tmp_path.glob("v.parquet*")) == ["v.parquet"]


@pytest.mark.parametrize(
    ("given", "output", "options", "sentence"),
    [
        (["none.jpg"], "o.csv", {}, r"there is no file none\.jpg; give a photograph"),
        (["*.webm"], "o.csv", {}, r"there is no file \*\.webm"),
        (["0", "a.jpg"], "o.csv", {}, "--input=0 is a camera, which has to be the only input"),
        (["0"], "o.txt", {}, r"o\.txt ends neither in \.csv nor in \.parquet"),
        (["0"], "o.csv", {"every": 0}, "--every=0 is below 1"),
        ([""], "o.csv", {}, "holds no image and no video"),
        (["here.jpg"], "there.csv", {}, r"there\.csv is there already; delete it"),
    ],
)
def test_mistakes(networks, red, tmp_path, monkeypatch, given, output, options, sentence):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "here.jpg").touch()
    (tmp_path / "empty" / "there.csv").touch()
    monkeypatch.chdir(tmp_path / "empty")
    if given == [""]:
        (tmp_path / "empty" / "here.jpg").unlink()
        given = ["."]
    with pytest.raises(UserError, match=sentence):
        run_module.predict(networks, given, tmp_path / "empty" / output, **options)


def test_parquet_without_its_package_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"o\.parquet needs the package pyarrow; pip install"):
        run_module.predict(tmp_path, ["a.jpg"], tmp_path / "o.parquet")
