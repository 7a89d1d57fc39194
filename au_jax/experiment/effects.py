"""Flags without an effect: `--config.FIELD=VALUE` that nothing of the run would read is refused.

A stage's own field wins over the one at the top of the config, so that a flag for the latter may
reach no stage at all; other fields count only where another one has a certain value.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from au_jax.data import datasets
from au_jax.data.split_name import SplitName
from au_jax.errors import UserError
from au_jax.experiment.resolve import SECTIONS, fields_of, resolve
from au_jax.stage_name import StageName

# {field of a section: (the field that it depends on, whether it counts with a value of that one)}.
_DEPENDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "optimizer.momentum": ("optimizer.name", lambda name: name == "sgd"),
    "optimizer.boundaries": ("optimizer.schedule", lambda schedule: schedule == "steps"),
    "optimizer.factor": ("optimizer.schedule", lambda schedule: schedule == "steps"),
    "augmentation.resized_crop_smallest": ("augmentation.resized_crop", bool),
    "augmentation.resized_crop_aspect": ("augmentation.resized_crop", bool),
    "augmentation.blur_smallest": ("augmentation.blur", bool),
    "augmentation.blur_largest": ("augmentation.blur", bool),
    "augmentation.downsample_smallest": ("augmentation.downsample", bool),
    "augmentation.cutout_side": ("augmentation.cutout", bool),
    "train.epochs": ("train.steps", lambda steps: not steps),
    "train.times": ("train.steps", lambda steps: not steps),
}


def check_given(config: ConfigDict, given: Sequence[str], mode: str) -> None:
    """Finds the first flag that changes nothing.

    Args:
      config: with all flags applied, and checked.
      given: the fields that the command line sets, without the `config.` in front.

    Raises:
      UserError: one of them has no effect; the sentence says why, and what to set instead.
    """
    stages = {name: vars(resolve(config, StageName(name))) for name in config.order}
    for field in given:
        reason = _without_effect(config, stages, field, mode)
        if reason:
            raise UserError(f"--config.{field} has no effect: {reason}")


def _without_effect(
    config: ConfigDict, stages: Mapping[str, Mapping[str, Any]], field: str, mode: str
) -> str:
    """Why a field has no effect, "" where it has one."""
    first, *rest = field.split(".")
    if first == "compare" and mode != "compare":
        return f"it is for --mode=compare, and this is --mode={mode}; leave it out"
    if first == "stages":
        name, *of_stage = rest
        if name not in stages:
            return f"config.order leaves out the stage {name}; leave the flag out, too"
        return _dependent({name: stages[name]}, ".".join(of_stage))
    if first in SECTIONS:
        return _of_section(config, stages, first, rest) or _dependent(stages, field)
    if first == "data":
        return _of_data(config, stages, field)
    return ""


def _of_section(
    config: ConfigDict, stages: Mapping[str, Any], section: str, path: Sequence[str]
) -> str:
    """Why the field at `path` of a section at the top reaches no stage."""
    having = [name for name in stages if section in fields_of(config.stages[name].kind)]
    if not having:
        return f"no stage of config.order has the section {section}; leave it out"
    own = [name for name in having if _sets_own(config, name, section, path)]
    if len(own) < len(having):
        return ""
    field = ".".join((section, *path))
    others = f", and those of {_listed(own[1:])}" if own[1:] else ""
    return f"every stage has its own; set --config.stages.{own[0]}.{field} instead{others}"


def _sets_own(config: ConfigDict, name: str, section: str, path: Sequence[str]) -> bool:
    """Whether a stage does not inherit the field at `path` of a section."""
    changed = config.stages[name].get(section, ConfigDict()).to_dict()
    if path[:1] == ["times"] and "epochs" in changed:
        return True
    if path[:1] == ["fields"] and changed.get("backbone", config.model.backbone) != (
        config.model.backbone
    ):
        return True
    for field in path:
        if field not in changed:
            return False
        changed = changed[field]
    return True


def _dependent(stages: Mapping[str, Mapping[str, Any]], field: str) -> str:
    """Why a field of a section counts in none of the stages, which all have it or inherit it."""
    if field not in _DEPENDS:
        return ""
    other, counts = _DEPENDS[field]
    section, name = other.split(".")
    values = {of[section][name]: stage for stage, of in stages.items() if section in of}
    if any(map(counts, values)):
        return ""
    return f"it counts only with another {other} than {_listed(values)}"


def _listed(names: Collection[Any], most: int = 5) -> str:
    text = ", ".join(map(str, [*names][:most]))
    return f"{text} and {len(names) - most} more" if len(names) > most else text


def _of_data(config: ConfigDict, stages: Mapping[str, Any], field: str) -> str:
    if field.startswith("data.synthetic."):
        others = {SplitName.parse(split).data or config.data.name for split in _splits(stages)}
        if datasets.EMBEDDED not in others:
            return f"no stage reads {datasets.EMBEDDED}; leave it out, or set --config.data.name"
    if field == "data.folds" and not config.folds:
        return "there are no folds; set --config.folds to their number, too"
    return ""


def _splits(stages: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The splits that the stages read."""
    for stage in stages.values():
        if "split" in stage:
            yield stage["split"]
        for several in ("splits", "validate", "test"):
            yield from stage.get(several, ())
        for stream in stage.get("streams", {}).values():
            yield stream["split"]
