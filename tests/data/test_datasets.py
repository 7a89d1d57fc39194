"""Folders of data sets, and what they say of themselves."""

import json
from pathlib import Path

import numpy as np
import pytest

from au_jax.data import datasets, records
from au_jax.data.datasets import open_folder, prepared
from au_jax.data.sources import open_source
from au_jax.data.synthetic_faces.builder import SyntheticFaces
from au_jax.errors import UserError


def test_open_folder_knows_the_embedded_data_set(data_dir, tiny_faces):
    sizes = {"size": 40, "opt": 48, "noisy": 40, "test": 24, "seed": 3}
    assert open_folder(data_dir, datasets.EMBEDDED, sizes) == tiny_faces


def test_a_prepared_data_set_lies_under_its_name(tmp_path):
    folder = tmp_path / "disfa" / records.VERSION
    folder.mkdir(parents=True)
    assert open_folder(tmp_path, "disfa", {}) == folder


def test_another_version_is_refused(tmp_path):
    (tmp_path / "disfa" / "0.9.0").mkdir(parents=True)
    with pytest.raises(UserError, match=rf"version 0\.9\.0; this package reads {records.VERSION}"):
        prepared(tmp_path, "disfa")


def test_a_missing_data_set_is_named_with_those_that_are_there(tmp_path):
    for name in ("mine", "disfa"):
        (tmp_path / name / records.VERSION).mkdir(parents=True)
    (tmp_path / "bp4d.unfinished").mkdir()
    sentence = (
        "no data set 'bp4d'; run --mode=prepare --dataset=bp4d .*: disfa, mine, synthetic_faces$"
    )
    with pytest.raises(UserError, match=sentence):
        prepared(tmp_path, "bp4d")


def test_drawn_faces_and_photographs(tiny_faces, tmp_path):
    assert datasets.is_drawn(tiny_faces)
    (tmp_path / "metadata.json").write_text(json.dumps({"aus": [], "crops": []}))
    assert not datasets.is_drawn(tmp_path)
    with pytest.raises(UserError, match="nowhere is not a whole prepared data set"):
        datasets.is_drawn(tmp_path / "nowhere")


def test_the_truth_is_that_of_the_noisy_records(tiny_faces, tmp_path):
    truth = datasets.truth(tiny_faces, "noisy")
    noisy = open_source(tiny_faces, "noisy", "closeup", 0.25, 0)
    np.testing.assert_array_equal(truth.keys[truth.rows(noisy.table.keys)], noisy.table.keys)
    assert len(truth.keys) == len(noisy)
    assert truth.labels.shape == (len(noisy), len(truth.aus))
    assert set(np.unique(truth.labels)) == {0, 1}
    assert truth.held.shape == (len(noisy), len(truth.conditions))
    assert truth.held.min() >= 0
    assert truth.held.max() == 1
    assert datasets.truth(tiny_faces, "opt") is None
    assert datasets.truth(tmp_path, "noisy") is None


def test_what_a_killed_process_left_half_drawn_is_deleted(tmp_path, monkeypatch):
    def draw(builder):
        Path(builder.data_dir).mkdir()

    monkeypatch.setattr(SyntheticFaces, "download_and_prepare", draw)
    folder = datasets.synthetic(tmp_path, size=40)
    left = folder.parent / "incomplete.ABC_1.0.0" / "half"
    left.mkdir(parents=True)
    datasets.synthetic(tmp_path, size=40)
    assert left.exists(), "nobody looks where the data set is there"
    folder.rmdir()
    assert datasets.synthetic(tmp_path, size=40) == folder
    assert not left.parent.exists()
