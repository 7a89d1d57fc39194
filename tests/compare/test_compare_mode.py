"""The mode from its config to its files, what it leaves out, and what it costs other modes."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from subjects import make_config

from au_jax.errors import UserError
from au_jax.experiment import modes
from au_jax.experiment.recipe import Recipe
from au_jax.html.numbers import DASH
from au_jax.report import comparison
from au_jax.run_dir import RunFolder

ROOT = Path(__file__).parent.parent.parent


def test_other_modes_import_nothing_of_pytorch():
    program = (
        "import sys, au_jax.cli, au_jax.experiment.modes; "
        "assert not {'torch', 'torchvision', 'timm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


@pytest.fixture(scope="module")
def compared(data_dir, tiny_faces, tmp_path_factory):
    """The folder of a comparison without its timing."""
    config = make_config()
    config.order = ("teacher", "labels_teacher", "student")
    config.compare.update(steps=2, rounds=0)
    folder = tmp_path_factory.mktemp("compared")
    modes.compare(config, folder, data_dir)
    return folder


def test_stochastic_depth_and_dropout_are_off(data_dir, tmp_path):
    config = make_config()
    config.model.update(backbone="efficientnet_b0", dropout=0.5)
    recipe = Recipe(config, RunFolder(tmp_path), data_dir)
    model = modes.without_dropout(recipe.stage("teacher")).model
    assert model["dropout"] == model["fields"]["drop_path"] == 0


def test_the_files_say_what_was_compared_and_what_was_not(compared):
    results = json.loads((compared / "compare.json").read_text())
    assert list(results["trainings"]) == ["teacher"]
    assert results["recipe"] == "noisy_student:default"
    assert "Left out, as they wait for another stage: student." in results["remarks"]
    assert {"jax", "torch", "cores"} <= set(results["made_with"])
    training = results["trainings"]["teacher"]
    assert training["speed"] is None
    assert training["agreement"]["loss"]["relative"] < 1e-5
    page = (compared / "report" / "compare.html").read_text()
    assert "JAX beside PyTorch: noisy_student:default" in page
    assert "Left out, as they wait for another stage: student." in page
    assert "backbone.conv1.weight" in page
    assert "data:image/png;base64," in page
    assert not list(compared.rglob("*.tmp*"))


def test_speed_is_shown_with_its_interval_and_failures(compared):
    results = json.loads((compared / "compare.json").read_text())
    rate = {"median": 100.0, "low": 90.0, "high": 110.0}
    side = {
        "on_device": rate,
        "predicting": rate,
        "first_step_seconds": 2.0,
        "compile_seconds": 1.0,
    }
    results["trainings"]["teacher"]["speed"] = {
        "start_up": {"jax": 1.25, "torch": 2.0},
        "sides": {"jax": {**side, "with_input": rate, "peak_memory_mib": 12.3}, "eager": side},
        "failed": {"compile": "RuntimeError: no compiler"},
        "compared": "eager",
        "compared_predicting": "eager",
        "ratio": {
            "eager": {
                "on_device": {"median": 0.92, "low": 0.9, "high": 0.951},
                "predicting": {"median": 1.5, "low": 1.4, "high": 1.6},
                "with_input": None,
            }
        },
    }
    _, rows = comparison.speed_table(results)
    assert [row[0] for row in rows] == [
        "teacher: JAX",
        "teacher: PyTorch eager (fastest step, fastest prediction)",
        "teacher: PyTorch compile",
    ]
    assert rows[0][1:] == (
        *3 * ("100.0 (90.0 to 110.0)",),
        *3 * (DASH,),
        "2.0",
        "1.0",
        "12",
    )
    assert rows[1][4:7] == ("0.92 (0.90 to 0.95)", DASH, "1.50 (1.40 to 1.60)")
    assert rows[2][1] == "fails: RuntimeError: no compiler"
    comparison.write(compared / "with_speed", results)
    page = (compared / "with_speed" / "compare.html").read_text()
    assert "0.92 (0.90 to 0.95)" in page


def test_the_seeds_spread_stands_beside_the_difference():
    final = {"jax": [0.5, 0.6, None], "torch": [0.4, 0.6, 0.1]}
    assert comparison._final_cells(final) == (
        "0.5500 ± 0.0707",
        "0.5000 ± 0.1414",
        "+0.0500 ± 0.0707",
    )


def test_mistakes_are_one_sentence(data_dir, tiny_faces, tmp_path, monkeypatch):
    config = make_config()
    config.compare.threads = 10_000
    with pytest.raises(UserError, match=r"--config.compare.threads=10000, but this process may"):
        modes.compare(config, tmp_path, data_dir)
    config.compare.update(threads=0, variants=("eagre",))
    with pytest.raises(UserError, match=r"--config\.compare\.variants is \('eagre',\); give a tu"):
        modes.compare(config, tmp_path, data_dir)
    config.compare.variants = ("eager",)
    config.stages.teacher.method, config.stages.teacher.options = "mixup", {}
    with pytest.raises(UserError, match="no training of config noisy_student has a method with a"):
        modes.compare(config, tmp_path, data_dir)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'needs PyTorch; install it with: pip install "au-jax\[co'):
        modes.compare(config, tmp_path, data_dir)
