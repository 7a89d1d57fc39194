"""Fields of stages set on the command line: `--config.stages.NAME.[SECTION.]FIELD=VALUE`.

A stage's config holds only what it changes, so that most of its fields are not there to be set; the
type of each comes from the section at the top of the config or from the stage's own default.
"""

import ast
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from au_jax import methods, models
from au_jax.errors import UserError, unknown
from au_jax.experiment.resolve import SECTIONS, fields_of
from au_jax.stages import KINDS
from au_jax.stages.train import StreamConfig


def apply(config: ConfigDict, arguments: Sequence[str]) -> None:
    """Sets fields of stages.

    Args:
      arguments: NAME.[SECTION.]FIELD=VALUE, what stands behind `--config.stages.`.

    Raises:
      UserError: a stage or field is unknown, or a value is not of the field's type.
    """
    for argument in arguments:
        path, equals, text = argument.partition("=")
        if not equals:
            flag = f"--config.stages.{argument}"
            raise UserError(f"{flag} lacks a value; write {flag}=VALUE")
        name, *fields = path.split(".")
        if name not in config.stages:
            raise unknown("field of config.stages", name, config.stages)
        if not fields:
            raise UserError(f"config.stages.{name} is a stage; set one of its fields")
        with config.unlocked():
            _set(config, name, fields, text)


def _set(config: ConfigDict, name: str, fields: Sequence[str], text: str) -> None:
    """Sets the field at the path `fields` of the stage `name`, making the sections on the way."""
    stage = section = config.stages[name]
    where = f"config.stages.{name}"
    for depth, field in enumerate(fields):
        known = _known(config, stage, fields[:depth])
        if field not in known:
            raise unknown(f"field of {where}", field, known)
        where = f"{where}.{field}"
        if depth < len(fields) - 1:
            if field not in section:
                section[field] = ConfigDict()
            section = section[field]
    if field in SECTIONS or isinstance(known[field], Mapping):
        within = ", ".join(_known(config, stage, fields))
        raise UserError(f"{where} is a section; set one of its fields: {within}")
    section[field] = _typed(text, known[field], where)


def _known(config: ConfigDict, stage: ConfigDict, path: Sequence[str]) -> Mapping[str, Any]:
    """The fields at `path` of a stage, each with a value of its type, where it has one."""
    if not path:
        names = fields_of(stage.kind)
        defaults = {field.name: field.default for field in dataclasses.fields(KINDS[stage.kind])}
        return {"kind": "", **{name: defaults[name] for name in names}, **stage.to_dict()}
    if len(path) == 1 and path[0] in SECTIONS:
        return config[path[0]].to_dict()
    if len(path) == 2 and path[0] == "streams":
        defaults = {field.name: field.default for field in dataclasses.fields(StreamConfig)}
        return {**defaults, **stage.streams.to_dict().get(path[1], {})}
    if list(path) == ["model", "fields"]:
        changed = stage.get("model", ConfigDict())
        backbone = changed.get("backbone", config.model.backbone)
        return {**models.fields_of(backbone), **changed.get("fields", ConfigDict()).to_dict()}
    if list(path) == ["options"]:
        method = _known(config, stage, ())["method"]
        return {**methods.options_of(method), **stage.get("options", ConfigDict()).to_dict()}
    section: Any = stage.to_dict()
    for field in path:
        section = section.get(field, {}) if isinstance(section, Mapping) else {}
    return section if isinstance(section, Mapping) else {}


def _typed(text: str, like: Any, where: str) -> Any:
    """`text` as a value of the type of `like`."""
    if isinstance(like, str):
        return text
    if isinstance(like, tuple):
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = tuple(part.strip() for part in text.split(",") if part.strip())
        return tuple(value) if isinstance(value, (tuple, list)) else (value,)
    try:
        value = ast.literal_eval(text.capitalize() if text in ("true", "false") else text)
    except (ValueError, SyntaxError):
        value = text
    kinds: dict[type, Any] = {bool: bool, int: int, float: (int, float)}
    wanted = kinds.get(type(like))
    if wanted and (not isinstance(value, wanted) or isinstance(value, bool) != (wanted is bool)):
        raise UserError(f"--{where}={text} is not of the type {type(like).__name__}")
    return float(value) if isinstance(like, float) else value
