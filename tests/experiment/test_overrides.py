"""Fields from the command line: every field can be set, and mistakes are named."""

import pytest

from au_jax.errors import UserError
from au_jax.experiment import overrides
from au_jax.experiment.check import check
from au_jax.experiment.resolve import resolve
from au_jax.stage_name import StageName
from configs import noisy_student, recot, tal


def applied(*arguments, config=noisy_student):
    changed = config.get_config()
    overrides.apply(changed, [f"stages.{argument}" for argument in arguments])
    return changed.stages


def test_fields_that_the_config_leaves_unset():
    stages = applied(
        "teacher.optimizer.learning_rate=1",
        "teacher.train.epochs=7",
        "teacher.model.padding=torch",
        "teacher.start=student",
        "teacher.validate=opt-val,test",
        "final.inputs=('teacher', 'student')",
        "final.epoch_rule=last",
        "student.streams.noisy.share=4",
        "student.streams.noisy.soft=true",
        "teacher.options.damping=0.75",
        "teacher.options.lambda_m=(2.0,)",
        "teacher.options.label_smoothing=0",
    )
    rate = stages.teacher.optimizer.learning_rate
    assert (rate, type(rate)) == (1.0, float)
    assert stages.teacher.train.epochs == 7
    assert stages.teacher.model.padding == "torch"
    assert stages.teacher.start == "student"
    assert stages.teacher.validate == ("opt-val", "test")
    assert stages.final.inputs == ("teacher", "student")
    assert stages.final.epoch_rule == "last"
    assert stages.student.streams.noisy.share == 4
    assert stages.student.streams.noisy.soft is True
    assert stages.teacher.options.damping == 0.75
    assert stages.teacher.options.lambda_m == (2.0,)
    assert type(stages.teacher.options.label_smoothing) is float


def test_a_field_that_only_the_backbone_knows():
    config = noisy_student.get_config()
    config.model.backbone = "iresnet18"
    config.model.fields = {"pyramid": True}
    overrides.apply(config, ["stages.teacher.model.fields.dropout=0.6"])
    teacher = resolve(config, StageName("teacher"))
    assert teacher.model["fields"] == {"pyramid": True, "dropout": 0.6}
    with pytest.raises(
        UserError, match=r"unknown field of .*model.fields 'neck'; known: .*pyramid"
    ):
        overrides.apply(config, ["stages.teacher.model.fields.neck=1"])


def test_fields_of_the_tops_backbone_are_not_those_of_a_stages_other_backbone():
    config = noisy_student.get_config()
    config.model.backbone = "iresnet18"
    config.model.fields = {"pyramid": True}
    overrides.apply(config, ["stages.teacher.model.backbone=efficientnet_b0"])
    assert resolve(config, StageName("teacher")).model["fields"] == {}
    overrides.apply(config, ["stages.teacher.model.fields.drop_path=0"])
    assert resolve(config, StageName("teacher")).model["fields"] == {"drop_path": 0.0}


def test_what_cannot_be_read_as_the_fields_type_stays_as_it_was_typed():
    stages = applied(
        "teacher.train.epochs=x", "teacher.train.times=1e400", "teacher.model.pose_branch=yes"
    )
    assert stages.teacher.train.to_dict() == {"epochs": "x", "times": float("inf")}
    assert stages.teacher.model.pose_branch == "yes"
    config = noisy_student.get_config()
    overrides.apply(config, ["stages.teacher.train.epochs=x"])
    with pytest.raises(UserError, match=r"train\.epochs is 'x'; give a whole number from 1 to"):
        check(config)


def test_numbers_and_lists_of_them():
    stages = applied(
        "teacher.augmentation.blur_largest=2", "teacher.optimizer.boundaries=0.5,1", "T0.windows=3"
    )
    blur = stages.teacher.augmentation.blur_largest
    assert (blur, type(blur)) == (2.0, float)
    assert stages.teacher.optimizer.boundaries == (0.5, 1.0)
    assert stages.T0.windows == (3,)
    many = applied("base_1.options.balance_alpha=(0, 1)", config=tal).base_1.options
    assert [type(alpha) for alpha in many.balance_alpha] == [float, float]


def test_lists_are_read_alike_wherever_they_stand():
    config = noisy_student.get_config()
    overrides.apply(config, ["order=teacher,svm", "stages.final.inputs=teacher,svm", "folds=3"])
    assert config.order == ("teacher", "svm") == config.stages.final.inputs
    overrides.apply(config, ["order=('svm',)", "train.epochs=x", "model.dropout=0"])
    assert config.order == ("svm",)
    assert (config.folds, type(config.model.dropout)) == (3, float)
    with pytest.raises(UserError, match=r"config\.train\.epochs is 'x'; give a whole number"):
        check(config)


def test_an_option_that_only_the_method_knows():
    assert applied("recot.options.gamma=0.5", config=recot).recot.options.gamma == 0.5


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("nope.kind=x", "unknown field of config.stages 'nope'; known: T0, final, fusion,"),
        ("teacher.crops=x", "unknown field of config.stages.teacher 'crops'; known: kind, streams"),
        (
            "teacher.optimizer.rate=1",
            r"unknown field of config.stages.teacher.optimizer 'rate'; known: .*learning_rate",
        ),
        (
            "teacher.options.mu=1",
            r"unknown field of config.stages.teacher.options 'mu'; known: .*damping",
        ),
        ("teacher.train.epochs.x=1", "unknown field of config.stages.teacher.train.epochs 'x'; kn"),
        ("teacher=5", "config.stages.teacher is a section; set one of its fields: kind, streams"),
        ("teacher.train=5", "config.stages.teacher.train is a section; set one of its fields: ep"),
        ("teacher.streams=5", "config.stages.teacher.streams is a section; .* fields: opt"),
        ("teacher.seed", "lacks a value; write --config.stages.teacher.seed=VALUE"),
    ],
)
def test_mistakes_are_named(argument, sentence):
    with pytest.raises(UserError, match=sentence):
        applied(argument)
