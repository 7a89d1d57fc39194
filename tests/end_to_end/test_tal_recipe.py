"""The shipped TAL config, shrunk: the ladders, selections over runs, thinned checkpoints."""

import functools
import json

import jax
import numpy as np
import pytest

from au_jax import sharding
from au_jax.ensemble import predictor
from au_jax.errors import UserError
from au_jax.experiment import modes
from au_jax.experiment.recipe import Recipe
from au_jax.files import atomic_files
from au_jax.run_dir import RunFolder
from au_jax.training.checkpoint import Checkpoints
from au_jax.training.model_card import ModelCard, restore
from au_jax.training.start import continue_from
from configs import tal

ORDER = (
    "base_1",
    "base_2",
    "confirmed",
    "pretrained_1",
    "finetuned_1",
    "expression_step_1",
    "expression_step_3",
    "expression_step_6",
)


def shrunk(**changed):
    config = tal.get_config()
    config.data.synthetic.update(size=40, opt=48, noisy=40, test=24, seed=3)
    config.data.update(val_fraction=0.25, size=40)
    config.model.update(image_size=32)
    config.train.update(epochs=2, steps_per_epoch=2)
    config.devices = 1
    for name, stage in config.stages.items():
        if stage.kind == "train":
            stage.model.backbone = "tiny_wide" if name.endswith("_2") else "tiny"
            stage.train = {"epochs": 2, "steps_per_epoch": 2}
    config.stages.confirmed.threshold = 0.5
    config.stages.expression_step_6.inputs = ("finetuned_1", "base_2")
    config.order = ORDER
    config.update(changed)
    return config


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_faces, data_dir):
    folder = tmp_path_factory.mktemp("tal") / "run"
    modes.run(shrunk(), folder, data_dir)
    return RunFolder(folder)


def results(run):
    return json.loads((run.report / "results.json").read_text())


def test_the_ladder_is_scored_as_printed_and_honest(run):
    stages = results(run)["stages"]
    plain, chosen = (stages[f"expression_step_{n}"]["split"] for n in (1, 6))
    assert set(plain) == {"opt-val-expanded", "opt-val", "test"}
    one = atomic_files.read_json(run.stage("expression_step_1").selection)
    assert len(one["members"]) == 1  # the best epoch on average, which the last step is up against
    on_b = chosen["opt-val-expanded"]
    assert on_b["as_printed"]["final_score"] > on_b["honest"]["final_score"]
    assert on_b["honest"]["n"] == 4 * chosen["opt-val"]["honest"]["n"]
    assert chosen["test"]["as_printed"] is None
    assert chosen["test"]["honest"]["n"] == 24


def test_the_last_row_sees_the_expression_members_alone_through_ten_crops():
    inputs = tal.get_config().stages.final.inputs
    assert inputs == ("finetuned_1:five_flip", "finetuned_2:five_flip", "pose_1", "pose_2")
    assert tal.get_config("paper").model.dropout == 0.0


def test_confirmed_labels_are_some_of_the_given_ones(run, data_dir):
    kept = atomic_files.read_arrays(run.stage("confirmed").labels("noisy"))
    about = ModelCard.read(run.stage("pretrained_1"))
    assert kept["aus"].tolist() == list(about.aus)
    counts = atomic_files.read_json(run.stage("pretrained_1").label_counts)
    assert counts["C"]["rows"] == len(kept["keys"]) <= 40
    assert ((kept["labels"] >= 0).any(1)).all()
    table = Recipe(shrunk(), run, data_dir).source("noisy", "closeup").aligned(about.aus).table
    row_of = {key: row for row, key in enumerate(table.keys.tolist())}
    given = table.labels[[row_of[key] for key in kept["keys"].tolist()]]
    confirmed = kept["labels"] >= 0
    np.testing.assert_array_equal(kept["labels"][confirmed], given[confirmed])
    assert 0 < confirmed.sum() < (given >= 0).sum()


def test_finetuning_starts_where_pretraining_ended(run):
    mesh, source = sharding.make_mesh(1), run.stage("pretrained_1")
    context = ModelCard.read(source).context
    start = functools.partial(continue_from, source, 0, mesh, context.network, context.aus)
    method = ModelCard.read(source).create()
    fresh = jax.eval_shape(method.init, jax.random.PRNGKey(0))
    params, stats = start(*fresh[:2])
    kept = restore(source, method, 2, mesh)
    jax.tree.map(
        np.testing.assert_array_equal,
        {"params": params, "batch_stats": stats},
        jax.device_get(kept),
    )
    wider = ModelCard.read(run.stage("base_2")).create()
    other = jax.eval_shape(wider.init, jax.random.PRNGKey(0))
    with pytest.raises(UserError, match=r"stage pretrained_1 cannot be started from: its '"):
        start(*other[:2])


def test_predicting_equals_combining_the_kept_scores(run, tiny_faces, data_dir):
    from au_jax.data.splits import Splits

    chosen = predictor.load(run.path, "expression_step_6")
    source = Splits(lambda _: tiny_faces, 0.25, 0).open("test", "closeup")
    images = source.images(np.arange(len(source)))
    predicted = chosen.probabilities(images, source.table.pose)
    kept = atomic_files.read_arrays(run.stage("expression_step_6").decided("test"))
    np.testing.assert_allclose(predicted, kept["probabilities"], atol=2e-6)


def test_select_over_two_runs_and_again_in_place(run, tmp_path, data_dir):
    config = shrunk(order=("base_1", "expression_step_6"))
    config.stages.expression_step_6.inputs = ("base_1",)
    config.stages.expression_step_6.crops = "center"
    both = tmp_path / "both"
    modes.select(config, both, data_dir, [run.path, run.path])
    chosen = atomic_files.read_json(RunFolder(both).stage("expression_step_6").selection)
    assert {m["stage"] for m in chosen["members"]} == {"base_1"}
    assert {(both / m["run"]).resolve() for m in chosen["members"]} == {run.path.resolve()}
    assert results(RunFolder(both))["final"]["n"] == 24
    # Another choice from the same scores: nothing is trained.
    config.stages.expression_step_6.threshold_rule = "default"
    modes.select(config, both, data_dir, [run.path])
    chosen = atomic_files.read_json(RunFolder(both).stage("expression_step_6").selection)
    assert set(chosen["thresholds"]) == {0.5}
    config.optimizer.learning_rate = 3.0
    with pytest.raises(UserError, match=r"differs in optimizer\.learning_rate \(0\.002 there, 3"):
        modes.select(config, both, data_dir, [run.path])
    with pytest.raises(UserError, match=r"--from names the workdir"):
        modes.select(config, both, data_dir, [both])
    with pytest.raises(UserError, match=r"config\.json is missing; is this the folder of a run\?"):
        modes.select(config, both, data_dir, [tmp_path / "nothing"])


def test_a_selection_that_cannot_be_made_replaces_none(run, tmp_path, data_dir):
    config = shrunk(order=("base_1", "expression_step_1", "expression_step_6"))
    config.stages.expression_step_6.update(inputs=("base_1",), crops="center")
    chosen = RunFolder(tmp_path / "chosen")
    modes.select(config, chosen.path, data_dir, [run.path])
    before = {path: path.read_bytes() for path in chosen.path.rglob("*") if path.is_file()}
    config.stages.expression_step_1.threshold_rule = "best"  # the first one could be made
    config.stages.expression_step_6.split = "opt-train"
    with pytest.raises(UserError, match=r"base_1 keeps no scores of 'opt-train'"):
        modes.select(config, chosen.path, data_dir, [run.path])
    assert before == {path: path.read_bytes() for path in chosen.path.rglob("*") if path.is_file()}


def test_thinned_checkpoints_are_all_that_can_be_chosen(run, tmp_path, data_dir):
    config = shrunk(order=("base_1", "expression_step_6"))
    config.checkpoint.keep = 2
    config.stages.base_1.train.epochs = 3
    config.stages.expression_step_6.inputs = ("base_1",)
    config.stages.expression_step_6.crops = "center"
    folder = RunFolder(tmp_path / "thin")
    modes.run(config, folder.path, data_dir)
    stage = folder.stage("base_1")
    assert stage.scored_epochs("opt-val") == [1, 2, 3]
    with Checkpoints.of_models(stage.model) as models:
        assert models.numbers() == [2, 3]
    chosen = atomic_files.read_json(folder.stage("expression_step_6").selection)
    assert {m["epoch"] for m in chosen["members"]} <= {2, 3}
    page = (folder.report / "index.html").read_text()
    assert "one epoch in 2 and of the last" in page
