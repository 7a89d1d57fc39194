"""Networks exported to PyTorch, loaded by the load.py beside them, predict what the run does."""

import importlib.util
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from random_weights import filled
from tiny import make_context

import au_jax
from au_jax import sharding
from au_jax.ensemble import selection
from au_jax.ensemble.calibration import Calibration
from au_jax.ensemble.selection import Member, Selection
from au_jax.errors import UserError
from au_jax.export.run import export
from au_jax.files import atomic_files
from au_jax.models.network_spec import conventions
from au_jax.run_dir import RunFolder
from au_jax.training.checkpoint import Checkpoints
from au_jax.training.model_card import ModelCard, restore
from au_jax.training.start import import_weights

AUS = ("AU01", "AU02", "AU04", "AU06", "AU12")
SIDE, STORED = 32, 37
IMAGES = np.random.default_rng(0).integers(0, 256, (3, STORED, STORED, 3), np.uint8)
POSE = np.array([[10, -5, np.nan], [np.nan] * 3, [0, 20, 3]], np.float32)


def keep(folder, method, options, network, *, seed=0, aus=AUS, calm=1.0):
    """Makes `folder` that of a finished training whose network has random weights.

    Args:
      calm: what the last layers are multiplied by; logits of deep networks would be too large.
    """
    streams = {"supervised": ("clean",), "mlcr": ("clean", "noisy")}.get(method, ("opt",))
    context = make_context(aus, network=network, streams=streams, epochs=3)
    card = ModelCard(method, options, context, "closeup", STORED, "synthetic_faces")
    created = card.create()
    shapes = jax.eval_shape(
        lambda key: created.kept(*created.init(key)), jax.ShapeDtypeStruct((2,), np.uint32)
    )

    def calmed(path, leaf):
        last = any(part.key.startswith(("head_", "output_")) for part in path)
        return leaf * calm if last and path[-1].key == "kernel" else leaf

    card.write(folder)
    with Checkpoints.of_models(folder.model) as models:
        models.save(3, jax.tree_util.tree_map_with_path(calmed, filled(shapes, seed)))
    folder.mark_done()


def make_run(path, order):
    run = RunFolder(path)
    atomic_files.write_json(run.config, {"order": order})
    return run


def to_pytorch(run, whole, stage=None):
    """The PyTorch part of an export to the folder `whole`."""
    export(run.path, whole, stage, ["pytorch"])
    return whole / "pytorch"


def loader(output):
    """The module load.py of an export."""
    spec = importlib.util.spec_from_file_location("load", output / "load.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def probabilities(output, images=IMAGES, pose=POSE):
    faces = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    return loader(output).predict({"closeup": faces}, torch.from_numpy(pose)).numpy()


TRAININGS = {
    "multi_task": ("multi_task", {}, {"backbone": "ownnet1", "pose_branch": True}),
    "multi_view": ("multi_view", {}, {"backbone": "ownnet1", "fields": {"padding": "torch"}}),
    "two layers": (
        "supervised",
        {"selective_ratios": [0.0] * len(AUS), "views": 2},
        {"backbone": "iresnet10", "fields": {"width": 8, "pyramid": True, "bn_epsilon": 1e-4}},
    ),
    "graph": ("mlcr", {"selective_ratios": [0.0] * len(AUS)}, {"backbone": "ownnet1"}),
    "torchvision": ("multi_label", {}, {"backbone": "resnet18", "image_mean": (0.5, 0.4, 0.3)}),
}


CALM = {"torchvision": 0.05, "two layers": 0.1}


@pytest.mark.parametrize("name", TRAININGS)
def test_exported_trainings_predict_the_same(name, tmp_path, stand_ins, capsys):
    run = make_run(tmp_path / "run", ["train"])
    keep(run.stage("train"), *TRAININGS[name], calm=CALM.get(name, 1.0))
    output = to_pytorch(run, tmp_path / "out")
    ours = au_jax.load(run.path).probabilities(IMAGES, POSE)
    theirs = probabilities(output)
    assert np.ptp(ours, 0).min() > 1e-3
    np.testing.assert_allclose(theirs, ours, atol=1e-4)
    names = sorted(path.stem for path in output.glob("*.safetensors"))
    views = ["-view1", "-view2"] if name in ("multi_view", "two layers", "graph") else [""]
    assert names == [f"train@3{view}" for view in views]
    assert capsys.readouterr().out == (
        f"{output.parent} has train@3 as pytorch; its README.md says how to load them\n"
    )


@pytest.mark.parametrize("crops", ["center", "five"])
@pytest.mark.parametrize("link", selection.LINKS)
def test_a_selections_members_vote_as_in_the_run(link, crops, tmp_path, capsys):
    run = make_run(tmp_path / "run", ["first", "second", "chosen"])
    network = {"backbone": "ownnet1", "pose_branch": True}
    keep(run.stage("first"), "multi_task", {}, network)
    keep(run.stage("second"), "multi_view", {}, network, seed=1, aus=AUS[2:])
    chosen = Selection(
        aus=AUS[::-1],
        members=(Member(".", "first", 3, crops), Member("../run", "second", 3, window=3)),
        weights=np.array([[0.2, 0.5, 1, 1, 1], [0.8, 0.5, 0, 0, 0]]),
        bias=np.array([0.0, -0.1, 0.05, 0, 0]),
        link=link,
        thresholds=np.array([0.5, 0.4, 0.3, 0.2, 0.1]),
        calibration=Calibration(np.array([0.5, 1, 2, 1, 1]), np.array([0.3, 0, -1, 0, 0])),
    )
    atomic_files.write_json(run.stage("chosen").selection, selection.to_json(chosen))
    run.stage("chosen").mark_done()
    output = to_pytorch(run, tmp_path / "out")
    said = "members read test crops (five); load.py takes the centre alone"
    assert (said in capsys.readouterr().out) == (crops == "five")
    if crops == "center":
        ours = au_jax.load(run.path).probabilities(IMAGES, POSE)
        np.testing.assert_allclose(probabilities(output), ours, atol=1e-4)
    card = json.loads((output / "run-second@3-view1.json").read_text())
    assert card["thresholds"] == {"AU12": 0.5, "AU06": 0.4, "AU04": 0.3}


def test_a_networks_description_and_its_definition(tmp_path):
    run = make_run(tmp_path / "run", ["train"])
    network = {"backbone": "ownnet1", "image_mean": (0.1, 0.2, 0.3), "fields": {"bn_momentum": 0.8}}
    keep(run.stage("train"), "multi_task", {}, network)
    output = to_pytorch(run, tmp_path / "out", "train")
    assert sorted(path.name for path in output.iterdir()) == [
        "au_net.py",
        "load.py",
        "ownnet.py",
        "selection.json",
        "train@3.json",
        "train@3.safetensors",
    ]
    card = json.loads((output / "train@3.json").read_text())
    assert card["backbone"] == {
        "module": "ownnet",
        "function": "OwnNet",
        "arguments": {"width": 1, "padding": "same"},
        "last_layer": "",
        "bn_epsilon": 1e-3,
        "bn_momentum": 0.2,
    }
    assert card["aus"] == list(AUS)
    assert card["thresholds"] == dict.fromkeys(AUS, 0.5)
    assert (card["image_size"], card["crop"], card["crop_size"]) == (SIDE, "closeup", STORED)
    assert card["padding"] == "same"
    assert card["predicts"] == "opt"
    assert card["network"]["image_mean"] == [0.1, 0.2, 0.3]
    assert card["checkpoint"] == {
        "member": "train@3",
        "method": "multi_task",
        "data": "synthetic_faces",
    }


def test_a_network_with_timms_names_is_loaded_strictly(tmp_path, stand_ins):
    run = make_run(tmp_path / "run", ["train"])
    network = {"backbone": "mobilenet_v3_large", "fields": {"padding": "same"}}
    keep(run.stage("train"), "multi_label", {}, network)
    network, card = loader(to_pytorch(run, tmp_path / "out")).load("train@3")
    assert card["backbone"]["arguments"]["model_name"] == "tf_mobilenetv3_large_100"
    assert {part.eps for part in network.modules() if isinstance(part, torch.nn.BatchNorm2d)} == {
        1e-3
    }


def test_a_pretrainings_backbone(tmp_path):
    run = make_run(tmp_path / "run", ["pretraining"])
    stage = run.stage("pretraining")
    keep(stage, "moco", {"queue": 16}, {"backbone": "ownnet1"}, aus=())
    output = to_pytorch(run, tmp_path / "out", "pretraining")
    assert not (output / "selection.json").exists()
    network, card = loader(output).load("pretraining@3")
    assert card["predicts"] is None
    crops = IMAGES[:, 2:-3, 2:-3]
    with torch.inference_mode():
        theirs = network.pooled(torch.from_numpy(crops).permute(0, 3, 1, 2) / 255).numpy()
    created = ModelCard.read(stage)
    kept = restore(stage, created.create(), 3, sharding.make_mesh(1))
    variables = {kind: tree["encoder"]["net"] for kind, tree in kept.items()}
    net = created.context.network.build({"projector": 2048})
    images = jnp.asarray(crops, jnp.float32) / 255
    ours = jax.jit(lambda v: net.apply(v, images, False, method="pooled"))(variables)
    np.testing.assert_allclose(theirs, ours, atol=1e-4 * np.abs(ours).max())


@pytest.mark.parametrize(
    "fields", [{"padding": "torch"}, {"bn_epsilon": 0.01}], ids=["padding", "epsilon"]
)
def test_an_exported_network_is_imported_again(fields, tmp_path, capsys):
    run = make_run(tmp_path / "run", ["train"])
    network = {"backbone": "ownnet1", "image_std": (0.2, 0.3, 0.4), "fields": fields}
    keep(run.stage("train"), "multi_task", {}, network)
    file = to_pytorch(run, tmp_path / "out") / "train@3.safetensors"
    settled = conventions("ownnet1", file, {})
    assert settled["image_std"] == (0.2, 0.3, 0.4)
    assert settled["fields"].items() >= fields.items()
    with pytest.raises(UserError, match=r"padding=torchy contradicts"):
        conventions("ownnet1", file, {"padding": "torchy"})

    method = ModelCard.read(run.stage("train")).create()
    trained = restore(run.stage("train"), method, 3, sharding.make_mesh(1))
    anew = jax.tree.map(lambda leaf: 0 * leaf, trained)
    params, batch_stats = import_weights(file, "ownnet1", anew["params"], anew["batch_stats"])
    jax.tree.map(np.testing.assert_array_equal, params["backbone"], trained["params"]["backbone"])
    jax.tree.map(np.testing.assert_array_equal, batch_stats, trained["batch_stats"])
    assert not np.any(params["head_opt"]["kernel"])
    assert f"of {file} the backbone is taken; left out: heads.opt\n" in capsys.readouterr().out


def test_parts_of_ours_come_back_from_an_exported_network(tmp_path, capsys):
    run = make_run(tmp_path / "run", ["train"])
    fields = {"width": 8, "coordinate_attention": True, "pyramid": True}
    keep(run.stage("train"), "multi_label", {}, {"backbone": "iresnet10", "fields": fields})
    file = to_pytorch(run, tmp_path / "out") / "train@3.safetensors"
    method = ModelCard.read(run.stage("train")).create()
    trained = restore(run.stage("train"), method, 3, sharding.make_mesh(1))
    anew = jax.tree.map(lambda leaf: 0 * leaf, trained)
    params, _ = import_weights(file, "iresnet10", anew["params"], anew["batch_stats"])
    jax.tree.map(np.testing.assert_array_equal, params["backbone"], trained["params"]["backbone"])
    assert "initialised anew" not in capsys.readouterr().out


def test_mistakes(tmp_path):
    run = make_run(tmp_path / "run", ["train", "moco", "odd"])
    keep(run.stage("train"), "multi_task", {}, {"backbone": "tiny"})
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "notes.txt").touch()
    with pytest.raises(UserError, match=r"--output=.*taken is there and not empty; name a new"):
        export(run.path, taken)
    with pytest.raises(UserError, match=r"unknown finished stage in .*'moco'; known: train"):
        export(run.path, tmp_path / "out", "moco")
    with pytest.raises(UserError, match="is missing; is this the folder of a run"):
        export(tmp_path, tmp_path / "out")
    with pytest.raises(UserError, match="unknown backbone with a PyTorch network 'tiny'"):
        export(run.path, tmp_path / "out", formats=["pytorch"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "taken"]
