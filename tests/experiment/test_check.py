"""Every field of every config is checked: what lies outside of its range is refused by name."""

import copy
import itertools
import math

import pytest
from bad_values import bad_values, declared
from ml_collections import ConfigDict
from shipped_configs import VARIANTS, get_config, leaves

from au_jax.compare.step import VARIANTS as COMPARED
from au_jax.errors import UserError
from au_jax.experiment.check import check
from au_jax.experiment.fields import TOP, tree_of
from au_jax.methods import METHODS
from au_jax.models import BACKBONES
from au_jax.stages import KINDS


def with_value(values: dict, path, value) -> ConfigDict:
    """A config with another value at `path`, sections on the way made."""
    changed = copy.deepcopy(values)
    section = changed
    for name in path[:-1]:
        section = section.setdefault(name, {})
    section[path[-1]] = value
    # Not ConfigDict(changed), which takes a mapping in the place of a value for a section.
    return ConfigDict(changed)


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_every_shipped_config_passes(name, variant):
    check(get_config(name, variant))


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_every_field_says_what_it_may_be(name, variant):
    values = get_config(name, variant).to_dict()
    bare = [".".join(path) for path, hint in leaves(tree_of(values)) if not declared(hint)]
    assert not bare


def only(values: dict, stage: str) -> dict:
    """The config with one stage alone."""
    return {**values, "stages": {stage: values["stages"][stage]}, "order": (stage,)}


def every_kind():
    """A config of one stage for every kind, and for every method of the training ones."""
    seen = set()
    for name, variant in VARIANTS:
        values = get_config(name, variant).to_dict()
        for stage, fields in values["stages"].items():
            kind = fields["kind"], fields.get("method", "")
            if kind not in seen:
                seen.add(kind)
                yield only(values, stage), stage


def test_all_kinds_and_methods_are_among_those_below():
    kinds = {(v["stages"][s]["kind"], v["stages"][s].get("method")) for v, s in every_kind()}
    assert {kind for kind, _ in kinds} == set(KINDS)
    assert {method or "multi_task" for kind, method in kinds if kind == "train"} == set(METHODS)


@pytest.mark.parametrize("name", [n for n in TOP if n not in ("stages", "quoted")])
def test_a_bad_value_at_the_top_is_refused(name):
    values = only(get_config("noisy_labels", "baseline").to_dict(), "baseline")
    tree, refused = tree_of(values)[name], 0
    for path, hint in leaves({name: tree}):
        for value in bad_values(hint):
            _is_refused(values, path, value)
            refused += 1
    assert refused


def test_a_bad_value_of_a_stage_is_refused():
    refused, sections = 0, set()
    for values, stage in every_kind():
        tree = tree_of(values)["stages"][stage]
        kind = values["stages"][stage]["kind"]
        for path, hint in leaves(tree):
            if path[0] in ("model", "optimizer", "augmentation", "train", "streams"):
                if (kind, path[0], path[-1]) in sections:
                    continue
                sections.add((kind, path[0], path[-1]))
            for value in bad_values(hint):
                _is_refused(values, ("stages", stage, *path), value)
                refused += 1
    assert refused > 1000


@pytest.mark.parametrize("backbone", [b for b in BACKBONES if not b.startswith("tiny")])
def test_a_bad_field_of_a_backbone_is_refused(backbone):
    values = only(get_config("noisy_labels", "baseline").to_dict(), "baseline")
    values["model"] = {**values["model"], "backbone": backbone, "fields": {}}
    for path, hint in leaves({"model": {"fields": tree_of(values)["model"]["fields"]}}):
        assert declared(hint), path
        for value in bad_values(hint):
            _is_refused(values, path, value)


def _is_refused(values, path, value):
    field = ".".join(path)
    try:
        config = with_value(values, path, value)
    except (TypeError, ValueError):  # ml_collections does not take it
        return
    with pytest.raises(UserError) as refused:
        check(config)
    sentence = str(refused.value)
    named = f"--config.{field}" in sentence or f"config.{field}" in sentence
    assert named, (field, value, sentence)
    assert "\n" not in sentence
    assert len(sentence) < 1000


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"model.dropout": 1.5}, "--config.model.dropout is 1.5; give a number from 0 to below 1"),
        (
            {"optimizer.learning_rate": -1.0},
            "--config.optimizer.learning_rate is -1.0; give a number above 0 and up to 100",
        ),
        ({"optimizer.learning_rate": math.nan}, "--config.optimizer.learning_rate is nan; give"),
        (
            {"augmentation.flip": 2.0},
            "--config.augmentation.flip is 2.0; give a number from 0 to 1",
        ),
        ({"augmentation.cutout_side": 5.0}, "--config.augmentation.cutout_side is 5.0; give"),
        (
            {"optimizer.boundaries": ("abc",)},
            "--config.optimizer.boundaries is ('abc',); give a tuple of values, each a",
        ),
        ({"checkpoint.keep": -1}, "--config.checkpoint.keep is -1; give a whole number from 1 to"),
        ({"train.epochs": 0}, "--config.train.epochs is 0; give a whole number from 1 to 100000"),
        ({"devices": -1}, "--config.devices is -1; give"),
        ({"data.size": -1}, "--config.data.size is -1; give a whole number from 0 to 2048"),
        (
            {"data.val_fraction": 0.0},
            "--config.data.val_fraction is 0.0; give a number above 0 and",
        ),
        ({"headline": "x"}, "--config.headline is 'x'; give one of final_score, f1"),
        ({"order": ()}, "--config.order is (); give a tuple of values, each a text written as"),
        ({"order": ("T0", "T0")}, "--config.order is ('T0', 'T0'); give"),
        ({"order": ("T0",)}, "config.stages.T0 reads teacher, which config.order does not have"),
        ({"model.backbone": "nope"}, "--config.model.backbone is 'nope'; give one of ownnet1, "),
        ({"model.backbone": "nope:f"}, "--config.model.backbone: backbone 'nope:f': there is no"),
        ({"data.name": "../up"}, "--config.data.name is '../up'; give a text written as the name"),
        (
            {"stages.teacher.options.damping": math.inf},
            "--config.stages.teacher.options.damping is inf; give a number from 0 to 1",
        ),
        (
            {"stages.teacher.options.label_smoothing": 2.0},
            "--config.stages.teacher.options.label_smoothing is 2.0; give a number from 0 to 1",
        ),
        (
            {"stages.teacher.streams.opt.share": 0},
            "--config.stages.teacher.streams.opt.share is 0; give a whole number from 1 to 100000",
        ),
        (
            {"stages.teacher.streams.opt.split": "opt#x"},
            "--config.stages.teacher.streams.opt.split is 'opt#x'; give a text written as a split",
        ),
        ({"stages.T0.inputs": ()}, "--config.stages.T0.inputs is (); give a tuple"),
        (
            {"stages.T0.inputs": ("nope",)},
            "unknown stage that config.stages.T0 reads 'nope'; known",
        ),
        (
            {"stages.final.against": ("teacher",)},
            "unknown selection in --config.stages.final.against 'teacher'; known: ",
        ),
        ({"stages.T0.score": "x"}, "--config.stages.T0.score is 'x'; give one of final_score, f1"),
        ({"stages.T0.windows": (2,)}, "--config.stages.T0.windows is (2,); give a tuple of values"),
        ({"stages.T0.kind": "selct"}, "--config.stages.T0.kind is 'selct'; give one of train, "),
        (
            {"stages.teacher.method": "multitask"},
            "--config.stages.teacher.method is 'multitask'; give one of multi_task, multi_view",
        ),
        (
            {"stages.teacher.epoch_stream": "noisy"},
            "unknown stream in --config.stages.teacher.epoch_stream 'noisy'; known: opt",
        ),
        (
            {"model.image_size": 64},
            "--config.model.image_size is 64, but pictures are read with --config.data.size=56",
        ),
        (
            {"augmentation.blur_smallest": 3.0, "augmentation.blur_largest": 2.0},
            "--config.augmentation.blur_smallest is 3.0, and blur_largest 2.0; give a smaller one",
        ),
        (
            {"train.accumulate": 0},
            "--config.train.accumulate is 0; give a whole number from 1 to 10000",
        ),
        (
            {"stages.teacher": 5},
            "--config.stages.teacher is 5, but it is a section; set its fields",
        ),
        ({"stages.teacher.model": 5}, "--config.stages.teacher.model is 5, but it is a section"),
        ({"stages.teacher.streams.opt": 5}, "--config.stages.teacher.streams.opt is 5, but it is"),
        ({"model": "x"}, "--config.model is 'x', but it is a section; set its fields"),
        ({"nonsense": 1}, "unknown field of config 'nonsense'; known: name, variant, seed,"),
        (
            {"optimizer.rate": 1.0},
            "unknown field of config.optimizer 'rate'; known: name, learning",
        ),
    ],
)
def test_examples_are_refused_with_their_sentence(flags, sentence):
    values = get_config().to_dict()
    for field, value in flags.items():
        values = with_value(values, field.split("."), value).to_dict()
    with pytest.raises(UserError) as refused:
        check(ConfigDict(values))
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize("name", TOP)
def test_a_config_without_a_part_is_refused(name):
    values = get_config().to_dict()
    del values[name]
    with pytest.raises(UserError, match=f"the config has no '{name}'; begin it with base.base"):
        check(ConfigDict(values))


def test_the_forms_of_pytorchs_step_are_those_that_there_are():
    (variants,) = [hint for path, hint in leaves({"compare": TOP["compare"]}) if "variants" in path]
    assert [v for v in bad_values(variants) if v in [(c,) for c in COMPARED]] == []
    config = get_config()
    config.compare.variants = tuple(COMPARED)
    check(config)


def test_values_at_their_bounds_pass():
    config = get_config()
    for path, value in itertools.chain.from_iterable(
        ((path, value) for value in values)
        for path, values in {
            "model.dropout": (0.0, math.nextafter(1, 0)),
            "augmentation.flip": (0, 0.0, 1.0),
            "optimizer.learning_rate": (math.nextafter(0, 1), 100.0),
            "train.epochs": (1, 100_000),
            "optimizer.boundaries": ((), [0.5], (0.25, 0.75)),
            "stages.teacher.start": ("", "runs/a:teacher@3"),
        }.items()
    ):
        check(with_value(config.to_dict(), path.split("."), value))
