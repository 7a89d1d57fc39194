"""Columns of AUs above a person's own level: by hand, and behind the table's own columns."""

import csv
import math

import numpy as np
import pytest
from red_faces import draw, write_video

from au_jax.errors import UserError
from au_jax.predict import neutral_level
from au_jax.predict import run as run_module


def row(face: str, probability: float, frame: int, time: str = "0.1", name: str = "v"):
    known = {"input": name, "frame": str(frame), "timestamp": time, "face": face}
    cells = {"success": str(int(face != "")), "AU01": f"{probability:.6f}", "AU12": "0.250000"}
    return known | cells | {"AU01_c": "1"}


def test_the_level_is_the_lowest_tenth_by_hand():
    probabilities = [k / 40 for k in range(1, 31)]  # in any order
    shuffled = np.random.default_rng(0).permutation(probabilities)
    images = [[row("0", p, k)] for k, p in enumerate(shuffled)]
    [(track, level)] = neutral_level.neutral_levels(iter(images)).items()
    assert track == ("v", "0")
    # Of 30 frames 3 are below it: 4 / 40.
    assert level[0] == pytest.approx(math.log((4 / 40) / (36 / 40)), abs=0.006)
    assert level[1] == pytest.approx(math.log(1 / 3), abs=0.006)


def test_each_track_has_its_own_and_short_ones_none():
    images = [[row("0", 0.1, k), row("1", 0.9, k)] for k in range(10)]
    images += [[row("2", 0.5, k)] for k in range(10, 19)] + [[row("", 0, 19)]]
    images += [[row("0", 0.7, k, name="w")] for k in range(12)]
    images += [[row("0", 0.5, 0, time="", name=f"{k}.jpg")] for k in range(12)]
    levels = neutral_level.neutral_levels(iter(images))
    assert list(levels) == [("v", "0"), ("v", "1"), ("w", "0")]
    found = [level[0] for level in levels.values()]
    np.testing.assert_allclose(found, np.log([1 / 9, 9, 7 / 3]), atol=0.006)


def test_probabilities_of_0_and_1_have_finite_logits():
    images = [[row("0", k % 2, k)] for k in range(10)]
    [level] = neutral_level.neutral_levels(iter(images)).values()
    assert level[0] == pytest.approx(-math.log(999999), abs=0.006)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_columns_stand_behind_those_of_the_table(networks, red, tmp_path, suffix):
    def squares(k: int) -> list[tuple[int, int, int]]:
        return [(20 + 2 * k, 30, 40)] * (k != 14) + [(110, 10, 30)] * (k > 18)

    write_video(tmp_path / "v.avi", [draw(*squares(k), seed=k) for k in range(24)])
    plain, output = tmp_path / "plain.csv", tmp_path / f"o.{suffix}"
    run_module.predict(networks, [str(tmp_path / "v.avi")], plain, faces="all")
    options = {"faces": "all", "baseline": True}
    run_module.predict(networks, [str(tmp_path / "v.avi")], output, **options)
    with open(plain, newline="") as file:
        before = list(csv.DictReader(file))
    if suffix == "csv":
        with open(output, newline="") as file:
            after = list(csv.DictReader(file))
        assert [{name: row[name] for name in before[0]} for row in after] == before
    else:
        parquet = pytest.importorskip("pyarrow.parquet")
        after = parquet.read_table(output).to_pylist()
    added = [f"{au}_above_baseline" for au in ("AU01", "AU12", "AU25")]
    assert list(after[0]) == [*before[0], *added]
    shown = [row["AU12_above_baseline"] not in ("", None) for row in after]
    # 14 frames of the first face, one without, and too few of the two others.
    assert shown == [True] * 14 + [False] * (len(after) - 14)
    p = np.array([float(row["AU12"]) for row in before[:14]])
    logits = np.log(p / (1 - p))
    expected = logits - np.sort(logits)[1]
    found = [float(row["AU12_above_baseline"]) for row in after[:14]]
    np.testing.assert_allclose(found, expected, atol=0.006)
    assert sorted(path.name for path in tmp_path.glob("*o.*")) == [f"o.{suffix}"]


def test_photographs_alone_are_refused(networks, red, tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(UserError, match="--baseline follows faces through videos, and --input has"):
        run_module.predict(networks, [str(tmp_path / "a.png")], tmp_path / "o.csv", baseline=True)
