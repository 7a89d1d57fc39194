"""Prediction with selections: restored members against the scores that training kept."""

import dataclasses
import json
import shutil

import numpy as np
import optax
import pytest
from tiny import make_context

import au_jax
from au_jax import aus, sharding
from au_jax.data.pipeline import Stream
from au_jax.data.sources import open_source
from au_jax.ensemble import choose, selection
from au_jax.ensemble.choose import Candidate
from au_jax.ensemble.predictor import Predictor, RunNetworks, predicting_stage, without_unused
from au_jax.ensemble.selection import Member
from au_jax.ensemble.tta import through_crops
from au_jax.errors import UserError
from au_jax.files import atomic_files
from au_jax.methods.multi_view import VIEWS
from au_jax.run_dir import RunFolder
from au_jax.training.checkpoint import Checkpoints
from au_jax.training.loop import Training, train
from au_jax.training.model_card import ModelCard, restore_all
from au_jax.training.scoring import make_scorer, with_labels

POSE, EXPRESSION = aus.POSE, ("AU01", "AU02", "AU04", "AU05", "AU12", "AU25")
CARDS = {
    "pose": ModelCard(
        "multi_view",
        {"lambda_mv": 1.0 * len(POSE), "lambda_cr": 1.0 * len(POSE)},
        make_context(POSE, augmentation={"flip": 0.5}, streams=("opt",)),
        "wide",
        40,
        "synthetic_faces",
    ),
    "expression": ModelCard(
        "multi_task",
        {"label_smoothing": 0.0},
        make_context(EXPRESSION, streams=("opt",)),
        "closeup",
        40,
        "synthetic_faces",
    ),
}


@pytest.fixture(scope="module")
def source(tiny_faces):
    return lambda split, crop: open_source(tiny_faces, split, crop, 0.25, 0)


def train_pose(folder, method, source):
    rate = optax.constant_schedule(1e-3)
    training = Training(
        method=method,
        optimizer=optax.adam(rate),
        learning_rate=rate,
        streams={"opt": Stream(source("opt-train", "wide").aligned(POSE), 8)},
        validation={},
        epochs=2,
        steps_per_epoch=3,
        seed=0,
        threads=2,
        score_batch=12,
    )
    train(folder, training, sharding.make_mesh(1))


def keep_views(folder, variables):
    """Keeps either view of a multi-view network as an epoch of a single one."""
    with Checkpoints.of_models(folder.model) as models:
        for epoch, view in enumerate(VIEWS, 1):
            single = {kind: dict(tree[view]) for kind, tree in variables.items()}
            single["params"]["head_opt"] = single["params"].pop("head_aus")
            models.save(epoch, single)


@pytest.fixture(scope="module")
def runs(source, tmp_path_factory):
    """Two runs side by side: pose/ trained for two epochs, expression/ with the views of its last.

    Every epoch keeps its scores of "test", those of pose/ through ten crops too.
    """
    home = tmp_path_factory.mktemp("runs")
    mesh = sharding.make_mesh(1)
    epochs: list = []
    for name, crops in (("pose", ("center", "five_flip")), ("expression", ("center",))):
        folder, card = RunFolder(home / name).stage(name), CARDS[name]
        card.write(folder)
        atomic_files.write_json(RunFolder(home / name).config, {"order": [name, "chosen"]})
        method, records = card.create(), source("test", card.crop)
        if name == "pose":
            train_pose(folder, method, source)
        else:
            keep_views(folder, epochs[-1])
        epochs = restore_all(folder, method, [1, 2], mesh)
        for kind in crops:
            score = make_scorer(through_crops(method, 32, kind), mesh, 12, 2)
            for epoch, variables in enumerate(epochs, 1):
                scores = with_labels(score(variables, records), records, method.aus)
                folder.write_scores("test", epoch, scores, kind)
        folder.mark_done()
    return home


def candidate(home, name, run, crops="center"):
    kept = [RunFolder(home / name).stage(name).read_scores("test", e, crops) for e in (1, 2)]
    logits = np.stack([k.logits for k in kept])
    return Candidate(run, name, crops, (1, 2), CARDS[name].aus, logits)


def candidates(home):
    """All that the two runs keep, seen from the run pose/."""
    return [
        candidate(home, "pose", "."),
        candidate(home, "pose", ".", "five_flip"),
        candidate(home, "expression", "../expression"),
    ]


def chosen_from(home, source, **rules):
    kept = candidates(home)
    names = EXPRESSION + POSE
    labels = source("test", "wide").aligned(names).table.labels
    chosen = choose.choose(kept, labels, names, **rules)
    return chosen, selection.apply(chosen, choose.member_logits(chosen, kept))


def inputs(source):
    crops = {crop: source("test", crop) for crop in ("wide", "closeup")}
    rows = np.arange(len(crops["wide"]))
    return {crop: s.images(rows) for crop, s in crops.items()}, crops["wide"].table.pose


def test_a_selection_applied_is_the_kept_scores_combined(runs, source, monkeypatch):
    chosen, expected = chosen_from(
        runs, source, epoch_rule="best", combine="mean", threshold_rule="best"
    )
    assert len(chosen.members) > 2
    predictor = Predictor(chosen, RunNetworks(runs / "pose"))
    assert predictor.crops == {"wide": 40, "closeup": 40}
    images, pose = inputs(source)
    prediction = predictor.predict(images, pose)
    assert tuple(prediction.probabilities) == chosen.aus
    np.testing.assert_allclose(
        np.stack(list(prediction.probabilities.values()), 1), expected, atol=2e-6
    )
    for a, au in enumerate(chosen.aus):
        far = np.abs(expected[:, a] - chosen.thresholds[a]) > 1e-5
        np.testing.assert_array_equal(
            prediction.decisions[au][far], (expected[:, a] >= chosen.thresholds[a])[far]
        )
    # Any number of images gives the same: fewer, more than a batch, none.
    few = {crop: x[:19] for crop, x in images.items()}
    np.testing.assert_allclose(predictor.probabilities(few, pose[:19]), expected[:19], atol=2e-6)
    monkeypatch.setattr("au_jax.ensemble.predictor._LARGEST_BATCH", 32)
    many = {crop: np.tile(x, (2, 1, 1, 1)) for crop, x in images.items()}
    twice = predictor.probabilities(many, np.tile(pose, (2, 1)))
    np.testing.assert_allclose(twice, np.tile(expected, (2, 1)), atol=2e-6)
    none = {crop: x[:0] for crop, x in images.items()}
    assert predictor.probabilities(none).shape == (0, len(chosen.aus))


def test_only_used_members_are_restored(runs, source):
    chosen, expected = chosen_from(runs, source, epoch_rule="last")
    unused = [Member(".", "pose", 9), Member("../gone", "lost", 1)]
    # An epoch and a run that are not there, between the members that are used.
    more = dataclasses.replace(
        chosen,
        members=(unused[0], *chosen.members, unused[1]),
        weights=np.pad(chosen.weights, ((1, 1), (0, 0))),
    )
    assert set(without_unused(more).members) == set(chosen.members)
    images, pose = inputs(source)
    probabilities = Predictor(more, RunNetworks(runs / "pose")).probabilities(images, pose)
    np.testing.assert_allclose(probabilities, expected, atol=2e-6)


def write_choice(home, source, **rules):
    folder = RunFolder(home / "pose").stage("chosen")
    chosen, expected = chosen_from(home, source, **rules)
    atomic_files.write_json(folder.selection, selection.to_json(chosen))
    folder.mark_done()
    return expected


def test_runs_that_were_moved_together_load(runs, source, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.copytree(runs, moved)
    expected = write_choice(moved, source, combine="linear")
    images, pose = inputs(source)
    loaded = au_jax.load(moved / "pose")
    np.testing.assert_allclose(loaded.probabilities(images, pose), expected, atol=2e-6)
    # One stage of it: its last epoch, from one crop, with the mean pose where none is given.
    last_epoch = au_jax.load(str(moved / "pose"), stage="pose").predict(images["wide"])
    logits = RunFolder(runs / "pose").stage("pose").read_scores("test", 2).logits
    np.testing.assert_allclose(
        last_epoch.probabilities["AU53"], 1 / (1 + np.exp(-logits[:, 2])), atol=2e-6
    )
    shutil.rmtree(moved / "expression")
    with pytest.raises(UserError, match=r"needs ../expression/expression@\d.* put that run where"):
        au_jax.load(moved / "pose")


def damaged(runs, tmp_path, change):
    """A copy of the trained stage, changed, and the selection of its epoch 1."""
    shutil.copytree(runs / "pose", tmp_path / "pose")
    folder = RunFolder(tmp_path / "pose").stage("pose")
    change(folder)
    Predictor(selection.of_one(Member(".", "pose", 1), POSE), RunNetworks(tmp_path / "pose"))


def rewritten(folder, **changes):
    card = json.loads(folder.model_card.read_text())
    card["context"] |= changes
    folder.model_card.write_text(json.dumps(card))


def truncate(folder):
    for file in (folder.model / "1" / "tree").rglob("*"):
        if file.is_file() and file.stat().st_size > 500:
            file.write_bytes(file.read_bytes()[:100])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda f: shutil.rmtree(f.model / "1"), r"no checkpoint of epoch 1 \(kept: 2\)"),
        (truncate, r"checkpoint .*1 cannot be read"),
        (
            lambda f: rewritten(f, aus=["AU01", *POSE[1:]]),
            r"gives pose@1 a weight on AU51, which that checkpoint does not predict \(AU01, AU52",
        ),
        (
            lambda f: rewritten(f, network={"backbone": "tiny_wide"}),
            r"is of another model: '.*view1.*' is \(.*\) there and \(.*\) in this config",
        ),
    ],
)
def test_checkpoints_that_do_not_fit_are_refused(runs, tmp_path, change, sentence):
    with pytest.raises(UserError, match=sentence):
        damaged(runs, tmp_path, change)


def test_images_that_do_not_fit_are_refused(runs, source):
    chosen, _ = chosen_from(runs, source)
    predictor = Predictor(chosen, RunNetworks(runs / "pose"))
    images, pose = inputs(source)
    for given, sentence in [
        (images["wide"], r"reads the crops '(wide|closeup)', '(wide|closeup)'; give images as a"),
        ({"wide": images["wide"]}, "images lack the crop 'closeup'"),
        (images | {"wide": images["wide"] / 255}, r"'wide' are float64 .*; give uint8"),
        (images | {"wide": images["wide"][:, 4:, 4:]}, r"36 x 36 pixels, .* on 40 x 40"),
        (images | {"wide": images["wide"][:5]}, "different numbers of images"),
    ]:
        with pytest.raises(UserError, match=sentence):
            predictor.predict(given, pose)


def test_a_run_on_folds_predicts_with_its_first_one(tmp_path):
    run = RunFolder(tmp_path)
    atomic_files.write_json(run.config, {"order": ["train", "chosen"], "folds": 2})
    for name in ("chosen.fold1", "chosen.fold2"):
        stage = run.stage(name)
        atomic_files.write_json(stage.selection, {})
        stage.mark_done()
    assert predicting_stage(run, None).name == "chosen.fold1"
    assert predicting_stage(run, "chosen.fold2").name == "chosen.fold2"
    with pytest.raises(UserError, match=r"'chosen'; known: .*chosen\.fold1"):
        predicting_stage(run, "chosen")


def test_folders_that_are_no_finished_run_are_refused(runs, tmp_path):
    with pytest.raises(UserError, match="is missing; is this the folder of a run"):
        au_jax.load(tmp_path)
    with pytest.raises(UserError, match=r"unknown finished stage in .* 'base'; known: pose"):
        au_jax.load(runs / "pose", "base")
    atomic_files.write_json(RunFolder(tmp_path).config, {"order": ["teacher"]})
    with pytest.raises(UserError, match=r"no stage of .* that predicts is finished"):
        au_jax.load(tmp_path)
