"""The select stage: what it writes, and how one selection takes the place of another."""

import shutil

import numpy as np
import pytest

from au_jax import aus, run_dir
from au_jax.data.corruptions import CORRUPTIONS
from au_jax.errors import UserError
from au_jax.run_dir import RunFolder, Scores
from au_jax.stages.select import Rules, select

MEAN = Rules("last", "mean", "default")
BEST = Rules("best", "mean", "best")
ROWS = 10 * len(CORRUPTIONS)
AUS = {"face": ("AU01", "AU12"), "head": aus.POSE[:2]}


@pytest.fixture
def run(tmp_path) -> RunFolder:
    """A run with two train stages that kept random scores of three epochs, but no models."""
    folder = RunFolder(tmp_path)
    rng = np.random.default_rng(0)
    subject = np.array([f"person{row % 5}" for row in range(ROWS)])
    for split in ("val", "test", "other", "val-expanded"):
        keys = np.array([f"{split}{row}" for row in range(ROWS)])
        for stage, names in AUS.items():
            labels = rng.integers(-1, 2, (ROWS, 2)).astype(np.int8)
            for epoch in (1, 2, 3):
                logits = (labels + rng.normal(size=(ROWS, 2))).astype(np.float32)
                scores = Scores(
                    logits, labels, np.array(names), keys, subject, keys, np.zeros(ROWS, np.int32)
                )
                folder.stage(stage).write_scores(split, epoch, scores)
    return folder


def choose(run, rules=MEAN, split="val", test=("test",)):
    stage = run.stage("chosen")
    select(
        stage,
        inputs=[(run, run.stage(name)) for name in AUS],
        split=split,
        test=test,
        rules=rules,
        crops="center",
        source=None,
        mesh=None,
        threads=1,
    )
    stage.mark_done()
    return stage


def contents(stage):
    return {path.name: path.read_bytes() for path in stage.path.rglob("*") if path.is_file()}


def test_both_figures_of_the_split_that_was_chosen_on_and_one_of_another(run):
    stage = choose(run, BEST)
    results = run_dir.read_json(stage.results)
    assert list(results) == ["val", "test"]
    printed, honest = results["val"]["as_printed"], results["val"]["honest"]
    assert printed["final_score"] > honest["final_score"]
    assert results["test"]["as_printed"] is None
    assert set(results["test"]["groups"]) == {"expression", "pose"}
    names = (*AUS["face"], *AUS["head"])
    chosen = run_dir.read_json(stage.selection)
    assert tuple(chosen["aus"]) == tuple(honest["au"]) == names
    for au, stage_name in zip(names, ("face", "face", "head", "head"), strict=True):
        [member] = honest["au"][au]["members"]
        assert member.split("@")[0] == stage_name
    shapes = {split: run_dir.read_arrays(stage.decided(split)) for split in results}
    assert {split: a["thresholds"].shape for split, a in shapes.items()} == {
        "val": (ROWS, 4),
        "test": (4,),
    }


def test_without_a_choice_both_figures_are_one(run):
    results = run_dir.read_json(choose(run).results)
    assert results["val"]["as_printed"] == results["val"]["honest"]


def test_an_expanded_split_is_scored_on_its_unchanged_part_too(run):
    stage = choose(run, BEST, split="val-expanded")
    results = run_dir.read_json(stage.results)
    assert {split: figures["honest"]["n"] for split, figures in results.items()} == {
        "val-expanded": ROWS,
        "val": ROWS // len(CORRUPTIONS),
        "test": ROWS,
    }


def test_a_selection_made_again_leaves_nothing_of_the_old_one(run):
    stage = choose(run, BEST, test=("test", "other"))
    before = contents(stage)
    after = contents(choose(run))
    assert set(before) - set(after) == {"other.npz"}
    assert after["selection.json"] != before["selection.json"]
    shutil.rmtree(stage.path)
    assert contents(choose(run)) == after


def test_a_selection_that_cannot_be_made_leaves_the_old_one(run):
    stage = choose(run)
    before = contents(stage)
    with pytest.raises(UserError, match=r"stage face keeps no scores of 'gone' \(kept: other, te"):
        choose(run, split="gone")
    with pytest.raises(UserError, match="unknown combine 'vote'"):
        choose(run, Rules("last", "vote", "default"))
    assert contents(stage) == before
    assert stage.done


def test_a_selection_is_unfinished_until_all_its_files_are_written(run, monkeypatch):
    stage = choose(run)
    before = contents(stage)["selection.json"]

    def full(path, value):
        raise UserError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr(run_dir, "write_json", full)
    with pytest.raises(UserError, match=r"results\.json: No space left"):
        choose(run, BEST)
    assert not stage.done
    assert stage.selection.read_bytes() == before
