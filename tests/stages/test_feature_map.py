"""The feature_map stage: its maps, what it refuses, and its neighbours against plain loops."""

import dataclasses

import numpy as np
import pytest

from au_jax.errors import UserError
from au_jax.files import atomic_files
from au_jax.run_dir import Features, StageFolder
from au_jax.stages.base import StageContext
from au_jax.stages.feature_map import FeatureMap, same_emotion, same_label

AUS = ("AU01", "AU06")
ROWS = 60


def features(seed, **changes):
    """Random features of ROWS records, those of the first emotion apart from the others."""
    rng = np.random.default_rng(seed)
    emotion = rng.integers(-1, 3, ROWS).astype(np.int8)
    values = rng.normal(size=(ROWS, 5)) + 6 * (emotion == 0)[:, None]
    made = Features(
        features=values.astype(np.float32),
        labels=rng.integers(-1, 2, (ROWS, 2)).astype(np.int8),
        aus=np.array(AUS),
        emotion=emotion,
        face=np.arange(ROWS) % 10 != 3,
        keys=np.array([f"record{row}" for row in range(ROWS)]),
        subject=np.array([f"person{row % 5}" for row in range(ROWS)]),
    )
    return dataclasses.replace(made, **changes)


def run(tmp_path, kept, stage, seed=3):
    """Runs `stage` on the features {input: Features} of "test"; returns its folder."""
    for name, of_input in kept.items():
        StageFolder(tmp_path / "stages" / name).write_features("test", of_input)
    folder = StageFolder(tmp_path / "stages" / "map")
    unused = dict.fromkeys(field.name for field in dataclasses.fields(StageContext))
    given = {
        "folder": folder,
        "seed": seed,
        "input": lambda name: StageFolder(tmp_path / "stages" / name),
    }
    stage.run(StageContext(**{**unused, **given}))
    return folder


def loop(values, labels, groups):
    """The share of the 10 nearest of the same group with the same label, and of all others."""
    shares, chances = [], []
    for i in range(len(values)):
        others = [j for j in range(len(values)) if j != i and groups[j] == groups[i]]
        if not others:
            continue
        distances = {j: ((values[j] - values[i]) ** 2).sum() for j in others}
        others.sort(key=distances.__getitem__)
        same = [labels[j] == labels[i] for j in others]
        shares.append(np.mean(same[:10]))
        chances.append(np.mean(same))
    return [np.mean(shares), np.mean(chances)]


def test_neighbours_are_those_of_a_loop():
    of = features(0)
    values, emotion, present = of.features.astype(float), of.emotion, of.labels[:, 1]
    known = emotion >= 0
    expected = loop(values[known], emotion[known], np.zeros(known.sum()))
    np.testing.assert_allclose(same_emotion(of.features, emotion), expected)
    assert expected[0] > expected[1] + 0.1, "the first emotion lies apart"
    known &= present >= 0
    sizes = [(emotion[known] == e).sum() for e in range(3)]
    assert min(sizes) > 1
    expected = loop(values[known], present[known], emotion[known])
    np.testing.assert_allclose(same_label(of.features, present, emotion), expected)


def test_neighbours_of_a_record_that_is_alone():
    values = np.arange(3, dtype=np.float32)[:, None]
    emotion, present = np.array([0, 1, 1]), np.array([1, 1, 0])
    assert same_label(values, present, emotion).tolist() == [0, 0]
    assert np.isnan(same_label(values, present, np.array([0, 1, 2]))).all()
    assert np.isnan(same_emotion(values, np.full(3, -1))).all()


def test_maps_hold_the_same_drawn_faces_of_every_input_and_repeat(tmp_path):
    first = features(0)
    other = features(1, emotion=first.emotion, labels=first.labels)
    other = dataclasses.replace(other, face=np.arange(ROWS) % 10 != 4)
    kept = {"raw": first, "better": other}
    stage = FeatureMap(("raw", "better"), "test", records=40)
    folder = run(tmp_path / "a", kept, stage)
    maps = {name: atomic_files.read_arrays(folder.map(name)) for name in kept}
    both = first.face & other.face
    assert both.sum() > 40
    drawn = np.sort(np.random.default_rng(3).choice(np.flatnonzero(both), 40, replace=False))
    for name, arrays in maps.items():
        assert arrays["points"].shape == (40, 2)
        assert arrays["points"].dtype == np.float32
        assert np.isfinite(arrays["points"]).all()
        np.testing.assert_array_equal(arrays["emotion"], first.emotion[drawn])
        np.testing.assert_array_equal(arrays["present"], first.labels[drawn, 1])
        expected = same_emotion(kept[name].features[drawn], first.emotion[drawn])
        np.testing.assert_array_equal(arrays["same_emotion"], expected)
        assert str(arrays["library"]) in ("openTSNE", "umap-learn", "scikit-learn")
    assert not np.array_equal(maps["raw"]["points"], maps["better"]["points"])
    again = run(tmp_path / "b", kept, stage)
    for name, arrays in maps.items():
        for array, value in atomic_files.read_arrays(again.map(name)).items():
            np.testing.assert_array_equal(arrays[array], value)


def test_a_resume_makes_only_the_maps_that_are_missing(tmp_path):
    kept = {"raw": features(0), "better": features(1)}
    stage = FeatureMap(("raw", "better"), "test", au="AU01", records=30)
    folder = run(tmp_path, kept, stage)
    whole = atomic_files.read_arrays(folder.map("better"))
    folder.map("better").unlink()
    atomic_files.write_arrays(folder.map("raw"), {"points": np.zeros((1, 2))})
    run(tmp_path, kept, stage)
    assert atomic_files.read_arrays(folder.map("raw"))["points"].tolist() == [[0, 0]]
    again = atomic_files.read_arrays(folder.map("better"))
    np.testing.assert_array_equal(again["points"], whole["points"])
    assert folder.mapped_stages() == ["better", "raw"]


def test_inputs_are_renamed_and_maps_are_named_as_in_the_config(tmp_path):
    stage = FeatureMap(("raw",), "test").renamed(lambda name: f"{name}.seed1")
    assert stage.inputs == ("raw.seed1",)
    assert run(tmp_path, {"raw.seed1": features(0)}, stage).mapped_stages() == ["raw"]


@pytest.mark.parametrize(
    ("stage", "kept", "message"),
    [
        (FeatureMap(("raw",), "opt"), features(0), r"keeps no features of 'opt' \(kept: test\)"),
        (FeatureMap(("raw",), "test", au="AU12"), features(0), "unknown AU of the features of raw"),
        (FeatureMap(("raw",), "test", records=3), features(0), "would hold 3 records"),
        (FeatureMap(("raw",), "test"), features(0, face=np.zeros(ROWS, bool)), "hold 0 records"),
    ],
)
def test_what_cannot_be_mapped_is_refused(tmp_path, stage, kept, message):
    with pytest.raises(UserError, match=message):
        run(tmp_path, {"raw": kept}, stage)


def test_inputs_of_other_records_are_refused(tmp_path):
    other = features(0, keys=np.array([f"face{row}" for row in range(ROWS)]))
    with pytest.raises(UserError, match="raw and other kept features of other records of 'test'"):
        run(tmp_path, {"raw": features(0), "other": other}, FeatureMap(("raw", "other"), "test"))
