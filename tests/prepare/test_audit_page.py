"""The audit's page: what became of the rows, in one file that any browser shows."""

import base64
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import cv2
import numpy as np
import pytest

from au_jax.prepare import run as preparation


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    raw = tmp_path_factory.mktemp("audit")
    for i, seed in enumerate((1, 2, 1, 1)):
        pixels = np.random.default_rng(seed).integers(0, 256, (24, 24, 3), dtype=np.uint8)
        cv2.imwrite(str(raw / f"{i}.jpg"), pixels)
    raw.joinpath("t.csv").write_text(
        "image,AU1,AU2,subject,split\n0.jpg,1,,<b>,train\n1.jpg,0,1,b,train\n"
        "2.jpg,1,0,<b>,test\n3.jpg,1,0,c,test\n4.jpg,1,0,c,test\n"
    )
    options = {"crops": ("as_is",), "processes": 1, "name": "small"}
    return preparation.run("csv", raw / "t.csv", raw / "data", **options) / "audit"


@pytest.fixture(scope="module")
def page(folder: Path) -> ElementTree.Element:
    html = (folder / "index.html").read_text(encoding="utf-8")
    return ElementTree.fromstring(html.removeprefix("<!DOCTYPE html>\n"))


def text(element: ElementTree.Element) -> str:
    return "".join(element.itertext())


def below(page: ElementTree.Element, title: str) -> ElementTree.Element:
    """What follows the heading `title`."""
    main = next(iter(page.iter("main")))
    [place] = [i for i, e in enumerate(main) if e.tag == "h2" and text(e) == title]
    return main[place + 1]


def rows(page: ElementTree.Element, title: str) -> list[list[str]]:
    """The cells of the table below the heading `title`."""
    return [[text(cell) for cell in row] for row in below(page, title).findall(".//tbody/tr")]


def test_counts_of_rows_and_labels(page: ElementTree.Element):
    assert [text(h) for h in page.iter("h1")] == ["small"]
    assert rows(page, "Rows") == [
        ["test", "3", "2", "1", "2", "0", "2"],
        ["train", "2", "2", "0", "2", "0", "2"],
    ]
    assert rows(page, "Left out") == [["missing", "1"]]
    kept_and_raw = rows(page, "Labels of test: rows kept, and all raw rows")
    assert kept_and_raw == [
        ["AU01", "2", "0", "0", "3", "0", "0"],
        ["AU02", "0", "2", "0", "0", "3", "0"],
    ]


def test_names_are_escaped_and_leaks_are_told(page: ElementTree.Element):
    assert "LEAK: 1 subjects stand in more than one split: <b>" in [text(p) for p in page.iter("p")]
    assert "0.jpg = 3.jpg" in [text(item) for item in page.iter("li")]


def test_bars_are_the_shares_of_the_labels(page: ElementTree.Element):
    title = "Present (blue), absent (grey) and unknown (white) in train"
    assert [row[0] for row in rows(page, title)] == [
        "AU01 inner brow raiser",
        "AU02 outer brow raiser",
    ]
    bars = [
        [(part.get("class"), part.get("style")) for part in bar]
        for bar in below(page, title).findall(".//div[@class='bar']")
    ]
    assert bars == [
        [("present", "width:50.00%"), ("absent", "width:50.00%"), ("unknown", "width:0.00%")],
        [("present", "width:50.00%"), ("absent", "width:0.00%"), ("unknown", "width:50.00%")],
    ]


def test_faces_are_embedded(folder: Path, page: ElementTree.Element):
    """One sheet for each split, with its crops beside each other."""
    for split, image in zip(("test", "train"), page.iter("img"), strict=True):
        head, _, data = image.get("src", "").partition("base64,")
        assert head == "data:image/jpeg;"
        sheet = (folder / f"contact_sheet-{split}.jpg").read_bytes()
        assert base64.b64decode(data) == sheet
        assert cv2.imdecode(np.frombuffer(sheet, np.uint8), 1).shape == (112, 8 * 112, 3)
    assert {e.tag for e in page.iter()}.isdisjoint({"script", "link", "iframe"})
