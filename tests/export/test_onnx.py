"""ONNX files say what the networks say, and are refused where a package or the agreement lacks."""

import json
import sys
import types

import jax
import numpy as np
import pytest
from random_weights import filled
from tiny import make_context

from au_jax.errors import UserError
from au_jax.export import onnx
from au_jax.export.chosen import choose
from au_jax.export.run import export
from au_jax.files import atomic_files
from au_jax.run_dir import RunFolder
from au_jax.training.checkpoint import Checkpoints
from au_jax.training.model_card import ModelCard, kept_shapes

AUS = ("AU01", "AU12")
STORED = 36


@pytest.fixture
def run(tmp_path):
    """A finished training of two views that read the pose."""
    folder = RunFolder(tmp_path / "run")
    atomic_files.write_json(folder.config, {"order": ["train"]})
    network = {"backbone": "ownnet1", "pose_branch": True}
    context = make_context(AUS, network=network, streams=("opt",), epochs=1)
    card = ModelCard("multi_view", {}, context, "closeup", STORED, "synthetic_faces")
    card.write(folder.stage("train"))
    variables = filled(kept_shapes(card.create()))
    with Checkpoints.of_models(folder.stage("train").model) as kept:
        kept.save(1, variables)
    folder.stage("train").mark_done()
    return folder.path, card, variables


def test_networks_of_several_views_agree(run, tmp_path):
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package)
    onnxruntime = pytest.importorskip("onnxruntime")
    path, card, variables = run
    export(path, tmp_path / "out", formats=["onnx"])
    session = onnxruntime.InferenceSession(tmp_path / "out" / "onnx" / "train@1.onnx")
    described = json.loads((tmp_path / "out" / "onnx" / "networks.json").read_text())
    assert described["train@1"]["aus"] == list(AUS)
    assert described["train@1"]["deviation"] <= 1e-4
    for size in (2, 5):
        random = np.random.default_rng(size)
        images = random.integers(0, 256, (size, STORED, STORED, 3), np.uint8)
        pose = np.full((size, 3), [10, np.nan, -5], np.float32)
        (theirs,) = session.run(["logits"], {"images": images, "pose": pose})
        ours = np.asarray(jax.jit(card.create().predict)(variables, images, pose))
        np.testing.assert_allclose(theirs, ours, atol=1e-4 * max(1, np.abs(ours).max()))


def test_a_file_that_deviates_is_refused(run, tmp_path, monkeypatch):
    path, _, _ = run
    monkeypatch.setattr(onnx, "check_installed", lambda: None)
    monkeypatch.setattr(onnx, "_convert", lambda network, path: path.touch())
    monkeypatch.setattr(onnx, "_deviation", lambda network, path: 0.5)
    with pytest.raises(
        UserError, match=r"train@1 as ONNX deviates from the model by 5.0e-01, more"
    ):
        export(path, tmp_path / "out", formats=["jax", "onnx"])
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_a_file_that_gives_nan_deviates(run, tmp_path, monkeypatch):
    class Session:
        """Right for the first batch, and not a number after it."""

        def __init__(self, *_, **__):
            self.batches = 0

        def run(self, outputs, inputs):
            self.batches += 1
            shape = len(inputs["images"]), len(network.card.aus)
            return [np.full(shape, np.nan if self.batches > 1 else 0.0, np.float32)]

    network = choose(run[0], None).networks[0]
    runtime = types.SimpleNamespace(InferenceSession=Session)
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    assert np.isnan(onnx._deviation(network, tmp_path / "net.onnx"))


def test_a_missing_package_is_named(run, tmp_path, monkeypatch):
    monkeypatch.setattr(
        onnx.importlib.util, "find_spec", lambda name: None if name == "onnxscript" else name
    )
    with pytest.raises(UserError, match=r'package onnxscript; .*pip install "au-jax\[onnx\]"'):
        export(run[0], tmp_path / "out", formats=["onnx"])
