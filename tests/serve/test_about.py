"""What the page says of its model: figures only where the report has them, and what they are of."""

import shutil

import pytest

import au_jax
from au_jax.export.run import export
from au_jax.files import atomic_files
from au_jax.report import stage_figures
from au_jax.run_dir import RunFolder
from au_jax.serve.about import about, figure_of
from au_jax.serve.upload import Limits


def report(folder, **splits):
    """A run with a report whose stage "chosen" has these honest final scores."""
    others = {"ci": [0.6, 0.8], "n": 120, "f1": 0.5, "accuracy": 0.5, "au": {}}
    summaries = {
        split: {"as_printed": None, "honest": score and {"final_score": score, **others}}
        for split, score in splits.items()
    }
    results = {
        "config": {"headline": "final_score"},
        "data": "emotionet",
        "stages": {"chosen": {"split": summaries}},
    }
    atomic_files.write_json(RunFolder(folder).report / "results.json", results)
    return RunFolder(folder)


def test_the_figure_is_the_honest_one_of_the_test_split(tmp_path):
    run = report(tmp_path, val=0.9, test=0.7123)
    assert figure_of(stage_figures.of_run(run, "chosen")) == (
        "Final score 0.712 (95 % interval 0.600 to 0.800) on the 120 faces of the split test of "
        "emotionet, with epochs and thresholds chosen on other people."
    )


@pytest.mark.parametrize("stage", ["other", "chosen"])
def test_without_a_figure_none_is_given(tmp_path, stage):
    run = report(tmp_path, val=None)
    unknown = figure_of(stage_figures.of_run(run, stage))
    assert unknown.startswith("How well it does is not known here, as there is no report")
    assert stage_figures.of_run(RunFolder(tmp_path / "none"), stage) is None


def test_drawn_faces_are_told_of(networks, model, tmp_path):
    run = RunFolder(networks)
    text = about(run.path, "chosen", model, Limits())
    assert "Model: run, stage chosen: 3 trained networks, 3 action units (AUs)." in text
    assert "neither emotions nor diagnoses" in text
    assert "Nothing is kept" in text
    assert "drawn by a program" not in text
    atomic_files.write_json(run.data, {"name": "csv", "drawn": True})
    try:
        assert "trained on faces drawn by a program" in about(run.path, "chosen", model, Limits())
    finally:
        run.data.unlink()


def test_an_exported_folder_has_the_figures_of_its_run(networks, tmp_path):
    run = report(networks, test=0.7123)
    try:
        export(networks, tmp_path / "along", formats=["jax"])
    finally:
        shutil.rmtree(run.report)
    text = about(tmp_path / "along", "", au_jax.load(tmp_path / "along"), Limits())
    assert "Model: along: 3 trained networks, 3 action units (AUs)." in text
    assert "Final score 0.712 (95 % interval 0.600 to 0.800) on the 120 faces" in text
    assert "drawn by a program" not in text
