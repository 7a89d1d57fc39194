"""The shipped noisy-student config, shrunk: whole, killed and resumed, with mistakes in it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from au_jax.report import run as report_run
from au_jax.run_dir import RunFolder
from au_jax.training.checkpoint import Checkpoints

ROOT = Path(__file__).parents[2]
SMALL = (
    "--config.data.synthetic.size=40",
    "--config.data.size=40",
    "--config.data.synthetic.opt=48",
    "--config.data.synthetic.noisy=40",
    "--config.data.synthetic.test=24",
    "--config.data.synthetic.seed=3",
    "--config.model.backbone=ownnet1",
    "--config.model.image_size=32",
    "--config.train.epochs=2",
    "--config.train.steps_per_epoch=3",
    "--config.stages.teacher_pose.train.epochs=2",
    "--config.stages.final.inputs=('teacher', 'student', 'teacher_pose')",
    "--config.order=('teacher', 'teacher_pose', 'T0', 'labels_teacher', 'student', 'svm', "
    "'svm_row', 'final')",
    "--config.devices=1",
)


def launch(workdir, data_dir, *flags, script="launch.py", moment=()):
    """Runs the command line as a user would; returns the finished process."""
    environment = {
        **os.environ,
        "AU_JAX_CACHE": str(ROOT / ".pytest_cache"),
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=1",
        # So that no later process compiles anything again.
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.05",
    }
    return subprocess.run(
        [
            sys.executable,
            ROOT / script,
            *moment,
            "--config=configs/noisy_student.py",
            f"--workdir={workdir}",
            f"--data_dir={data_dir}",
            *SMALL,
            *flags,
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tiny_faces, data_dir):
    """A run that nothing interrupted, and what it printed."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    done = launch(workdir, data_dir)
    assert done.returncode == 0, done.stderr
    return RunFolder(workdir), done


def train_stages(run):
    config = json.loads(run.config.read_text())
    return [run.stage(n) for n in config["order"] if config[f"stages.{n}.kind"] == "train"]


def test_the_contract_of_the_run_folder(whole):
    run, done = whole
    assert "1 CPU device" in done.stdout
    for stage in train_stages(run):
        assert stage.done
        assert stage.epochs() == [1, 2]
        assert len(list(stage.state.glob("[0-9]*"))) == 2
        assert len(stage.metrics.read_text().splitlines()) == 2
        assert list(stage.path.glob("events.out.tfevents.*"))
        for epoch in (1, 2):
            scores = stage.read_scores("opt-val", epoch)
            assert scores.logits.shape == scores.labels.shape == (len(scores.keys), len(scores.aus))
            assert scores.logits.dtype == np.float32
    labels = np.load(run.stage("labels_teacher").labels("noisy"))
    assert labels["labels"].shape == (40, 17)
    assert set(np.unique(labels["labels"])) <= {0, 1}
    results = json.loads((run.report / "results.json").read_text())
    assert results["data"] == "synthetic_faces"
    assert set(results["final"]["au"]) == set(
        results["stages"]["final"]["split"]["test"]["honest"]["au"]
    )
    assert len(results["final"]["au"]) == 23
    assert set(results["groups"]) == {"expression", "pose"}
    assert (run.report / "index.html").exists()
    rows = (run.report / "results.csv").read_text().splitlines()
    assert rows[0] == "stage,split,choice,au,figure,value"


def test_pseudo_labels_are_the_teachers_decisions(whole):
    run, _ = whole
    teacher = run.stage("teacher").read_scores("noisy", 2)
    labels = np.load(run.stage("labels_teacher").labels("noisy"))
    at = {k: i for i, k in enumerate(teacher.keys)}
    logits = teacher.logits[[at[k] for k in labels["keys"]]]
    columns = [teacher.aus.tolist().index(au) for au in labels["aus"]]
    np.testing.assert_array_equal(labels["labels"], logits[:, columns] >= 0)


def test_all_is_done_the_second_time_with_any_number_of_threads(whole, data_dir):
    run, _ = whole
    before = (run.report / "results.json").stat().st_mtime_ns
    again = launch(run.path, data_dir, "--config.data.threads=1")
    assert again.returncode == 0
    assert "all is done" in again.stdout
    assert (run.report / "results.json").stat().st_mtime_ns == before


def test_killed_at_any_moment_the_bits_are_the_same(whole, tmp_path, data_dir):
    run, _ = whole
    rng = np.random.default_rng()  # other moments every time; the message names them
    moments = [
        f"save:{rng.integers(1, 3)}",  # a checkpoint is being written
        f"step:{rng.integers(1, 9)}",
        f"replace:{rng.integers(3, 12)}",
    ]
    workdir = tmp_path / "run"
    for moment in moments:
        killed = launch(
            workdir, data_dir, script="tests/end_to_end/killed_run.py", moment=(moment,)
        )
        assert killed.returncode == -signal.SIGKILL, (moments, moment, killed.stderr)
        assert not (workdir / "report" / "results.json").exists()
    finished = launch(workdir, data_dir)
    assert finished.returncode == 0, (moments, finished.stderr)
    resumed = RunFolder(workdir)
    for stage, other in zip(train_stages(run), train_stages(resumed), strict=True):
        assert other.epochs() == [1, 2], moments
        assert len(other.metrics.read_text().splitlines()) == 2, moments
        for epoch in (1, 2):
            np.testing.assert_array_equal(
                stage.read_scores("opt-val", epoch).logits,
                other.read_scores("opt-val", epoch).logits,
                err_msg=f"{stage.name} {epoch} {moments}",
            )
        jax.tree.map(np.testing.assert_array_equal, *(final_state(s) for s in (stage, other)))
    assert (run.report / "results.csv").read_text() == (
        resumed.report / "results.csv"
    ).read_text(), moments


def final_state(stage):
    """The last training state as plain arrays."""
    with Checkpoints.of_states(stage.state) as states:
        import orbax.checkpoint as ocp

        return states._manager.restore(
            states.numbers()[-1], args=ocp.args.Composite(tree=ocp.args.StandardRestore())
        )["tree"]


def test_a_workdir_of_another_config_is_refused(whole, data_dir):
    run, _ = whole
    other = launch(run.path, data_dir, "--config.optimizer.weight_decay=0.5")
    assert other.returncode == 1
    assert other.stderr.strip().splitlines()[-1] == (
        f"error: {run.path} belongs to another config; it differs in optimizer.weight_decay "
        "(0.0 there, 0.5 here). Give another --workdir, or the config that made it"
    )
    assert "Traceback" not in other.stderr


def test_report_is_made_again_from_what_the_run_left(whole, tmp_path, capsys):
    run, _ = whole
    import shutil

    copy = RunFolder(shutil.copytree(run.path, tmp_path / "copy"))
    shutil.rmtree(copy.report)
    report_run.report(copy.path)
    assert (copy.report / "results.json").read_text() == (run.report / "results.json").read_text()
    assert "final score" in capsys.readouterr().out
