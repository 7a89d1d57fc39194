"""A method that lives outside the package: named by a config as module:function, and trained."""

import json
import sys

import pytest

from au_jax.errors import UserError
from au_jax.experiment import modes
from au_jax.run_dir import RunFolder
from configs import base

OWN = '''
import jax.numpy as jnp

from au_jax import augment, losses
from au_jax.methods.base import Method


def create(context, *, positive_weight=1.0):
    """Binary cross entropy in which present labels count `positive_weight` times."""
    net = context.network.build({"aus": len(context.aus)})
    size = context.image_size

    def init(key):
        variables = net.init(key, jnp.zeros((2, size, size, 3)), jnp.zeros((2, 3)), train=False)
        return variables["params"], variables["batch_stats"], {}

    def loss(params, batch_stats, method_state, batch, step, key):
        faces, variables = batch["opt"], {"params": params, "batch_stats": batch_stats}
        images, labels, pose = augment.augment(
            key, faces["image"], faces["labels"], faces["pose"], context.augmentation, context.aus
        )
        logits, updated = net.apply(
            variables, images, pose, train=True, rngs={"dropout": key}, mutable=["batch_stats"]
        )
        entries = losses.binary_cross_entropy(logits["aus"], (labels == 1).astype(jnp.float32))
        weights = jnp.where(labels == 1, positive_weight, 1.0) * (labels >= 0)
        value = (weights * entries).sum() / weights.sum()
        return value, (updated["batch_stats"], method_state, {})

    def predict(variables, images, pose):
        return net.apply(variables, augment.center_crop(images, size), pose, train=False)["aus"]

    return Method(context.aus, init, loss, predict)
'''


@pytest.fixture
def config(tmp_path, monkeypatch):
    (tmp_path / "positive_bce.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield own_config()
    sys.modules.pop("positive_bce", None)


def own_config():
    config = base.base()
    config.name, config.variant, config.devices = "own", "default", 1
    config.data.synthetic.update(size=40, opt=48, noisy=40, test=24, seed=3)
    config.data.size = 40
    config.model.update(backbone="tiny", image_size=32)
    config.train.update(epochs=2, steps_per_epoch=2)
    base.add_stage(
        config,
        "mine",
        "train",
        method="positive_bce:create",
        options={"positive_weight": 3.0},
        streams={"opt": {"split": "opt-train", "share": 8}},
        epoch_stream="opt",
        group="expression",
        crop="closeup",
    )
    base.add_stage(config, "row", "select", inputs=("mine",))
    return config


def test_it_trains_and_predicts_as_those_of_the_package(config, tiny_faces, data_dir, tmp_path):
    modes.run(config, tmp_path / "run", data_dir)
    run = RunFolder(tmp_path / "run")
    assert run.stage("mine").epochs() == [1, 2]
    scores = run.stage("mine").read_scores("opt-val", 2)
    assert scores.logits.shape == (len(scores.keys), 17)
    settings = json.loads(run.stage("mine").settings.read_text())
    assert settings["method"] == "positive_bce:create"
    assert settings["options"] == {"positive_weight": 3.0}
    assert "Total: " in run.stage("mine").parameters.read_text()
    results = json.loads((run.report / "results.json").read_text())
    assert results["drawn"] is True
    assert results["final"]["n"] == 24


@pytest.mark.parametrize(
    ("method", "options", "sentence"),
    [
        ("positive_bce:nothing", {}, "positive_bce.* has no .*nothing"),
        ("no_such_module:create", {}, "no_such_module"),
        (
            "positive_bce:create",
            {"weight": 1.0},
            "unknown field of .*options 'weight'; known: positive_w",
        ),
        ("nothing", {}, r"stages\.mine\.method is 'nothing'; give one of multi_task,"),
    ],
)
def test_what_is_misnamed_is_said(
    config, method, options, sentence, tiny_faces, data_dir, tmp_path
):
    config.stages.mine.method, config.stages.mine.options = method, options
    with pytest.raises(UserError, match=sentence):
        modes.run(config, tmp_path / "run", data_dir)
    assert not (tmp_path / "run" / "stages" / "mine").exists()
