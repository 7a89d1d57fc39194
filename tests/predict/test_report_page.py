"""The page of `--report`: its figures are those of the table, whatever the length of a video."""

import base64
import csv
import re
import xml.etree.ElementTree as ElementTree

import cv2
import numpy as np
import pytest
from PIL import Image
from red_faces import draw, write_video

from au_jax.errors import UserError
from au_jax.html.numbers import DASH
from au_jax.predict import digest
from au_jax.predict import run as run_module
from au_jax.predict.digest import Details, Overview
from au_jax.report import charts, predictions

AUS = ("AU01", "AU12")


def write_table(path, rows) -> None:
    """Rows of (input, frame, face or None, probability of AU01), 10 frames a second."""
    names = ["input", "frame", "timestamp", "face", "success", *AUS, *(f"{au}_c" for au in AUS)]
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for name, frame, face, p in rows:
            time = f"{frame / 10:.3f}" if name.endswith(".mp4") else ""
            if face is None:
                writer.writerow([name, frame, time, "", 0, "", "", "", ""])
            else:
                writer.writerow([name, frame, time, face, 1, p, 0.25, int(p >= 0.5), 0])


def parse(path) -> ElementTree.Element:
    return ElementTree.fromstring(path.read_text("utf-8").removeprefix("<!DOCTYPE html>\n"))


def text(element) -> str:
    return " ".join("".join(element.itertext()).split())


def test_counts_peaks_and_gaps_by_hand(tmp_path):
    rows = [("v.mp4", k, 0 if k < 4 else 1, 0.1 * k) for k in range(8) if k != 4]
    rows += [("v.mp4", 8, None, 0), ("a.jpg", 0, 0, 0.7), ("b.jpg", 0, None, 0)]
    write_table(tmp_path / "t.csv", rows)
    overview = Overview(tmp_path / "t.csv", AUS, {"v.mp4"})
    counts = overview.videos["v.mp4"]
    assert (overview.totals.faces, overview.photographs) == (8, 2)
    assert overview.totals.present.tolist() == [4, 0]
    np.testing.assert_allclose(overview.totals.probability, [2.4 + 0.7, 2.0])
    assert (counts.frames, counts.faceless, dict(counts.tracks)) == (8, 1, {"0": 4, "1": 3})
    assert counts.peaks == {"AU01": (pytest.approx(0.7), 6)}  # its place, not its number
    details = Details(tmp_path / "t.csv", overview)
    first, second = details.tracks["v.mp4"]
    np.testing.assert_allclose(first.high[:, 0], [0, 0.1, 0.2, 0.3, *[np.nan] * 4])
    np.testing.assert_allclose(second.low[:, 0], [*[np.nan] * 4, 0.5, 0.6, 0.7, np.nan])
    np.testing.assert_allclose(details.times["v.mp4"], [0, 0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8])
    assert list(details.photographs) == ["a.jpg", "b.jpg"]
    remarks = {frame: remark for frame, (_, remark) in details.frames["v.mp4"].items()}
    assert {k: v for k, v in remarks.items() if v} == {7: "Highest here: AU01"}
    assert len(remarks) == 6


@pytest.mark.parametrize("frames", [1500, 1501, 12345])
def test_curves_are_thinned_to_their_extremes(tmp_path, frames):
    values = np.random.default_rng(0).random(frames).round(6)
    write_table(tmp_path / "t.csv", [("v.mp4", k, 0, p) for k, p in enumerate(values)])
    overview = Overview(tmp_path / "t.csv", AUS, {"v.mp4"})
    details = Details(tmp_path / "t.csv", overview)
    [track] = details.tracks["v.mp4"]
    width = overview.videos["v.mp4"].width
    assert width == {1500: 1, 1501: 3, 12345: 17}[frames]
    assert len(track.low) * (2 if width > 1 else 1) <= 1500
    parts = [values[start : start + width] for start in range(0, frames, width)]
    np.testing.assert_allclose(track.low[:, 0], [part.min() for part in parts])
    np.testing.assert_allclose(track.high[:, 0], [part.max() for part in parts])


def test_no_more_is_shown_than_a_page_can_hold(tmp_path):
    videos = [f"{k}.mp4" for k in range(15)]
    photographs = [f"{k:03}.jpg" for k in range(130)]
    rows = [(name, k, k % 9, 0.6) for name in videos for k in range(30)]
    write_table(tmp_path / "t.csv", [*rows, *((name, 0, 0, 0.2) for name in photographs)])
    overview = Overview(tmp_path / "t.csv", AUS, set(videos))
    details = Details(tmp_path / "t.csv", overview)
    assert (len(overview.videos), overview.other_videos) == (12, 3)
    assert overview.totals.faces == 15 * 30 + 130
    assert len(details.tracks["0.mp4"]) == 4
    assert len(details.photographs) == 60
    assert set(details.photographs) == {photographs[(2 * k + 1) * 130 // 120] for k in range(60)}
    assert max(map(len, details.frames.values())) <= 12


def test_places_are_evenly_spread():
    assert digest.spread(4, 6) == [0, 1, 2, 3]
    assert digest.spread(12, 3) == [2, 6, 10]


def test_the_table_of_a_curve_has_the_extremes_of_each_row():
    low = np.array([[0.1], [np.nan], [0.3], [0.2]]).repeat(60, 0)
    track = predictions.Track("0", 180, low, low + 0.1)
    head, rows = predictions._table(track, np.arange(240) / 10, ("AU01",))
    assert head == ("from", "AU01")
    assert rows[0] == ("0.00 s", f"0.10{DASH}0.20")
    assert len(rows) == 60  # of three bins each, but for those without the face
    assert [row[0] for row in rows][20:22] == ["12.00 s", "12.30 s"]


def test_lines_break_where_a_face_is_not_found(monkeypatch):
    drawn = []
    monkeypatch.setattr(charts, "_cropped_png", lambda figure: drawn.append(figure) or b"")
    low = np.array([[0.1], [np.nan], [0.5]])
    tracks = [predictions.Track("3", 2, low, low + 0.2)]
    charts.tracks(np.array([0, 1, 2.0]), ("AU12",), np.array([0.4]), tracks)
    line, threshold = drawn[0].axes[0].lines
    np.testing.assert_array_equal(line.get_xdata(), [0, 0, 1, 1, 2, 2])
    np.testing.assert_allclose(line.get_ydata(), [0.1, 0.3, np.nan, np.nan, 0.5, 0.7])
    assert threshold.get_ydata()[0] == 0.4
    assert [t.get_text() for t in drawn[0].legends[0].texts] == ["face 3", "threshold"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_page_of_videos_and_photographs(networks, red, tmp_path, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    folder = tmp_path / "in <b>&"
    folder.mkdir()
    squares = [[(20 + 2 * k, 30, 40)] * (k not in (7, 8)) for k in range(22)]
    write_video(folder / "v.avi", [draw(*s, seed=k) for k, s in enumerate(squares)])
    Image.fromarray(draw((40, 20, 50))).save(folder / "a.png")
    Image.fromarray(draw()).save(folder / "none.png")
    (folder / "cut.jpg").write_text("no image")
    (folder / "notes.txt").touch()
    page, output = tmp_path / "new" / "page.html", tmp_path / f"o.{suffix}"
    options = {"report": page, "overlay": tmp_path / "drawn", "baseline": True}
    run_module.predict(networks, [str(folder)], output, **options)
    run_module.predict(networks, [str(folder)], tmp_path / "plain.csv")
    with open(tmp_path / "plain.csv", newline="") as file:
        table = [row for row in csv.DictReader(file) if row["success"] == "1"]
    assert output.exists()
    assert len(list((tmp_path / "drawn").iterdir())) == 3
    assert [path.name for path in page.parent.iterdir()] == ["page.html"]
    root = parse(page)
    said = text(root)
    assert "24 images, 21 faces in them, 3 images without a face, 1 inputs" in said
    assert "The selection chosen of the run run looked at" in said
    assert "AU01_above_baseline. They hold no probability" in said
    assert "22 frames were looked at, 2 of them without a face" in said
    assert "in <b>&/v.avi" in said
    overall, *others = root.iter("table")
    for row, au in zip(overall.findall("tbody/tr"), ("AU01", "AU12", "AU25"), strict=True):
        cells = [text(cell) for cell in row]
        present = sum(r[f"{au}_c"] == "1" for r in table)
        mean = np.mean([float(r[au]) for r in table])
        assert cells[0][:4] == au
        assert cells[1:4] == [str(present), f"{100 * present / 21:.1f} %", f"{mean:.3f}"]
    unusable = [[text(cell) for cell in row] for row in others[0].findall("tbody/tr")]
    assert [row[0].rpartition("/")[2] for row in unusable] == ["cut.jpg", "notes.txt"]
    assert unusable[1][1] == "its name is neither an image's nor a video's"
    summaries = [text(summary) for summary in root.iter("summary")]
    assert "Face 0: 7 frames, in figures" in summaries
    assert "Face 1: 13 frames, in figures" in summaries
    in_figures = [[text(cell) for cell in row] for row in others[2].findall("tbody/tr")]
    first = next(row for row in table if row["input"].endswith(".avi"))
    assert in_figures[0] == [
        "0.00 s",
        *(f"{float(first[au]):.2f}" for au in ("AU01", "AU12", "AU25")),
    ]
    assert len(in_figures) == 7
    images = list(root.iter("img"))
    assert all(image.get("alt") for image in images)
    assert all(image.get("src").startswith("data:image/") for image in images)
    assert not re.search(r'(src|href)="(?!data:)', page.read_text("utf-8"))
    assert len(root.findall(".//div[@class='stills']")) == 2
    captions = [text(c) for c in root.findall(".//div[@class='stills']/figure/figcaption")]
    assert captions[-1] == "none.png: no face"
    said_of_a = [au for au in ("AU01", "AU12", "AU25") if table[0][f"{au}_c"] == "1"]
    assert captions[-2] == f"a.png: {', '.join(said_of_a) or 'no AU'}"
    assert 6 <= len(captions) - 2 <= 12


def test_a_still_has_the_box_of_the_face(networks, red, tmp_path):
    Image.fromarray(draw((40, 20, 50))).save(tmp_path / "a.png")
    page = tmp_path / "p.html"
    page.write_text("older")
    run_module.predict(networks, [str(tmp_path / "a.png")], tmp_path / "o.csv", report=page)
    [image] = parse(page).iter("img")
    data = base64.b64decode(image.get("src").partition("base64,")[2])
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (96, 160, 3)
    line = picture[50, 84:96].max(1).astype(int)  # across the right side of the box
    assert line.max() > 180
    assert line.min() < 60


class Killed(BaseException):
    """In the place of a signal."""


def test_a_page_that_was_not_finished_is_made_by_the_same_command(
    networks, red, tmp_path, monkeypatch
):
    (tmp_path / "bad.png").write_text("no image")
    Image.fromarray(draw((40, 20, 50))).save(tmp_path / "a.png")
    given = [str(tmp_path / name) for name in ("bad.png", "a.png")]
    options = {"report": tmp_path / "p.html"}

    def killed(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(predictions, "render", killed)
        with pytest.raises(Killed):
            run_module.predict(networks, given, tmp_path / "o.csv", **options)
    assert not list(tmp_path.glob("*.html"))
    assert not (tmp_path / "o.csv").exists()
    run_module.predict(networks, given, tmp_path / "o.csv", **options)
    said = text(parse(tmp_path / "p.html"))
    assert "1 images, 1 faces in them" in said
    assert f"{given[0]}is no image" in said  # which the first call found
    assert (tmp_path / "o.csv").exists()


@pytest.mark.parametrize(
    ("given", "report", "sentence"),
    [
        ("0", "p.html", "--report draws on files, and what a camera showed is not kept"),
        ("a.png", "p.htm", r"--report=.*p\.htm does not end in \.html"),
        ("a.png", "folder.html", r"--report=.*folder\.html is a folder; name a file"),
        ("a.png", "a.png/p.html", r"cannot write --report=.*p\.html: "),
    ],
)
def test_a_page_that_cannot_be_written_is_refused_at_once(
    networks, red, tmp_path, monkeypatch, given, report, sentence
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").touch()
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(UserError, match=sentence):
        run_module.predict(networks, [given], tmp_path / "o.csv", report=tmp_path / report)
    assert not list(tmp_path.glob("o.csv*"))
