"""A user's mistakes on the command line: one sentence, exit code 1, no stack trace."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from absl import flags
from command_line import config_of

import launch
from au_jax import cli
from au_jax.errors import UserError

ROOT = Path(__file__).parent.parent
NOISY_STUDENT = "--config=configs/noisy_student.py"


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (
            [NOISY_STUDENT, "--config.data.nmae=x"],
            "error: unknown field of config.data 'nmae'; known: name, size, val_fraction,",
        ),
        ([NOISY_STUDENT, "--mode=fly"], "error: unknown mode 'fly'; known: run, select, report"),
        (["--mode=export"], "error: --mode=export needs --output=DIR, a new folder"),
        (["--config=configs/nope.py"], "error: there is no file configs/nope.py; configs here: "),
        ([NOISY_STUDENT, "--nope"], "error: Unknown command line flag 'nope'"),
        ([], "error: name a config: --config=configs/noisy_student.py"),
        (
            [NOISY_STUDENT, "--config.data.name=disfa", "--data_dir=/nowhere"],
            "error: /nowhere holds no data set 'disfa'; run --mode=prepare --dataset=disfa",
        ),
        (["--mode=predict", "--input=a.jpg"], "error: --mode=predict needs --output; see README"),
        (
            [NOISY_STUDENT, "--config.stages.teacher.options.predict_head=x"],
            "error: --config.stages.teacher: unknown predict_head 'x'; known: opt",
        ),
        (
            [NOISY_STUDENT, "--from=runs/a"],
            "error: --from means nothing with --mode=run; it is for select, so leave it out",
        ),
        ([NOISY_STUDENT, "stray"], "error: 'stray' is no flag; write --FLAG=VALUE, without blanks"),
        (
            ["--mode=predict", "--input=nope.jpg", "--output=nope.csv"],
            "error: --input: there is no file nope.jpg; give a photograph, a video, a folder,",
        ),
    ],
)
def test_mistakes(flags, sentence, tmp_path):
    assert_refused([f"--workdir={tmp_path / 'run'}", *flags], sentence)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (
            [NOISY_STUDENT, "--config.stages.nope.kind=x"],
            "unknown field of config.stages 'nope'; known: T0, final, fusion,",
        ),
        (
            [NOISY_STUDENT + ":nope"],
            "unknown variant 'nope'; known: default, emotionet_small, control, table1,",
        ),
        (
            [NOISY_STUDENT, "--config.train.epochs=x"],
            "--config.train.epochs is 'x'; give a whole number from 1 to",
        ),
        (
            ["--config.seed=3"],
            "name the config that --config.seed=3 sets a field of: --config=configs/NAME.py",
        ),
        ([NOISY_STUDENT, "--config.seed"], "--config.seed lacks a value; write"),
        (
            [NOISY_STUDENT, "--config.stages.teacher.model.dropout=1.5"],
            "--config.stages.teacher.model.dropout is 1.5; give a number from 0 to below 1",
        ),
    ],
)
def test_mistakes_in_a_config(flags, sentence):
    with pytest.raises(UserError) as refused:
        config_of(*flags)
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [
        (["opt"], "--render has 'opt'; write FIELD=VALUE, such as opt=2400"),
        (["opt="], "--render has 'opt='; write FIELD=VALUE"),
        (["opt=1", "opt=2"], "--render gives opt twice; leave one out"),
    ],
)
def test_pairs_that_are_none(pairs, sentence):
    asked = flags.FlagValues()
    flags.DEFINE_list("render", pairs, "", flag_values=asked)
    with pytest.raises(UserError) as error:
        cli._pairs(asked, "render", "FIELD=VALUE, such as opt=2400")
    assert str(error.value).startswith(sentence)


def assert_refused(flags, sentence, **environment):
    """launch.py ends with code 1 and a last line that begins with `sentence`."""
    done = subprocess.run(
        [sys.executable, "launch.py", *flags],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith(sentence)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        (
            "AU_JAX_CACHE",
            "FILE",
            "error: the cache (AU_JAX_CACHE) cannot be used: FILE/xla: Not",
        ),
        (
            "JAX_PLATFORMS",
            "nope",
            "error: JAX_PLATFORMS=nope gives no device (Unable to",
        ),
        (
            "JAX_COORDINATOR_ADDRESS",
            "here",
            "error: JAX_COORDINATOR_ADDRESS=here is no address;",
        ),
    ],
)
def test_what_the_environment_names_is_checked(variable, value, sentence, tmp_path):
    file = tmp_path / "file"
    file.touch()
    value, sentence = (text.replace("FILE", str(file)) for text in (value, sentence))
    flags = "--config=configs/noisy_student.py", "--mode=benchmark", "--dry"
    workdir = f"--workdir={tmp_path / 'run'}"
    assert_refused([*flags, workdir], sentence, **{variable: value})


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (
            ["--config.optimizer.momentum=0.9"],
            "--config.optimizer.momentum has no effect: it counts only with another optimizer.name "
            "than adam",
        ),
        (
            ["--config.stages.teacher.optimizer.factor=0.5"],
            "--config.stages.teacher.optimizer.factor has no effect: it counts only with another "
            "optimizer.schedule than cosine",
        ),
        (["--config.augmentation.cutout_side=0.5"], "only with another augmentation.cutout than 0"),
        (
            ["--config.compare.steps=5"],
            "has no effect: it is for --mode=compare, and this is",
        ),
        (
            ["--config.data.folds=published"],
            "has no effect: there are no folds; set",
        ),
        (
            ["--config.data.name=disfa", "--config.data.synthetic.opt=50"],
            "--config.data.synthetic.opt has no effect: no stage reads synthetic_faces",
        ),
        (
            ["--config.order=teacher", "--config.stages.student.seed=3"],
            "--config.stages.student.seed has no effect: config.order leaves out the stage student",
        ),
        (
            ["--config.order=svm", "--config.train.epochs=3"],
            "--config.train.epochs has no effect: no stage of config.order has the section train",
        ),
        (
            [
                "--config.order=teacher_pose",
                "--config.stages.teacher_pose.train.epochs=3",
                "--config.train.times=2",
            ],
            "--config.train.times has no effect: every stage has its own; set --config.stages."
            "teacher_pose.train.times instead",
        ),
    ],
)
def test_a_flag_without_an_effect_is_refused(flags, sentence):
    with pytest.raises(UserError) as refused:
        config_of(NOISY_STUDENT, *flags)
    assert sentence in str(refused.value)


def test_a_flag_that_every_stage_overrides_names_those_to_set():
    """In the paper's variant every stage names its backbone."""
    with pytest.raises(UserError) as refused:
        config_of(f"{NOISY_STUDENT}:paper", "--config.model.backbone=ownnet1")
    assert str(refused.value).startswith(
        "--config.model.backbone has no effect: every stage has its own; set "
        "--config.stages.T0_expression.model.backbone instead, and those of T0_pose, T0_ownnet8_"
    )


def test_flags_with_an_effect_pass():
    config = config_of(
        NOISY_STUDENT,
        "--config.optimizer.name=sgd",
        "--config.optimizer.momentum=0.9",
        "--config.augmentation.cutout=0.5",
        "--config.augmentation.cutout_side=0.5",
        "--config.model.backbone=ownnet1",  # all but one stage inherit it
        "--config.stages.student.train.epochs=3",
    )
    assert config.optimizer.momentum == 0.9
    assert config.stages.student.train.epochs == 3
    config_of(NOISY_STUDENT, "--config.compare.steps=5", mode="compare")


def test_every_flag_says_which_modes_read_it():
    ours = {flag.name for flag in flags.FLAGS.flags_by_module_dict()[launch.__name__]}
    assert ours == {"mode", *launch.MODES}
    modes = {mode for reading in launch.MODES.values() for mode in reading.split(", ")}
    assert modes <= set(flags.FLAGS["mode"].help.removesuffix(".").split(", "))


def test_the_two_words_of_a_config_flag_are_one():
    assert config_of("--config", "configs/recot.py", "-config.seed=3").seed == 3
    assert config_of("-config.seed", "3", "--config", "configs/recot.py").seed == 3


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
                "JAX_COORDINATOR_ADDRESS": "localhost:1",
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


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_one_sentence_wherever_it_is_found(code, capsys):
    def write():
        raise OSError(code, "some words", "runs/a/file")

    with pytest.raises(SystemExit, match="1"):
        cli.dispatch({"run": write}, "run")
    sentence = f"error: cannot write runs/a/file: {os.strerror(code)}; free some space and give "
    assert capsys.readouterr().err.startswith(sentence)
