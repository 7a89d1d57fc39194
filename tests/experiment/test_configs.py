"""Every shipped config, every variant: stages read only earlier ones, and every network builds."""

import dataclasses
import importlib
from pathlib import Path

import jax
import pytest
from ml_collections import ConfigDict
from shipped_configs import NAMES, VARIANTS, get_config

from au_jax.errors import UserError
from au_jax.experiment import workdir
from au_jax.experiment.recipe import Recipe
from au_jax.run_dir import RunFolder
from au_jax.stages.train import Train
from au_jax.training.optimizer import make_optimizer


def recipe_of(config: ConfigDict) -> Recipe:
    return Recipe(config, RunFolder(Path("nowhere")), Path("nowhere"))


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_stages_read_only_what_ran_before(name, variant):
    config = get_config(name, variant)
    assert (config.name, config.variant) == (name, variant)
    assert len(set(config.order)) == len(config.order)
    assert set(config.order) == set(config.stages)
    recipe, done = recipe_of(config), set()
    for stage_name in config.order:
        reads = set()
        recipe.stage(stage_name).renamed(lambda other, reads=reads: reads.add(other) or other)
        assert reads <= done, stage_name
        done.add(stage_name)


@pytest.mark.parametrize("name", NAMES)
def test_a_config_opens_with_its_command_and_what_to_expect(name):
    text = importlib.import_module(f"configs.{name}").__doc__
    assert f"python launch.py --config=configs/{name}.py" in text
    assert "(measured" in text
    assert "to expect" in text


# Those whose networks are all in another variant: noisy_labels's in recot's.
TWICE = (
    ("tal", "paper_ablation"),
    ("recot", "bp4d"),
    ("recot", "disfa"),
    ("recot", "emotionet_ablation"),
    ("recot", "emotionet_ablation_scratch"),
    ("noisy_student", "control"),
    ("emoco", "disfa"),
    ("emoco", "labels"),
    ("abaw3", "ladder"),
    ("abaw3", "paper_weights"),
)
# Examples of a step of the configs that are not small, where it has another number than 16 or 32.
BATCHES = {
    "tal": {100},
    "recot": {100},
    "emoco": {32, 64, 256},
    "abaw3": {24, 32, 48, 128, 254, 255, 256, 382},
}


@pytest.mark.parametrize(
    ("name", "variant"), [v for v in VARIANTS if v[0] != "noisy_labels" and v not in TWICE]
)
def test_every_kind_of_network_builds(name, variant, tiny_faces, data_dir):
    """With the config's own networks and sizes; shapes only."""
    config = get_config(name, variant)
    small = config.data.name == "synthetic_faces" and name not in ("emoco", "abaw3")
    batches = {16, 32, 64} if small else BATCHES.get(name, {16, 32})
    config.data.name = "synthetic_faces"
    config.folds = 0
    config.model.weights = ""
    config.data.synthetic.update(size=40, opt=48, noisy=40, test=24, seed=3, clips=0)
    config.data.size = config.model.image_size + 8
    recipe = Recipe(config, RunFolder(data_dir / "run"), data_dir)
    seen = set()
    for stage_name in config.order:
        stage = recipe.stage(stage_name)
        if not isinstance(stage, Train):
            continue
        backbone, options = stage.model["backbone"], str(stage.options)
        kind = (backbone, stage.group, len(stage.streams), stage.method, options)
        if kind in seen:
            continue
        seen.add(kind)
        crop = {"box": "wide", "five_point": "closeup", "arcface": "closeup"}.get(
            stage.crop, stage.crop
        )
        streams = {n: _on_drawn_faces(s, stage.group) for n, s in stage.streams.items()}
        stage = dataclasses.replace(
            stage, streams=streams, validate=stage.validate and ("opt-val",), crop=crop, start=""
        )
        training, card = stage.prepare(recipe.context(stage_name))
        variables = jax.eval_shape(
            lambda key, m=training.method: m.kept(*m.init(key)), jax.random.PRNGKey(0)
        )
        assert jax.tree.leaves(variables["params"])
        assert training.method.aus == tuple(card.aus)
        assert sum(s.share for s in training.streams.values()) in batches
    assert bool(seen) == any(stage.kind == "train" for stage in config.stages.values())


def _on_drawn_faces(fields: dict, group: str) -> dict:
    """A stream of a real data set, as one of the embedded set with labels of its own."""
    split = fields["split"].partition("%")[0]
    split = split.partition(":")[2] or split
    split = split.partition("#")[0]
    split = {"full": "opt", "train": "opt", "clips": "opt"}.get(split.partition("-")[0], split)
    if group == "pose" and fields.get("labels"):  # of which the noisy set has none of its own
        split = "opt"
    kept = {k: v for k, v in fields.items() if k != "balanced"}  # the tiny sets lack some AUs
    return {**kept, "labels": "", "soft": False, "split": split.partition("-")[0]}


def test_every_stream_without_pseudo_labels_has_some_of_its_own(tiny_faces, data_dir):
    checked = 0
    for name, variant in VARIANTS:
        config = get_config(name, variant)
        if config.data.name != "synthetic_faces":
            continue
        config.data.synthetic.update(size=40, opt=48, noisy=40, test=24, seed=3)
        if config.data.synthetic.clips:
            config.data.synthetic.update(clips=100, clip_frames=2)  # so that every AU is shown
        config.data.size = config.model.image_size = 40
        Recipe(config, RunFolder(data_dir / "run"), data_dir).check()
        checked += 1
    assert checked > 10


def test_a_stage_inherits_what_it_does_not_set():
    config = get_config("noisy_student", "default")
    config.optimizer.momentum = 0.7
    config.stages.teacher.train = {"epochs": 5}
    recipe = recipe_of(config)
    teacher, student = (recipe.stage(name) for name in ("teacher", "student"))
    assert (teacher.train["epochs"], student.train["epochs"]) == (5, config.train.epochs)
    assert teacher.optimizer["momentum"] == student.optimizer["momentum"] == 0.7


def test_what_follows_from_other_values_moves_with_them():
    config = get_config("noisy_student", "control")
    config.train.epochs = 2
    lengths = {
        name: recipe_of(config).stage(name).epochs_and_steps(records=0, share=1)
        for name in ("teacher", "teacher_on", "student_pose")
    }
    assert lengths == {"teacher": (2, 400), "teacher_on": (6, 400), "student_pose": (1, 400)}
    config.stages.student_pose.train.epochs = 20
    assert recipe_of(config).stage("student_pose").epochs_and_steps(0, 1) == (20, 400)
    config = get_config("noisy_student", "paper")
    stage = recipe_of(config).stage("T1_expression")
    assert stage.epochs_and_steps(records=0, share=1) == (50, 10_000)
    config.train.steps_per_epoch = 1000
    assert recipe_of(config).stage("T1_expression").epochs_and_steps(0, 1) == (500, 1000)


ASKING = {
    ("recot", "emotionet"),
    ("recot", "bp4d"),
    ("recot", "disfa"),
    ("recot", "emotionet_ablation"),
    ("tal", "paper"),
    ("tal", "paper_ablation"),
    ("noisy_student", "paper"),
}


@pytest.mark.parametrize(("name", "variant"), sorted(ASKING))
def test_paper_variants_ask_for_the_weights_that_the_paper_starts_from(name, variant):
    recipe = recipe_of(get_config(name, variant))
    stages = [recipe.stage(stage) for stage in recipe.config.order]
    asks = {s.model["backbone"]: s.model["weights"] for s in stages if isinstance(s, Train)}
    assert set(asks.values()) <= {"", "ask"}
    assert {b for b, weights in asks.items() if not weights} == {b for b in asks if "own" in b}


def test_no_other_variant_asks_for_weights():
    for name, variant in VARIANTS:
        if (name, variant) not in ASKING:
            config = get_config(name, variant)
            assert config.model.weights != "ask", (name, variant)


@pytest.mark.parametrize("variant", ["emotionet", "emotionet_ablation", "bp4d", "disfa"])
def test_all_methods_of_a_paper_table_train_for_as_many_steps(variant):
    config = get_config("recot", variant)
    steps = set()
    for name in config.order:
        stage = recipe_of(config).stage(name)
        if isinstance(stage, Train):
            lead = stage.streams[stage.epoch_stream]
            epochs, each = stage.epochs_and_steps(15_000, lead["share"])
            steps.add(epochs * each)
    assert steps == {config.train.epochs * 300}


@pytest.mark.parametrize(
    ("variant", "weight"), [("table", 0.3), ("emotionet", 1.0), ("bp4d", 1.0), ("disfa", 1.0)]
)
def test_noisy_labels_weigh_less_in_the_small_trainings_alone(variant, weight):
    stages = get_config("recot", variant).stages
    assert stages.recot.options.lambda_n == weight
    assert stages.nr.options.noisy_weight == weight
    # The papers' own are the methods' defaults.
    agreeing = ("mlcr", "lambda_cr"), ("cot_2018", "agreement_weight")
    assert all((option in stages[name].options) == (weight < 1) for name, option in agreeing)


def test_a_workdir_keeps_what_the_config_sets_and_no_more():
    kept = workdir.fields_of(get_config("noisy_student", "default"))
    assert None not in kept.values()
    assert kept["stages.student.streams.noisy.labels"] == "labels_teacher"
    assert "stages.student.optimizer.learning_rate" not in kept
    assert len(kept) < 220


def test_stages_of_another_seed_read_that_seed():
    config = get_config("noisy_student", "default")
    config.seeds = 2
    recipe = recipe_of(config)
    assert recipe.names == [*config.order, *(f"{name}.seed1" for name in config.order)]
    second = recipe.stage("student.seed1")
    assert second.streams["noisy"]["labels"] == "labels_teacher.seed1"
    assert recipe.context("student.seed1").seed == recipe.context("student").seed + 1
    assert recipe.stage("T0.seed1").inputs == ("teacher.seed1", "teacher_pose.seed1")


def _misnamed_order(config):
    config.order = (*config.order, "nothing")


def _too_many_devices(config):
    config.devices = 99


def _unknown_kind(config):
    config.stages.teacher.kind = "trian"


def _unknown_field(config):
    config.stages.teacher.crops = "closeup"


def _unknown_field_of_a_section(config):
    config.stages.teacher.optimizer = {"rate": 1.0}


def _misnamed_stream_field(config):
    config.stages.teacher.streams.opt.shares = 4


def _missing_field(config):
    del config.stages.teacher["crop"]


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        (_misnamed_order, r"unknown stage in config\.order 'nothing'; known: T0,"),
        (_too_many_devices, r"--config\.devices=99, but this machine has 8"),
        (
            _unknown_kind,
            r"--config\.stages\.teacher\.kind is 'trian'; give one of train, pseudo_label,",
        ),
        (_unknown_field, r"unknown field of config\.stages\.teacher 'crops'; known: kind,"),
        (
            _unknown_field_of_a_section,
            r"unknown field of config\.stages\.teacher\.optimizer 'rate'; known: .*learning_rate",
        ),
        (
            _misnamed_stream_field,
            r"unknown field of config\.stages\.teacher\.streams\.opt 'shares'; known: split,",
        ),
        (_missing_field, r"config\.stages\.teacher lacks the fields crop"),
    ],
)
def test_impossible_configs_are_refused(mistake, sentence):
    config = get_config("noisy_student", "default")
    mistake(config)
    with pytest.raises(UserError, match=sentence):
        recipe_of(config).stage("teacher")


def test_schedule_is_the_papers():
    stage = recipe_of(get_config("noisy_student", "paper")).stage("T1_expression")
    epochs, steps = stage.epochs_and_steps(0, 1)
    assert epochs * steps == 500_000
    _, rate = make_optimizer(**stage.optimizer, steps=500_000)
    rates = [float(rate(step)) for step in (0, 249_999, 250_001, 374_999, 375_001)]
    assert rates == pytest.approx([0.1, 0.1, 0.033, 0.033, 0.01089])
    pose = recipe_of(get_config("noisy_student", "paper")).stage("T1_pose")
    assert pose.optimizer["learning_rate"] == 0.01


def test_unknown_optimizers_are_refused():
    fields = dict(get_config("noisy_student", "default").optimizer)
    with pytest.raises(UserError, match=r"unknown optimizer\.name 'lion'; known: sgd, adam"):
        make_optimizer(**{**fields, "name": "lion"}, steps=10)
    with pytest.raises(UserError, match=r"unknown optimizer\.schedule 'x'; known: steps, cosine"):
        make_optimizer(**{**fields, "schedule": "x"}, steps=10)
