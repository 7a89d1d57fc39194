"""Preparing rendered faces: rows whose pictures the workers make, and what is stored of them."""

import json
from pathlib import Path

import numpy as np
import pytest
import rendered_stub
import tensorflow_datasets as tfds

from au_jax.data import datasets
from au_jax.data.rendered_faces import face_kit
from au_jax.data.rendered_faces.annotators import AUS
from au_jax.data.systematic_detector import CONDITIONS, DETECTED
from au_jax.errors import UserError
from au_jax.prepare import run as preparation
from au_jax.prepare.readers import open_raw

SMALL = {"opt": "80", "noisy": "72", "test": "16", "clips": "2", "frames": "3"}


def with_shapes(raw: Path) -> Path:
    """A folder with the files of a checkout, all empty: the pictures here need no shapes."""
    (raw / "FaceXModel").mkdir(parents=True, exist_ok=True)
    for name in (face_kit.NEUTRAL, *face_kit.IDENTITIES, *face_kit.BLENDSHAPES):
        file = raw / "FaceXModel" / f"{name}.obj"
        if not file.exists():
            file.touch()
    return raw


def prepare(root: Path, data: str = "data", processes: int = 1, **render) -> Path:
    with_shapes(root / "raw")
    return preparation.run(
        rendered_stub.READER,
        root / "raw",
        root / data,
        crops=("as_is",),
        processes=processes,
        render=SMALL | render,
    )


def files(folder: Path) -> dict[str, bytes]:
    """What must not depend on how the work was done."""
    kept = [*folder.glob("*.array_record*"), *folder.glob("*.npz"), *folder.glob("audit/*.jpg")]
    return {path.name: path.read_bytes() for path in kept}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rendered")


@pytest.fixture(scope="module")
def folder(root: Path) -> Path:
    return prepare(root)


@pytest.fixture(scope="module")
def records(folder: Path) -> dict[str, list[dict]]:
    builder = tfds.builder_from_directory(folder)
    skip = {"crops": {"as_is": tfds.decode.SkipDecoding()}}
    return {
        split: list(builder.as_data_source(split, decoders=skip)) for split in builder.info.splits
    }


def test_splits_subjects_and_videos(records):
    counts = {split: len(rows) for split, rows in records.items()}
    assert counts == {"opt": 80, "noisy": 72, "test": 16, "clips": 6, "clips_test": 3}
    people = [{row["subject"] for row in rows} for rows in records.values()]
    assert [len(of) for of in people] == [10, 9, 2, 2, 1]
    assert len(set.union(*people)) == sum(map(len, people))
    assert [row["frame"] for row in records["clips"]] == [0, 1, 2] * 2
    assert all(row["video"] == row["subject"] for row in records["clips"])
    assert {row["video"] for row in records["opt"]} == {b""}


def test_labels_intensities_and_pose(records):
    detected = np.isin(AUS, DETECTED)
    for split, rows in records.items():
        labels = np.stack([row["labels"] for row in rows])
        steps = np.stack([row["intensity"] for row in rows])
        if split == "noisy":
            np.testing.assert_array_equal(labels >= 0, np.tile(detected, (len(rows), 1)))
            assert (steps == -1).all()
        else:
            np.testing.assert_array_equal(labels, steps >= 2)
        yaw = np.stack([row["pose"] for row in rows])[:, 1]
        if split != "noisy":
            np.testing.assert_array_equal(labels[:, AUS.index("AU51")], np.rint(yaw / 10) >= 2)


def test_the_truth_of_noisy_lies_beside_it(folder, records):
    truth = datasets.truth(folder, "noisy")
    assert truth.keys.tolist() == [row["key"].decode() for row in records["noisy"]]
    assert tuple(truth.aus) == AUS
    assert tuple(truth.conditions) == CONDITIONS
    written = np.stack([row["labels"] for row in records["noisy"]])
    wrong = (written != truth.labels)[written >= 0].mean()
    assert 0.1 < wrong < 0.3
    assert datasets.truth(folder, "opt") is None


def test_the_data_say_that_no_face_is_real(folder):
    assert datasets.is_drawn(folder)
    settings = json.loads((folder / "metadata.json").read_text())["settings"]
    assert (settings["opt"], settings["look"], settings["seed"]) == (80, "everyday", 0)
    assert "no photographs of people" in (folder / "audit" / "index.html").read_text()


def test_two_processes_make_the_same_bytes(root, folder):
    assert files(prepare(root, "two", processes=2)) == files(folder)


def test_interrupted_work_goes_on_with_the_same_bytes(root, folder):
    (root / "interrupt").touch()
    try:
        with pytest.raises(KeyboardInterrupt):
            prepare(root, "broken")
    finally:
        (root / "interrupt").unlink()
    unfinished = root / "broken" / "rendered_faces.unfinished"
    assert 0 < len(list((unfinished / "parts").glob("*.json"))) < 5
    with pytest.raises(UserError, match="unfinished work that was begun with other settings"):
        prepare(root, "broken", seed="1")
    assert files(prepare(root, "broken")) == files(folder)


def test_other_settings_need_another_name(root, folder):
    assert prepare(root) == folder
    with pytest.raises(UserError, match=r"is prepared with seed=0, not 1; give another --name"):
        prepare(root, seed="1")


def test_a_set_may_have_another_name(tmp_path):
    raw = with_shapes(tmp_path)
    raw_set = open_raw("rendered_faces", raw, name="more_faces", render={"noisy": "8"})
    assert raw_set.name == "more_faces"
    assert raw_set.truth()["noisy"].keys[0] == "more_faces/noisy/0000000#0"
    with pytest.raises(UserError, match="--name=emotionet cannot be a data set's name"):
        open_raw("rendered_faces", raw, name="emotionet")


def test_a_folder_without_the_shapes_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"FaceXModel lacks .* more; give --raw the folder"):
        preparation.run("rendered_faces", tmp_path, tmp_path / "data", crops=("as_is",))
    assert not (tmp_path / "data").exists()
