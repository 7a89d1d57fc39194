"""Tables, pictures and prepared sets that hypothesis draws: one clear sentence, or what they say.

The examples are the same at every run. `AU_JAX_FUZZ=100 pytest tests/fuzz` draws 100 times as many
others.
"""

import csv
import io
import math
import os
import posixpath
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import raw_sets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from au_jax.data.image_io import BadImageError, decode
from au_jax.data.sources import Table, open_source
from au_jax.errors import UserError
from au_jax.prepare import run as preparation

TIMES = int(os.environ.get("AU_JAX_FUZZ", "1"))
COLUMNS = ("image", "AU01", "pitch", "yaw", "roll", "frame", "emotion")
# Values that some reader, of ours or of others, has once taken for another one.
SEEDS = ("", " ", "0", "1", "1.0", "-1", "9", "999", "0.9", "-0.5", "1e400", "nan", "inf", "-inf")
ODD = (
    "1_0",
    "٣",
    "²",
    "9" * 400,
    "9" * 5000,
    "2147483648",
    "0x1",
    "true",
    '"',
    "a\nb",
    "\0",
    "'1'",
)
IMAGES = ("a.jpg", "b.jpg", "./a.jpg", "x/../b.jpg", "none.jpg", "../c.jpg", "link.jpg", "pipe.jpg")


def fuzz(examples: int):
    """Settings of a test that draws `examples`, the same ones unless it is asked for more."""
    return settings(
        max_examples=examples * TIMES,
        derandomize=TIMES == 1,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def check_sentence(error: Exception) -> None:
    """Fails where the error is not one line of bounded length."""
    assert 10 < len(str(error)) < 2000
    assert "\n" not in str(error)


def angle(text: str) -> float | None:
    """Degrees, NaN for an unknown angle; None for what is no angle."""
    if text.lower() in ("", "nan"):
        return math.nan
    number = float(text) if re.fullmatch(r"[+-]?([0-9]+\.?|[0-9]*\.[0-9]+)", text) else math.inf
    return number if abs(number) <= 180 else None


def read_independently(text: str, there: set[str]) -> dict[str, tuple]:
    """Label, angles, frame and emotion of each image that a table rightly names."""
    said: dict[str, tuple] = {}
    codes = {"1": 1, "1.0": 1, "0": 0, "0.0": 0}
    codes |= dict.fromkeys(("", "-1", "9", "999", "-1.0", "9.0", "999.0"), -1)
    table = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text, newline=""))]
    for image, label, *angles, frame, emotion in list(filter(any, table))[1:]:
        name = posixpath.normpath(image.replace("\\", "/"))
        pose = [angle(text) for text in angles]
        whole = re.fullmatch("[0-9]{0,9}", frame) and re.fullmatch("[0-7]|-1|", emotion)
        if whole and name in there and name not in said and label in codes and None not in pose:
            said[name] = (codes[label], pose, int(frame or -1), int(emotion or -1))
    return said


def as_said(table: Table) -> dict[str, tuple]:
    """The same of a prepared set."""
    names = [key.removeprefix("csv/").removesuffix("#0") for key in table.keys.tolist()]
    columns = (table.labels[:, 0], table.pose, table.frame, table.emotion)
    return dict(zip(names, zip(*(c.tolist() for c in columns), strict=True), strict=True))


values = st.sampled_from(SEEDS + ODD) | st.integers(-200, 200).map(str) | st.text(max_size=5)
usual = st.sampled_from(("0", "1", ""))
rows = st.tuples(
    st.sampled_from(IMAGES) | values, usual | values, *[usual | values] * 3, usual | values, usual
) | st.tuples(st.sampled_from(IMAGES), *[usual] * 4, usual, usual | values)


@fuzz(70)
@given(st.lists(rows, max_size=6), st.sampled_from(["\n", "\r\n", "\r", "\n\n"]))
def test_tables_are_read_right_or_refused(drawn, ends):
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw"
        for seed, name in enumerate(("raw/a.jpg", "raw/b.jpg", "c.jpg")):
            raw_sets.write_image(Path(folder) / name, seed)
        os.symlink("../c.jpg", raw / "link.jpg")
        os.mkfifo(raw / "pipe.jpg")
        text = io.StringIO()
        csv.writer(text, lineterminator=ends).writerows([COLUMNS, ("a.jpg", *"10000", ""), *drawn])
        content = text.getvalue().encode("utf-8", "surrogatepass")
        (raw / "t.csv").write_bytes(content)
        try:
            made = preparation.run("csv", raw, Path(folder) / "data", crops=("as_is",), processes=1)
            said = as_said(open_source(made, "full", "as_is", 0.2, 0).table)
        except UserError as error:
            check_sentence(error)
            return
        expected = read_independently(text.getvalue(), {"a.jpg", "b.jpg"})
        assert said.keys() == expected.keys()
        for name, (label, pose, frame, emotion) in expected.items():
            assert said[name][0] == label
            np.testing.assert_allclose(said[name][1], pose, rtol=1e-6)
            assert said[name][2:] == (frame, emotion)


def picture(form: str, mode: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, form)
    return out.getvalue()


PICTURES = {
    (form, mode): picture(form, mode)
    for form, modes in {
        "JPEG": ("RGB", "L", "CMYK"),
        "PNG": ("RGB", "L", "P", "RGBA", "1", "LA"),
        "WEBP": ("RGB", "RGBA"),
        "BMP": ("RGB", "L", "P"),
        "TIFF": ("RGB", "L", "CMYK"),
        "GIF": ("P", "L"),
        "PPM": ("RGB",),
    }.items()
    for mode in modes
}
spoils = st.sampled_from(["nothing", "cut", "cut and closed", "missing", "flipped", "inserted"])


def spoilt(data: bytes, how: str, place: float, drawn: bytes) -> bytes:
    """A picture's bytes with one fault at a share `place` of its length."""
    at = int(place * (len(data) - 1))
    if how == "cut":
        return data[:at]
    if how == "cut and closed":
        return data[:at] + b"\xff\xd9"
    if how == "missing":
        return data[:at] + data[at + len(drawn) :]
    if how == "flipped":
        return data[:at] + drawn + data[at + len(drawn) :]
    return data[:at] + drawn + data[at:] if how == "inserted" else data


@pytest.mark.filterwarnings("ignore")  # Pillow, which is the other reader, warns of what it skips
@fuzz(800)
@given(
    st.sampled_from(sorted(PICTURES)), spoils, st.floats(0, 1), st.binary(min_size=1, max_size=40)
)
def test_pictures_are_decoded_whole_or_refused(kind, how, place, drawn):
    whole = PICTURES[kind]
    data = spoilt(whole, how, place, drawn)
    refused = ""
    try:
        image = decode(data)
    except BadImageError as bad:
        check_sentence(bad)
        refused = bad.kind
    if refused:
        assert refused in ("unreadable", "too large")
        assert data != whole or kind[0] == "PPM"
        return
    assert kind[0] != "PPM"
    assert image.dtype == np.uint8
    assert image.shape[2] == 3
    if kind[0] == "JPEG" and how == "cut and closed":  # only the last bits may be spared
        assert len(data) >= len(whole) - 1
    with Image.open(io.BytesIO(data)) as opened:
        if not opened.mode.startswith(("I", "F")):
            difference = np.abs(image.astype(int) - np.array(opened.convert("RGB")))
            assert difference.max() <= 2 * (kind[0] == "JPEG")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A small prepared set with its label table beside it."""
    place = tmp_path_factory.mktemp("prepared")
    for number in range(6):
        raw_sets.write_image(place / "raw" / f"{number}.jpg", number)
    lines = "".join(f"{number}.jpg,{number % 2}\n" for number in range(6))
    (place / "raw" / "t.csv").write_text(f"image,AU01\n{lines}")
    made = preparation.run("csv", place / "raw", place / "data", crops=("as_is",), processes=1)
    open_source(made, "full", "as_is", 0.2, 0)
    return made


FILES = ("dataset_info.json", "features.json", "metadata.json", "*.array_record*", "table-*.npz")


@fuzz(150)
@given(st.sampled_from(FILES), spoils, st.floats(0, 1), st.binary(min_size=1, max_size=40))
def test_damaged_prepared_sets_are_read_right_or_refused(prepared, pattern, how, place, drawn):
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(prepared, Path(folder) / "1.0.0"))
        (file,) = copy.glob(pattern)
        state = file.stat()
        file.write_bytes(spoilt(file.read_bytes(), how, place, drawn))
        os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))  # the damage leaves no trace
        try:
            source = open_source(copy, "full", "as_is", 0.2, 0)
            images = source.images(np.arange(6))
        except UserError as error:
            check_sentence(error)
            return
        whole = open_source(prepared, "full", "as_is", 0.2, 0)
        np.testing.assert_array_equal(source.table.keys, whole.table.keys)
        np.testing.assert_array_equal(source.table.labels, whole.table.labels)
        np.testing.assert_array_equal(images, whole.images(np.arange(6)))
