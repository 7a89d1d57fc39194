"""The check of a config before anything is drawn, written or trained: every value, all stages.

Every value is held against what its field may be (`experiment.fields`), then what must hold between
several fields. What only data can tell is found when they are opened (`Recipe.check`).
"""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from au_jax.data import datasets
from au_jax.errors import UserError, unknown
from au_jax.experiment.fields import TOP, Tree, require, section, tree_of
from au_jax.experiment.resolve import resolve
from au_jax.stage_name import StageName
from au_jax.stages import Stage
from au_jax.stages.select import Select
from au_jax.stages.train import Train


def check(config: ConfigDict) -> None:
    """Finds the first field of a config that is not what it may be.

    Raises:
      UserError: a value is not allowed, a field is unknown or missing, or two of them contradict
        each other. The sentence names the field as the command line has it, `--config.FIELD`.
    """
    values = config.to_dict()
    for name, hint in TOP.items():
        if name not in values:
            raise UserError(
                f"the config has no '{name}'; begin it with base.base() of configs/base.py"
            )
        if isinstance(hint, dict):
            section(values, name, name)
    section(values, "quoted", "quoted")
    _check_section(values, tree_of(values), "")
    _check_sizes(values, "")
    _check_order(values["order"], values["stages"])
    read: set[str] = set()
    for name in values["order"]:
        _check_stage(config, name, read)
        read.add(name)


def _check_section(values: Mapping[str, Any], tree: Tree, path: str) -> None:
    for name, value in values.items():
        if name not in tree:
            raise unknown(f"field of config{path and '.'}{path.removesuffix('.')}", name, tree)
        if isinstance(tree[name], dict):
            _check_section(section(values, name, path + name), tree[name], f"{path}{name}.")
        else:
            require(value, tree[name], path + name)


def _check_order(order: tuple[str, ...], stages: Mapping[str, Any]) -> None:
    for name in order:
        if name not in stages:
            raise unknown("stage in config.order", name, stages)


def _check_stage(config: ConfigDict, name: str, earlier: set[str]) -> None:
    """What must hold between the fields of one stage, with those that it inherits."""
    stage = resolve(config, StageName(name))
    for other in stages_read(stage):
        if other not in config.stages:
            raise unknown(f"stage that config.stages.{name} reads", other, config.stages)
        if other not in earlier:
            raise UserError(
                f"config.stages.{name} reads {other}, which config.order does not have before it; "
                "put it first"
            )
    if isinstance(stage, Select):
        rows = [other for other, of in config.stages.items() if of.kind == "select"]
        for other in stage.against:
            if other not in rows:
                raise unknown(f"selection in --config.stages.{name}.against", other, rows)
    if not isinstance(stage, Train):
        return
    if stage.epoch_stream not in stage.streams:
        raise unknown(
            f"stream in --config.stages.{name}.epoch_stream", stage.epoch_stream, stage.streams
        )
    _check_sizes({"data": config.data.to_dict(), **vars(stage)}, f"stages.{name}.")


def stages_read(stage: Stage) -> list[str]:
    """The names of the stages that a stage reads."""
    names: list[str] = []

    def note(name: str) -> str:
        names.append(name)
        return name

    stage.renamed(note)
    return names


def _check_sizes(fields: Mapping[str, Any], path: str) -> None:
    """That what is cut from a picture fits into it, and that ranges are not upside down."""
    blur = [fields["augmentation"][f"blur_{end}"] for end in ("smallest", "largest")]
    if None not in blur and blur[0] > blur[1]:
        raise UserError(
            f"--config.{path}augmentation.blur_smallest is {blur[0]}, and blur_largest {blur[1]}; "
            "give a smaller one"
        )
    data, size = fields["data"], fields["model"]["image_size"]
    drawn = data["synthetic"]["size"] if data["name"] == datasets.EMBEDDED else 0
    stored = data["size"] or drawn
    if stored and size > stored:
        field = "data.size" if data["size"] else "data.synthetic.size"
        raise UserError(
            f"--config.{path}model.image_size is {size}, but pictures are read with "
            f"--config.{field}={stored} pixels a side; give at most that"
        )
