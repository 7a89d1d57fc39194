"""The shipped EmoCo config, shrunk: pretraining, probes, finetuning, curves, maps, folds."""

import json

import jax
import numpy as np
import pytest

import au_jax
from au_jax import metrics
from au_jax.errors import UserError
from au_jax.experiment import modes
from au_jax.files import atomic_files
from au_jax.run_dir import RunFolder
from configs import emoco


def shrunk(variant, order):
    """A variant's stages of these names, each with two steps."""
    config = emoco.get_config(variant)
    config.data.synthetic.update(size=40, opt=48, noisy=40, test=24, seed=3)
    config.data.size = 40
    config.model.update(backbone="tiny", image_size=32)
    config.train.update(epochs=1, steps_per_epoch=2)
    config.devices = 1
    for name in config.order:
        if "train" in config.stages[name]:
            config.stages[name].train.update(epochs=2, steps_per_epoch=1)
        if "queue" in config.stages[name].get("options", ()):
            config.stages[name].options.queue = 8
    config.order = tuple(name for name in config.order if name in order)
    return config


PARTS = ("linear_{}", "linear_{}_row", "finetune_{}", "finetune_{}_row")


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_faces, data_dir):
    """Emotions alone and EmoCo, each probed and finetuned, and their maps."""
    starts = ("emotion", "emoco")
    order = [part.format(name) for name in starts for part in ("{}", "encode_{}", *PARTS)]
    folder = RunFolder(tmp_path_factory.mktemp("emoco") / "run")
    modes.run(shrunk("default", (*order, "maps")), folder.path, data_dir)
    return folder


def test_every_start_has_its_rows_and_the_page_its_maps(run):
    results = json.loads((run.report / "results.json").read_text())
    outcomes = {name: stage["outcome"] for name, stage in results["stages"].items()}
    assert outcomes["emoco"] == outcomes["finetune_emoco"] == "network"
    assert outcomes["linear_emoco"] == "probe"
    assert outcomes["encode_emoco"] == "features"
    test = results["stages"]["linear_emoco_row"]["split"]["test"]["honest"]
    assert len(test["au"]) == 17
    assert set(results["maps"]["maps"]) == {"encode_emotion", "encode_emoco"}
    page = (run.report / "index.html").read_text()
    for text in ("EmoCo: linear", "EmoCo: finetuned", "Feature maps"):
        assert text in page


def test_the_probe_scores_what_its_encoder_and_head_say(run):
    encoded = run.stage("encode_emoco").read_features("test")
    kept = run.stage("linear_emoco").read_scores("test", 1)
    np.testing.assert_array_equal(encoded.keys, kept.keys)
    model = au_jax.load(run.path, stage="linear_emoco")
    assert model.aus == tuple(kept.aus.tolist())
    decided = atomic_files.read_arrays(run.stage("linear_emoco_row").decided("test"))
    np.testing.assert_allclose(
        decided["probabilities"], metrics.probabilities(kept.logits), atol=1e-6
    )


def test_a_pretraining_predicts_nothing(run):
    with pytest.raises(UserError, match=r"unknown finished stage in .* 'emoco'"):
        au_jax.load(run.path, stage="emoco")


def test_another_run_starts_from_it(run, tmp_path, data_dir):
    """A second recipe, its encoder being an earlier epoch of the first one's pretraining."""
    config = shrunk("default", ("encode_emoco", "linear_emoco", "linear_emoco_row"))
    config.stages.encode_emoco.start = f"{run.path}:emoco@1"
    folder = RunFolder(tmp_path / "second")
    modes.run(config, folder.path, data_dir)
    first, last = (r.stage("encode_emoco").read_features("test") for r in (folder, run))
    np.testing.assert_array_equal(first.keys, last.keys)
    assert np.abs(first.features - last.features).max() > 1e-5
    assert jax.tree.all(jax.tree.map(np.isfinite, first.features.max()))


def test_points_of_lambda_share_a_chart(tmp_path, data_dir):
    parts = ("{}", "finetune_{}", "finetune_{}_row")
    order = [part.format(f"emoco_{w}") for w in (1, 100) for part in parts]
    folder = RunFolder(tmp_path / "run")
    modes.run(shrunk("lambda", order), folder.path, data_dir)
    page = (folder.report / "index.html").read_text()
    assert "<h2>Curves</h2>" in page
    assert "intra-class norm, finetuned" in page
