"""A training that goes on: what has been lost or damaged meanwhile is named, with the way out."""

import dataclasses
import shutil

import optax
import pytest
from tiny import make_context

from au_jax import sharding
from au_jax.aus import names
from au_jax.data.pipeline import Stream
from au_jax.data.sources import open_source
from au_jax.errors import UserError
from au_jax.methods import create
from au_jax.run_dir import StageFolder
from au_jax.training.loop import Training, train

AUS = names(1, 12)


@pytest.fixture(scope="module")
def training(tiny_faces):
    method = create("multi_task", make_context(AUS, streams=("opt",)), {"label_smoothing": 0.0})
    source = open_source(tiny_faces, "opt-train", "closeup", 0.25, 0).aligned(AUS)
    rate = optax.constant_schedule(1e-3)
    return Training(
        method=method,
        optimizer=optax.adam(rate),
        learning_rate=rate,
        streams={"opt": Stream(source, 8)},
        validation={"val": source},
        epochs=3,
        steps_per_epoch=1,
        seed=0,
        threads=1,
        score_batch=32,
    )


@pytest.fixture(scope="module")
def trained(training, tmp_path_factory):
    """A stage of which two epochs of three are trained."""
    folder = StageFolder(tmp_path_factory.mktemp("run") / "stages" / "train")
    two = dataclasses.replace(training, epochs=2)
    train(folder, two, sharding.make_mesh(1))
    return folder


@pytest.fixture
def stage(trained, tmp_path):
    return StageFolder(shutil.copytree(trained.path, tmp_path / "stages" / "train"))


def cut(folder):
    """Cuts the larger files of a checkpoint."""
    for file in folder.rglob("*"):
        if file.is_file() and file.stat().st_size > 500:
            file.write_bytes(file.read_bytes()[:100])


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda s: cut(s.state / "2"), r"state/2 cannot be read .*; delete it, and the same comm"),
        (lambda s: shutil.rmtree(s.state / "2" / "tree"), r"state/2 .*; delete it, and the same"),
        (lambda s: shutil.rmtree(s.model / "1"), r"model/1 is missing, though epoch 2 has been re"),
        (lambda s: s.scores("val", 2).unlink(), r"val/2.npz is missing, though epoch 2 has been"),
    ],
)
def test_what_is_lost_or_damaged_is_named(stage, training, damage, sentence):
    damage(stage)

    def contents():
        return {path: path.read_bytes() for path in stage.path.rglob("*") if path.is_file()}

    left = contents()
    with pytest.raises(UserError, match=sentence):
        train(stage, training, sharding.make_mesh(1))
    assert contents() == left


def test_without_its_newest_state_a_training_goes_on_from_the_one_before(stage, training, capsys):
    kept = stage.read_scores("val", 2).logits
    shutil.rmtree(stage.state / "2")
    stage.metrics.write_bytes(stage.metrics.read_bytes() + b'{"epoch": 3, "st')
    train(stage, training, sharding.make_mesh(1))
    assert "goes on after epoch 1" in capsys.readouterr().out
    assert stage.epochs() == [1, 2, 3]
    assert (stage.read_scores("val", 2).logits == kept).all()
    lines = stage.metrics.read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == [f'{{"epoch": {e}' for e in (1, 2, 3)]


def test_without_any_state_it_is_said_that_all_is_trained_anew(stage, training, capsys):
    shutil.rmtree(stage.state)
    train(stage, dataclasses.replace(training, epochs=2), sharding.make_mesh(1))
    assert "state keeps no training state, so it is trained anew" in capsys.readouterr().out
    assert stage.epochs() == [1, 2]
