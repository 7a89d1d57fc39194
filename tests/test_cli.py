"""A user's mistakes on the command line: one sentence, exit code 1, no stack trace."""

import subprocess
import sys
from pathlib import Path

import jax
import pytest

from au_jax import cli
from au_jax.errors import UserError

ROOT = Path(__file__).parent.parent
NOISY_STUDENT = "--config=configs/noisy_student.py"


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (
            [NOISY_STUDENT, "--config.data.nmae=x"],
            "error: unknown field of config.data 'nmae'; known: folds, name, present_from,",
        ),
        (
            [NOISY_STUDENT, "--config.stages.nope.kind=x"],
            "error: unknown field of config.stages 'nope'; known: T0, final, fusion,",
        ),
        (
            [NOISY_STUDENT + ":nope"],
            "error: unknown variant 'nope'; known: default, emotionet_small, control, table1,",
        ),
        ([NOISY_STUDENT, "--mode=fly"], "error: unknown mode 'fly'; known: run, select, report"),
        (["--mode=export"], "error: --mode=export needs --output=DIR, a new folder"),
        (["--config=configs/nope.py"], "error: there is no file configs/nope.py; configs here: "),
        (
            [NOISY_STUDENT, "--config.train.epochs=x"],
            "error: flag --config.train.epochs=x: invalid",
        ),
        ([NOISY_STUDENT, "--nope"], "error: Unknown command line flag 'nope'"),
        ([], "error: name a config: --config=configs/noisy_student.py"),
        (
            [NOISY_STUDENT, "--config.data.name=disfa", "--data_dir=/nowhere"],
            "error: /nowhere holds no data set 'disfa'; run --mode=prepare --dataset=disfa",
        ),
        (["--mode=predict", "--input=a.jpg"], "error: --mode=predict needs --output; see README"),
        (
            ["--mode=predict", "--input=nope.jpg", "--output=nope.csv"],
            "error: --input: there is no file nope.jpg; give a photograph, a video, a folder,",
        ),
    ],
)
def test_mistakes(flags, sentence, tmp_path):
    done = subprocess.run(
        [sys.executable, "launch.py", f"--workdir={tmp_path / 'run'}", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith(sentence)
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_in_one_sentence(capsys):
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        cli.dispatch({"run": interrupted}, "run")
    assert ended.value.code == 130
    assert capsys.readouterr().err == "stopped; the same command goes on from what is kept\n"


def test_a_process_number_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv("JAX_PROCESS_ID", "first")
    with pytest.raises(UserError, match="JAX_PROCESS_ID is 'first'; give a whole number"):
        cli._join_processes()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"SLURM_STEP_NUM_TASKS": "1"}, None),
        ({"SLURM_STEP_NUM_TASKS": "2"}, (None, None)),
        (
            {
                "JAX_COORDINATOR_ADDRESS": "host:1",
                "JAX_NUM_PROCESSES": "2",
                "JAX_PROCESS_ID": "1",
            },
            (2, 1),
        ),
    ],
)
def test_processes_are_joined_where_there_are_several(environment, expected, monkeypatch):
    joined = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda **given: joined.append(given))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    cli._join_processes()
    if expected is None:
        assert joined == []
    else:
        (given,) = joined
        assert (given.pop("num_processes"), given.pop("process_id")) == expected
        assert given == {"heartbeat_timeout_seconds": 30, "shutdown_timeout_seconds": 30}
