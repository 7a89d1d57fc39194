"""The shipped ReCoT config, shrunk: folds, label-noise report, distillation's soft labels."""

import json

import numpy as np
import pytest

from au_jax import metrics
from au_jax.errors import UserError
from au_jax.experiment import modes
from au_jax.experiment.recipe import Recipe
from au_jax.files import atomic_files
from au_jax.run_dir import RunFolder
from configs import base, noisy_labels, recot


def shrunk(config, **changed):
    config.data.synthetic.update(size=40, opt=48, noisy=40, test=24, seed=3)
    config.data.size = 40
    config.model.update(backbone="tiny", image_size=32)
    config.train.update(epochs=2, steps_per_epoch=2)
    config.devices = 1
    config.update(changed)
    return config


@pytest.fixture(scope="module", autouse=True)
def drawn_charts():
    """Draws the charts here, too, as one of them is looked at."""


@pytest.fixture(scope="module")
def folds(tmp_path_factory, tiny_faces, data_dir):
    """Baseline and ReCoT on two random divisions."""
    config = base.base()
    config.update(name="recot", variant="folds")
    noisy_labels.small(config)
    noisy_labels.add(
        config,
        ("baseline", "recot"),
        clean="opt-train",
        split="opt-test",
        test=("test",),
        batch=16,
    )
    folder = RunFolder(tmp_path_factory.mktemp("recot") / "run")
    modes.run(shrunk(config, folds=2), folder.path, data_dir)
    return folder


def test_folds_are_stages_whose_results_are_averaged_and_pooled(folds):
    results = json.loads((folds.report / "results.json").read_text())
    by_fold = results["folds"]["recot_row"]["opt-test"]
    kept = [folds.stage(f"recot_row.fold{k}").decided("opt-test") for k in (1, 2)]
    kept = [atomic_files.read_arrays(path) for path in kept]
    assert not np.array_equal(*(k["keys"] for k in kept))
    f1 = [
        metrics.f1(metrics.confusion(metrics.decide(k["probabilities"], 0.5), k["labels"]))
        for k in kept
    ]
    for own, fold in zip(f1, by_fold["each"], strict=True):
        assert fold["f1"] == pytest.approx(np.nanmean(own) if not np.isnan(own).all() else None)
    mean = results["stages"]["recot_row"]["split"]["opt-test"]["honest"]
    assert mean["f1"] == pytest.approx(np.nanmean(np.nanmean(f1, 0)))
    assert by_fold["pooled"]["n"] == mean["n"] == sum(len(k["keys"]) for k in kept)
    both = [np.concatenate([k[name] for k in kept]) for name in ("probabilities", "labels")]
    counts = metrics.confusion(metrics.decide(both[0], 0.5), both[1])
    assert by_fold["pooled"]["f1"] == pytest.approx(np.nanmean(metrics.f1(counts)))
    assert "<h2>Folds</h2>" in (folds.report / "index.html").read_text()


def test_label_noise_is_judged_by_the_truth(folds):
    stage = folds.stage("recot.fold1")
    assert stage.label_tables("noisy") == [1, 2]
    table = atomic_files.read_arrays(stage.label_table("noisy", 1))
    assert table["probabilities"].shape == table["true"].shape == (40, 12)
    wrong = (table["labels"] != table["true"]).mean()
    assert 0.05 < wrong < 0.4
    page = (folds.report / "index.html").read_text()
    assert "<h2>Label noise</h2>" in page
    assert "Given labels of noisy, 40 faces" in page
    assert (folds.report / "label_noise_recot_noisy.png").stat().st_size > 5000


def test_distillation_learns_the_baselines_soft_labels(tmp_path, data_dir):
    config = shrunk(noisy_labels.get_config("kd"))
    folder = RunFolder(tmp_path / "kd")
    modes.run(config, folder.path, data_dir)
    labels = atomic_files.read_arrays(folder.stage("labelled").labels("noisy"))
    counts = atomic_files.read_json(folder.stage("kd").label_counts)["noisy"]
    present = [counts["of"][au][0] for au in labels["aus"].tolist()]
    np.testing.assert_array_equal((labels["labels"] == 1).sum(0), present)
    assert "loss_soft" in folder.stage("kd").metrics.read_text()
    recipe = Recipe(config, folder, data_dir)
    training, _ = recipe.stage("kd").prepare(recipe.context("kd"))
    noisy = training.streams["noisy"]
    row_of = {key: row for row, key in enumerate(labels["keys"].tolist())}
    rows = [row_of[key] for key in noisy.source.table.keys.tolist()]
    columns = [labels["aus"].tolist().index(au) for au in training.method.aus]
    expected = labels["probabilities"][rows][:, columns]
    np.testing.assert_array_equal(noisy.columns["soft"], expected)
    assert ((expected > 0.01) & (expected < 0.99)).any()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"gamma": 0.0}, r"recot\.options\.gamma is 0\.0; give a number above 0 and up to 1"),
        ({"refine_after": 1.0}, r"options\.refine_after is 1\.0; give a number from 0 to below 1"),
        (
            {"delta": 1},
            r"unknown field of config\.stages\.recot\.options 'delta'; known: selective_ratios,",
        ),
    ],
)
def test_bad_options_are_refused(tmp_path, data_dir, change, sentence):
    config = shrunk(recot.get_config(), order=("recot",))
    with config.unlocked():
        config.stages.recot.options.update(change)
    with pytest.raises(UserError, match=sentence):
        modes.run(config, tmp_path / "bad", data_dir)


def test_a_noisy_stream_without_labels_is_refused(tmp_path, data_dir):
    config = shrunk(recot.get_config(), order=("recot",))
    config.stages.recot.update(aus=("AU10", "AU51"))
    config.stages.recot.options.selective_ratios = (0.3, 0.3)
    config.augmentation.flip = 0.0
    with pytest.raises(UserError, match=r"stream '(clean|noisy)' .* has no record with a label of"):
        modes.run(config, tmp_path / "bad", data_dir)
