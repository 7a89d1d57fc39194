"""Every shipped config, every variant: stages read only earlier ones, and every network builds."""

import importlib
from pathlib import Path

import jax
import pytest
from ml_collections import ConfigDict

from au_jax.errors import UserError
from au_jax.experiment import Build
from au_jax.run_dir import RunFolder

CONFIGS = Path(__file__).parent.parent.parent / "configs"
VARIANTS = [
    (file.stem, variant)
    for file in sorted(CONFIGS.glob("*.py"))
    if file.stem not in ("base", "__init__")
    for variant in importlib.import_module(f"configs.{file.stem}").VARIANTS
]


def get_config(name: str, variant: str) -> ConfigDict:
    return importlib.import_module(f"configs.{name}").get_config(variant)


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_stages_read_only_what_ran_before(name, variant):
    config = get_config(name, variant)
    assert (config.name, config.variant) == (name, variant)
    assert len(set(config.order)) == len(config.order)
    assert set(config.order) == set(config.stages)
    done: set[str] = set()
    for stage_name in config.order:
        stage = config.stages[stage_name]
        reads = {*stage.get("inputs", ()), stage.get("teacher", ""), stage.get("start", "")}
        reads |= {s.labels for s in stage.get("streams", {}).values()}
        assert reads - {""} <= done, stage_name
        done.add(stage_name)


# Those whose networks are all in another variant: noisy_labels's in recot's.
TWICE = (("tal", "paper_ablation"), ("recot", "bp4d"), ("noisy_student", "control"))


@pytest.mark.parametrize(
    ("name", "variant"), [v for v in VARIANTS if v[0] != "noisy_labels" and v not in TWICE]
)
def test_every_kind_of_network_builds(name, variant, tiny_faces, data_dir):
    """With the config's own networks and sizes; shapes only."""
    config = get_config(name, variant)
    batches = {100} if name in ("tal", "recot") and config.data.name == "emotionet" else {16, 32}
    batches = {100} if variant in ("bp4d", "disfa") else batches
    config.data.name = "synthetic_faces"
    config.folds = 0
    config.data.synthetic.update(size=40, opt=48, noisy=40, test=24, seed=3)
    config.data.size = config.model.image_size + 8
    parts = Build(config, RunFolder(data_dir / "run"), data_dir)
    seen = set()
    for stage_name in config.order:
        stage = config.stages[stage_name]
        if stage.kind != "train":
            continue
        options = str(stage.options)
        kind = (stage.model.backbone, stage.group, len(stage.streams), stage.method, options)
        if kind in seen:
            continue
        seen.add(kind)
        for fields in stage.streams.values():
            labelled = fields.labels
            fields.labels, fields.soft, fields.split = "", False, fields.split.split("-")[0]
            fields.split = {"emotionet:noisy#50000": "noisy", "full": "opt"}.get(
                fields.split, fields.split.partition("#")[0]
            )
            if stage.group == "pose" and labelled:  # of which the noisy set has none of its own
                fields.split = "opt"
        stage.validate = ("opt-val",)
        stage.crop = {"box": "wide"}.get(stage.crop, stage.crop)
        stage.start = ""
        training, about = parts.training(parts._resolved(stage_name), parts.run.stage(stage_name))
        variables = jax.eval_shape(
            lambda key, m=training.method: m.kept(*m.init(key)), jax.random.PRNGKey(0)
        )
        assert jax.tree.leaves(variables["params"])
        assert training.method.aus == tuple(about.aus)
        assert sum(s.share for s in training.streams.values()) in batches
    assert seen


def test_every_stream_without_pseudo_labels_has_some_of_its_own(tiny_faces, data_dir):
    checked = 0
    for name, variant in VARIANTS:
        config = get_config(name, variant)
        if config.data.name != "synthetic_faces":
            continue
        config.data.synthetic.update(size=40, opt=48, noisy=40, test=24, seed=3)
        config.data.size = 40
        Build(config, RunFolder(data_dir / "run"), data_dir).check_streams()
        checked += 1
    assert checked > 10


def test_a_stage_inherits_what_it_does_not_set():
    config = get_config("noisy_student", "default")
    config.optimizer.momentum = 0.7
    config.stages.teacher.train.epochs = 5
    parts = Build(config, RunFolder(Path("nowhere")), Path("nowhere"))
    teacher, student = (parts._resolved(name) for name in ("teacher", "student"))
    assert (teacher.train.epochs, student.train.epochs) == (5, config.train.epochs)
    assert teacher.optimizer.momentum == student.optimizer.momentum == 0.7


def test_stages_of_another_seed_read_that_seed():
    config = get_config("noisy_student", "default")
    config.seeds = 2
    parts = Build(config, RunFolder(Path("nowhere")), Path("nowhere"))
    assert parts.names == [*config.order, *(f"{name}.seed1" for name in config.order)]
    first, second = (parts._resolved(name) for name in ("student", "student.seed1"))
    assert second.streams.noisy.labels == first.streams.noisy.labels + ".seed1"
    assert second.seed == first.seed + 1
    assert parts._resolved("T0.seed1").inputs == ("teacher.seed1", "teacher_pose.seed1")


def test_impossible_configs_are_refused():
    config = get_config("noisy_student", "default")
    config.order = (*config.order, "nothing")
    with pytest.raises(UserError, match=r"unknown stage in config\.order 'nothing'; known: T0,"):
        Build(config, RunFolder(Path("nowhere")), Path("nowhere"))
    config = get_config("noisy_student", "default")
    config.devices = 99
    with pytest.raises(UserError, match=r"--config\.devices=99, but this machine has 8"):
        Build(config, RunFolder(Path("nowhere")), Path("nowhere"))
    config = get_config("noisy_student", "default")
    config.optimizer.name = "lion"
    parts = Build(config, RunFolder(Path("nowhere")), Path("nowhere"))
    from au_jax.experiment import make_optimizer

    with pytest.raises(UserError, match=r"unknown optimizer\.name 'lion'; known: sgd, adam"):
        make_optimizer(parts._resolved("teacher").optimizer, 10)


def test_schedule_is_the_papers():
    config = get_config("noisy_student", "paper")
    parts = Build(config, RunFolder(Path("nowhere")), Path("nowhere"))
    from au_jax.experiment import make_optimizer

    stage = parts._resolved("T1_expression")
    assert stage.train.epochs * stage.train.steps_per_epoch == 500_000
    _, rate = make_optimizer(stage.optimizer, 500_000)
    rates = [float(rate(step)) for step in (0, 249_999, 250_001, 374_999, 375_001)]
    assert rates == pytest.approx([0.1, 0.1, 0.033, 0.033, 0.01089])
