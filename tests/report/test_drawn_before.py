"""A chart is drawn again when its values change or its file is damaged, and only then."""

import io

import numpy as np
import pytest
from PIL import Image

from au_jax.report import charts, drawn_before
from au_jax.report.drawn_before import drawn
from au_jax.report.from_run import EpochScores

SCORES = EpochScores(
    aus=("AU01", "AU12"),
    epochs=(1, 2),
    scores=np.array([[0.5, np.nan], [0.6, np.nan]]),
    mean=np.array([0.5, 0.6]),
    best=np.array([1, 0]),
)


def counted(monkeypatch):
    """The functions `epochs` and `per_au` of the charts in name, and the list of their calls."""
    calls = []

    def epochs(*values):
        calls.append(values)
        return charts.epochs(SCORES)

    def per_au(*values):
        return epochs(*values)

    return epochs, per_au, calls


@pytest.fixture
def kept(tmp_path, monkeypatch):
    epochs, per_au, calls = counted(monkeypatch)
    file = tmp_path / "epochs.png"
    file.write_bytes(drawn(file, epochs, SCORES, {"b": [1.0, None], "a": "text"}))
    assert len(calls) == 1
    return file, epochs, per_au, calls


def test_the_same_values_take_the_file_as_it_is(kept):
    file, epochs, _, calls = kept
    again = EpochScores(
        SCORES.aus, SCORES.epochs, SCORES.scores.copy(), SCORES.mean.copy(), SCORES.best.copy()
    )
    assert drawn(file, epochs, again, {"b": [1.0, None], "a": "text"}) == file.read_bytes()
    assert len(calls) == 1


def test_the_picture_is_the_one_that_was_drawn(kept):
    file, *_ = kept
    plain = Image.open(io.BytesIO(charts.epochs(SCORES)))
    np.testing.assert_array_equal(np.asarray(Image.open(file)), np.asarray(plain))


@pytest.mark.parametrize(
    "values",
    [
        (SCORES,),
        (SCORES, {"b": [1.0, None], "a": "texts"}),
        (SCORES, {"b": [1.0], "a": "text"}),
        (SCORES, {"b": [1, None], "a": "text"}),
        (SCORES, {"a": "text", "b": [1.0, None]}),  # the order may be that of bars
        (
            EpochScores(SCORES.aus, SCORES.epochs, SCORES.scores + 1e-9, SCORES.mean, SCORES.best),
            {"b": [1.0, None], "a": "text"},
        ),
    ],
)
def test_other_values_draw_again(kept, values):
    file, epochs, _, calls = kept
    png = drawn(file, epochs, *values)
    assert len(calls) == 2
    assert png != file.read_bytes()


def test_another_chart_or_other_code_draws_again(kept, monkeypatch):
    file, epochs, per_au, calls = kept
    values = (SCORES, {"b": [1.0, None], "a": "text"})
    drawn(file, per_au, *values)
    assert len(calls) == 2
    monkeypatch.setattr(drawn_before, "_drawing", lambda: "another version")
    drawn(file, epochs, *values)
    assert len(calls) == 3


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "gone", "text"])
def test_a_damaged_file_is_drawn_again(kept, damage):
    file, epochs, _, calls = kept
    whole = file.read_bytes()
    middle = len(whole) // 2
    flipped = bytes([whole[middle] ^ 1])
    contents = {
        "cut": whole[:middle],
        "flipped": whole[:middle] + flipped + whole[middle + 1 :],
        "empty": b"",
        "text": b"no picture",
    }
    file.unlink()
    if damage != "gone":
        file.write_bytes(contents[damage])
    assert drawn(file, epochs, SCORES, {"b": [1.0, None], "a": "text"}) == whole
    assert len(calls) == 2
