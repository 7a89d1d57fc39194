"""What a page draws: bars, curves, boxes and the table, from a few made-up faces."""

import base64
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from au_jax.predict.answers import Row
from au_jax.predict.frames import Frame, Origin
from au_jax.predict.smoother import Answer
from au_jax.serve import view
from au_jax.serve.seen import Image, Seen

AUS = ("AU01", "AU12")


def row(origin: Origin, face: int, *probabilities: float) -> Row:
    pose = np.array([3.2, -12.4, 0.3], np.float32)
    answer = Answer(origin, face, np.array([40, 20, 50, 60], np.float32), 0.75, "small", pose, [])
    if face < 0:
        probabilities = (np.nan, np.nan)
    return Row(answer, np.array(probabilities, np.float32), np.zeros(2, bool))


def seen_of(*faces: tuple[tuple[int, float, float], ...], name: str = "v.avi") -> Seen:
    """A video with these (face, probabilities) in each frame, every 5th of which was looked at."""
    images, rows = [], []
    for place, found in enumerate(faces):
        origin = Origin(name, 0, 5 * place, place / 4, True, 5 * len(faces))
        images.append(Image.of(Frame(origin, np.zeros((96, 160, 3), np.uint8)), 80))
        rows.append([row(origin, *face) for face in found] or [row(origin, -1)])
    return Seen(name, AUS, images, rows, 5, "")


def parsed(text: str) -> ElementTree.Element:
    """The HTML as XML, which all templates are written as."""
    return ElementTree.fromstring(f"<div>{text}</div>")


def test_bars_by_hand():
    seen = seen_of(((0, 0.25, 0.5),))
    bars = view.bars_of(seen.rows[0][0], AUS, (0.3, 0.5))
    assert bars == [
        view.Bar("AU01", "inner brow raiser", 0.25, 0.3, False),
        view.Bar("AU12", "lip corner puller", 0.5, 0.5, True),
    ]
    drawn = parsed(view.bars(seen, 0, 0, (0.3, 0.5)))
    first, second = drawn.findall(".//div[@role='row']")
    assert [first.get("class"), second.get("class")] == ["au", "au present"]
    assert "".join(second.itertext()).split() == [
        "AU12",
        "lip",
        "corner",
        "puller",
        "0.50",
        "present",
    ]
    assert second.find(".//span/span").get("style") == "width:50.0%"
    assert first.find(".//i").get("style") == "left:30.0%"
    assert "Face 0" in drawn.find("h3").text
    assert drawn.find("p").text.endswith("Confidence: 0.75 (small).")


def test_a_face_that_is_not_there_has_no_bars():
    seen = seen_of(((0, 0.1, 0.2),), ())
    away = parsed(view.bars(seen, 1, 0, (0.5, 0.5)))
    assert away.find("p").text == "It is not seen in frame 5 at 0.25 s."
    assert not away.findall(".//div")
    nobody = view.bars(seen_of(()), 0, -1, (0.5, 0.5))
    assert parsed(nobody).find("h3").text == "No face is found"


def test_curves_break_where_the_face_is_not_seen():
    seen = seen_of(((0, 0.25, 0.5),), ((0, 0.75, 0.5),), (), ((1, 0.9, 0.9),), ((0, 1.0, 0.0),))
    first, second = view.curves_of(seen, 0, (0.5, 0.6))
    assert first.lines == ["0.0,75.0 250.0,25.0", "998.0,0.0 1002.0,0.0"]
    assert (first.present, first.seen) == (2, 3)
    assert (second.present, second.threshold) == (0, 0.6)
    drawn = parsed(view.curves(seen, 2, 0, (0.5, 0.6)))
    svg = drawn.find(".//svg")
    assert svg.find("line[@class='now']").get("x1") == "500.0"
    assert svg.find("line[@class='threshold']").get("y1") == "50.0"
    assert svg.find("svg").get("height") == "50.0"  # in colour above the threshold only
    assert svg.get("aria-label") == "AU01 over time: present in 2 of 3 frames"
    axis = drawn.findall(".//div[@class='curve axis']/span")
    assert [span.text for span in axis[1:]] == ["frame 0 at 0.00 s", "frame 20 at 1.00 s"]


def test_boxes_are_numbered_and_the_chosen_one_lies_on_top():
    seen = seen_of(((0, 0.1, 0.1), (1, 0.2, 0.2)))
    drawn = parsed(view.picture(seen, 0, 0))
    assert drawn.find(".//svg").get("viewBox") == "0 0 160 96"
    assert [text.text for text in drawn.findall(".//text")] == ["1", "0"]
    assert [group.get("class") for group in drawn.findall(".//g")] == [None, "chosen"]
    box = drawn.find(".//rect[@class='over']")
    assert [float(box.get(side)) for side in ("x", "y", "width", "height")] == [40, 20, 50, 60]
    source = drawn.find(".//image").get("href").removeprefix("data:image/jpeg;base64,")
    assert base64.b64decode(source) == seen.images[0].jpeg
    assert drawn.find(".//figcaption").text == "v.avi, frame 0 at 0.00 s: 2 faces"


def test_names_are_text_and_no_html():
    seen = seen_of(((0, 0.1, 0.1),), name="<script>&.avi")
    for text in (view.picture(seen, 0, 0), view.notice(seen.name), view.table_link(seen, (0, 0))):
        assert "<script>" not in text
        parsed(text)
    assert view.notice("") == ""


def test_the_link_holds_the_table():
    seen = seen_of(((0, 0.25, 0.5),))
    link = parsed(view.table_link(seen, (0.3, 0.5))).find(".//a")
    assert link.get("download") == "v.csv"
    head, body = base64.b64decode(link.get("href").split(",")[1]).decode().splitlines()
    assert head.startswith("input,frame,timestamp,face,success,")
    assert re.fullmatch(r"v\.avi,0,0\.000,0,1,.*,0\.250000,0\.500000,0,1,small", body)


@pytest.mark.parametrize(
    ("angles", "words"),
    [
        ((3.2, -12.4, 0.3), "3° up, 12° to the person's right (pitch 3°, yaw -12°, roll 0°)."),
        ((-4, 5, -6), "4° down, 5° to the person's left, tilted 6° anticlockwise in the picture"),
        ((0, 0, 7), "Head: tilted 7° clockwise in the picture (pitch 0°"),
        ((0.2, -0.4, 0), "Head: straight ahead (pitch 0°, yaw 0°, roll 0°)."),
        ((np.nan, 0, 0), "The head's pose is not known."),
    ],
)
def test_poses_in_words(angles, words):
    assert words in view.pose(np.array(angles, np.float32))
