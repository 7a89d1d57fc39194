"""An exported folder predicts the run's bits without the run; one that does not fit is refused."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from random_weights import filled
from safetensors.numpy import load_file, save_file
from tiny import make_context

import au_jax
from au_jax.ensemble import selection
from au_jax.ensemble.model_folder import names_of
from au_jax.ensemble.selection import Member, Selection
from au_jax.ensemble.tta import through_crops
from au_jax.errors import UserError
from au_jax.export import stablehlo
from au_jax.export.run import export
from au_jax.files import atomic_files
from au_jax.html.numbers import DASH
from au_jax.methods.base import Context
from au_jax.models import cpu_ops
from au_jax.run_dir import RunFolder
from au_jax.training import weights_file
from au_jax.training.checkpoint import Checkpoints
from au_jax.training.model_card import ModelCard, kept_shapes

ROOT = Path(__file__).parents[2]
AUS = ("AU12", "AU51", "AU52")
STORED = 36
random = np.random.default_rng(0)
IMAGES = {
    "closeup": random.integers(0, 256, (5, STORED, STORED, 3), np.uint8),
    "wide": random.integers(0, 256, (5, STORED, STORED, 3), np.uint8),
}
POSE = np.array([[10, -5, np.nan], [np.nan] * 3, [0, 20, 3], [1, 2, 3], [3, 2, 1]], np.float32)


def card_of(crop, aus=AUS, **network):
    context = make_context(aus, network=network, streams=("opt",))
    return ModelCard("multi_task", {}, context, crop, STORED, "synthetic_faces")


def keep(folder, card, epochs):
    """Makes `folder` that of a finished training, with random weights in each epoch."""
    last = dataclasses.replace(card.context, epochs=max(epochs))
    dataclasses.replace(card, context=last).write(folder)
    shapes = kept_shapes(card.create())
    with Checkpoints.of_models(folder.model) as kept:
        for epoch in epochs:
            kept.save(epoch, filled(shapes, epoch))
    folder.mark_done()


@pytest.fixture(scope="module", autouse=True)
def symbolic_batch():
    """Shapes are not checked, as jaxtyping does not broadcast one that has no number."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that selects four members of two networks, one with pose, test crops and smoothing."""
    folder = RunFolder(tmp_path_factory.mktemp("export") / "run")
    atomic_files.write_json(folder.config, {"order": ["near", "far", "chosen"], "name": "mine"})
    atomic_files.write_json(folder.data, {"name": "synthetic_faces", "drawn": True})
    keep(
        folder.stage("near"), card_of("closeup", pose_branch=True, pose_std=(9.0, 8.0, 7.0)), (1, 2)
    )
    keep(folder.stage("far"), card_of("wide", AUS[1:], backbone="tiny_wide"), (3,))
    members = (
        Member(".", "near", 2, "five_flip"),
        Member(".", "near", 1, window=3),
        Member(".", "far", 3),
        Member(".", "near", 2),
        Member(".", "near", 9),  # has no weight, and no checkpoint
    )
    weights = np.array(
        [[0.3, 0.2, 0.1], [0.6, 0.3, 0.2], [0, 0.4, 0.6], [0.1, 0.1, 0.1], [0, 0, 0]]
    )
    chosen = Selection(
        AUS, members, weights, np.zeros(3), "probability", np.array([0.5, 0.25, 0.75])
    )
    stage = folder.stage("chosen")
    atomic_files.write_json(stage.selection, selection.to_json(chosen))
    stage.mark_done()
    figures = {"f1": 0.5, "accuracy": 0.25, "final_score": 0.375, "ci": [0.3, 0.4], "n": 17}
    figures["au"] = {
        au: {"f1": f1, "accuracy": 0.1234, "positives": 3, "known": 11}
        for au, f1 in zip(AUS, (0.98765, None, 0.5), strict=True)
    }
    printed = {**figures, "final_score": 0.625, "n": 17}
    split = {"opt-val": {"as_printed": printed, "honest": figures}}
    results = {
        "config": {"headline": "final_score"},
        "data": "synthetic_faces",
        "drawn": True,
        "stages": {"chosen": {"split": split}},
        "folds": {"chosen": {"opt-val": {"each": [{"f1": 0.45}, {"f1": 0.55}], "pooled": {}}}},
        "seeds": {
            "chosen": {
                "opt-val": {
                    "final_score": {"values": [0.25, 0.5], "mean": 0.375, "std": 0.125},
                    "f1": {"values": [0.5, 0.5], "mean": 0.5, "std": 0.0},
                }
            }
        },
    }
    atomic_files.write_json(folder.report / "results.json", results)
    return folder


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    output = tmp_path_factory.mktemp("exported") / "mine"
    export(run.path, output)
    return output


def test_the_folder_predicts_the_runs_bits_without_the_run(run, exported, tmp_path):
    ours = au_jax.load(run.path)
    moved = run.path.rename(tmp_path / "moved")
    try:
        theirs = au_jax.load(exported)
        assert theirs.crops == ours.crops == {"closeup": STORED, "wide": STORED}
        assert theirs.over_time.members == ours.over_time.members
        assert [m.window for m in theirs.over_time.members].count(3) == 1
        one, other = (loaded.predict(IMAGES, POSE) for loaded in (ours, theirs))
        for au in AUS:
            np.testing.assert_array_equal(one.probabilities[au], other.probabilities[au])
            np.testing.assert_array_equal(one.decisions[au], other.decisions[au])
        assert np.ptp(np.stack(list(one.probabilities.values())), 1).min() > 1e-4
        for mine, their in zip(
            ours.member_logits(IMAGES, POSE), theirs.member_logits(IMAGES, POSE), strict=True
        ):
            np.testing.assert_array_equal(mine, their)
    finally:
        moved.rename(run.path)


def test_half_precision_takes_half_the_room_and_predicts_nearly_the_same(run, exported, tmp_path):
    export(run.path, tmp_path / "half", half=True)
    with pytest.raises(UserError, match="--half leaves no weights for stablehlo"):
        export(run.path, tmp_path / "both", formats=["stablehlo"], half=True)
    assert not (tmp_path / "both").exists()
    text = (tmp_path / "half" / "README.md").read_text()
    assert "There is no stablehlo form: the weights are kept in half precision." in text
    whole, half = (
        load_file(folder / "networks" / "near@2.safetensors")
        for folder in (exported, tmp_path / "half")
    )
    for name, array in whole.items():
        expected = array if array.ndim < 2 else array.astype(np.float16)
        np.testing.assert_array_equal(half[name], expected)
        assert half[name].dtype == expected.dtype
    ours, theirs = (au_jax.load(f).predict(IMAGES, POSE) for f in (exported, tmp_path / "half"))
    for au in AUS:
        np.testing.assert_allclose(theirs.probabilities[au], ours.probabilities[au], atol=0.02)


def test_values_beyond_half_precision_are_refused(tmp_path):
    file = tmp_path / "a.safetensors"
    tree = {"params": {"kernel": np.full((2, 2), 7e4, np.float32)}}
    with pytest.raises(UserError, match=r"'params/kernel' has values that half precision cannot"):
        weights_file.write(file, tree, half=True)
    assert not file.exists()
    weights_file.write(file, tree)
    np.testing.assert_array_equal(load_file(file)["params/kernel"], tree["params"]["kernel"])


def test_what_the_folder_holds(exported):
    files = {str(p.relative_to(exported)) for p in exported.rglob("*") if p.is_file()}
    networks = {
        f"networks/{n}.{e}" for n in ("near@1", "near@2", "far@3") for e in ("json", "safetensors")
    }
    programs = {f"stablehlo/{n}.stablehlo" for n in ("near", "near-five_flip", "far")}
    about = {"README.md", "figures.json", "model.json", "stablehlo/programs.json"}
    assert files == {*about, *networks, *programs}


def test_readme_has_the_reports_figures(exported, run, tmp_path):
    text = (exported / "README.md").read_text()
    assert "### Split opt-val, 17 faces" in text
    assert "| AU12 | 0.9877 | 0.9877 | 0.1234 | 0.1234 | 3 of 11 |" in text
    assert f"| AU51 | {DASH} | {DASH} | 0.1234 | 0.1234 | 3 of 11 |" in text
    assert "honest: 0.3750 (95 % interval 0.3000 to 0.4000)." in text
    assert "as printed: 0.6250" in text
    assert "means over 2 folds of the data. Mean F1 of each fold, honest: 0.4500, 0.5500." in text
    assert "Over 2 seeds of the whole recipe" in text
    assert "final score 0.3750 ± 0.1250, mean F1 0.5000 ± 0.0000." in text
    assert "| AU52 | head turn right | 0.7500 | far@3, near@1~3, near@2, near@2:five_flip |" in text
    assert '16 records of its stream "opt" of synthetic_faces' in text
    assert "drawn by a program" in text
    assert "There is no pytorch form: unknown backbone with a PyTorch network 'tiny" in text
    # The stage alone is in no report.
    export(run.path, tmp_path / "near", "near", ["jax"])
    alone = (tmp_path / "near" / "README.md").read_text()
    assert "No figures are known, as the run has no report of stage near." in alone
    assert "stablehlo" not in alone


@pytest.mark.parametrize("crops", ["center", "five_flip"])
def test_programs_give_the_networks_logits(exported, run, crops):
    """For two batch sizes, and in the half for accelerators as in that for the CPU."""
    name = "near" if crops == "center" else "near-five_flip"
    program = jax.export.deserialize(
        bytearray((exported / "stablehlo" / f"{name}.stablehlo").read_bytes())
    )
    assert program.platforms == ("cpu", "cuda", "tpu")
    weights = load_file(exported / "networks" / "near@2.safetensors")
    card = ModelCard.read(run.stage("near"))
    method = through_crops(card.create(), card.image_size, crops)
    variables = weights_file.unnamed(weights, kept_shapes(method))
    # As the first platform is the CPU's, a program whose platforms are turned round runs the half
    # for another one here.
    turned = dataclasses.replace(program, platforms=("cuda", "cpu", "tpu"))
    for size in (1, 4):
        images, pose = IMAGES["closeup"][:size], POSE[:size]
        ours = jax.jit(method.predict)(variables, images, pose)
        for form in (program, turned):
            np.testing.assert_allclose(form.call(weights, images, pose), ours, atol=1e-5)


def test_a_program_has_the_plain_operators_for_accelerators():
    card = card_of("closeup", backbone="mobilenet_v3_large")
    text = stablehlo.export(card, "center").mlir_module()
    grouped = re.findall(r"feature_group_count = (\d+)", text)
    assert "16" in grouped
    # Nothing of one platform alone; the assertion is on the batch's size.
    assert set(re.findall(r"custom_call @(\w+)", text)) <= {"shape_assertion"}
    with cpu_ops.traced_for("cuda"):
        images, kernel = jnp.ones((1, 8, 8, 4)), jnp.ones((3, 3, 1, 4))
        traced = jax.make_jaxpr(lambda x: cpu_ops.depthwise(x, kernel, 1, "same"))(images)
    assert "conv_general_dilated" in str(traced)


def changed(exported, tmp_path, change):
    copy = tmp_path / "copy"
    shutil.copytree(exported, copy)
    change(copy)
    return au_jax.load(copy)


def arrays_changed(change):
    def of(folder):
        path = folder / "networks" / "near@1.safetensors"
        arrays = load_file(path)
        change(arrays)
        save_file(arrays, path)

    return of


def rewritten(file, **values):
    def of(folder):
        path = folder / file
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return of


def cut(file):
    def of(folder):
        content = (folder / file).read_bytes()
        (folder / file).write_bytes(content[: len(content) // 2])

    return of


BIAS = "params/head_opt/bias"
WEIGHTS = "networks/near@1.safetensors"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (arrays_changed(lambda a: a.pop(BIAS)), rf"near@1.safetensors lacks the array '{BIAS}'"),
        (
            arrays_changed(lambda a: a.update(more=a[BIAS])),
            r"near@1.safetensors has an array 'more', which its network does not have",
        ),
        (
            arrays_changed(lambda a: a.update({BIAS: a[BIAS][:2]})),
            rf"'{BIAS}' of .* is float32 \[2\], and its network has float32 \[3\]",
        ),
        (
            arrays_changed(lambda a: a.update({BIAS: a[BIAS].astype(np.float16)})),
            rf"'{BIAS}' of .* is float16 \[3\], and its network has float32 \[3\]",
        ),
        (cut(WEIGHTS), r"near@1.safetensors is damaged \(.*\); copy the folder or export"),
        (lambda f: (f / WEIGHTS).unlink(), r"near@1.safetensors is missing; copy the folder"),
        (cut("model.json"), r"model.json is damaged \(.*\); copy the folder or export the run"),
        (
            rewritten("model.json", format=2),
            r"has format 2 of au_jax .* reads formats up to 1; inst",
        ),
        (rewritten("model.json", format=None), r"model.json names no format"),
        (rewritten("model.json", networks={}), r"names no network of far@3; copy the folder"),
        (
            rewritten("networks/near@1.json", speed=1),
            r"near@1.json is no model card .*'speed'.*written by version 0",
        ),
    ],
)
def test_a_folder_that_does_not_fit_is_refused(exported, tmp_path, change, sentence):
    with pytest.raises(UserError, match=sentence):
        changed(exported, tmp_path, change)


def test_a_stage_of_an_exported_folder_is_refused(exported):
    with pytest.raises(
        UserError, match=r"was exported and has no stages; leave out the stage near"
    ):
        au_jax.load(exported, "near")


def test_networks_of_runs_with_one_name_have_files_of_their_own():
    members = [Member("../a", "t", 1), Member("../../a", "t", 1), Member(".", "a-t", 1)]
    assert list(names_of([*members, members[0]]).values()) == ["a-t@1", "a-t_@1", "a-t__@1"]


def test_formats_that_cannot_be_had_are_refused(run, tmp_path):
    with pytest.raises(
        UserError, match=r"unknown format 'tflite'; known: jax, pytorch, stablehlo, o"
    ):
        export(run.path, tmp_path / "out", formats=["tflite"])
    with pytest.raises(UserError, match=r"PyTorch network 'tiny.*leave pytorch out of --formats"):
        export(run.path, tmp_path / "out", formats=["jax", "pytorch"])
    assert not list(tmp_path.iterdir())


def test_cards_of_older_versions_have_defaults(tmp_path):
    values = json.loads(json.dumps(dataclasses.asdict(card_of("closeup"))))
    for facts in values["context"]["streams"].values():
        del facts["emotions"], facts["identities"]
    assert Context.from_json(values["context"]).streams == card_of("closeup").context.streams
    path = tmp_path / "model_card.json"
    del values["context"]["aus"]
    atomic_files.write_json(path, values)
    with pytest.raises(
        UserError, match=r"is no model card .* \(it lacks the field 'aus'\); it was"
    ):
        ModelCard.from_file(path)
    atomic_files.write_json(path, ["a"])
    with pytest.raises(UserError, match=r"is no model card that au_jax .* can read"):
        ModelCard.from_file(path)


def test_pytorch_is_not_needed(run, tmp_path):
    program = (
        "import sys; sys.path.insert(0, 'tests'); import tiny\n"
        "import au_jax.cli, au_jax.experiment.modes; from pathlib import Path\n"
        "from au_jax.export.run import export\n"
        f"export(Path({str(run.path)!r}), Path({str(tmp_path / 'out')!r}), 'far')\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
    assert (tmp_path / "out" / "stablehlo" / "far.stablehlo").exists()
