"""Fields of a config set on the command line: `--config.[SECTION.]FIELD=VALUE`.

How a value is read follows from what its field may be (`experiment.fields`), not from what the
config holds: a stage's config holds only what it changes, so that most of its fields are not there.
"""

import ast
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from au_jax.allowed import parts
from au_jax.errors import UserError, unknown
from au_jax.experiment import fields


def apply(config: ConfigDict, arguments: Sequence[str]) -> None:
    """Sets fields; whether their values are allowed is not looked at.

    Args:
      arguments: [SECTION.]FIELD=VALUE, what stands behind `--config.`.

    Raises:
      UserError: a section, stage or field is unknown, or a value is missing.
    """
    for argument in arguments:
        path, equals, text = argument.partition("=")
        if not equals:
            flag = f"--config.{path}"
            raise UserError(f"{flag} lacks a value; write {flag}=VALUE")
        with config.unlocked():
            _set(config, path.split("."), text)


def _set(config: ConfigDict, path: Sequence[str], text: str) -> None:
    """Sets the field at `path`, making the sections on the way."""
    known: Any = fields.tree_of(config.to_dict())
    section, where = config, "config"
    for depth, field in enumerate(path):
        if not isinstance(known, dict) or field not in known:
            raise unknown(f"field of {where}", field, known if isinstance(known, dict) else ())
        known, where = known[field], f"{where}.{field}"
        if depth < len(path) - 1 and isinstance(known, dict):
            if field not in section:
                section[field] = ConfigDict()
            section = section[field]
    if isinstance(known, dict):
        within = ", ".join(known) or "none"
        raise UserError(f"{where} is a section; set one of its fields: {within}")
    with section.ignore_type():  # the check of the whole config has the better sentence
        section[path[-1]] = _typed(text, known)


def _typed(text: str, hint: Any) -> Any:
    """What is typed, as a value of the field's type where it can be read as one."""
    kinds = _kinds(hint)
    if str in kinds:
        return text
    try:
        value = ast.literal_eval(text.capitalize() if text in ("true", "false") else text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        value = text
    listed = any(_is_list(kind) for kind in kinds)
    if listed and isinstance(value, str):
        value = tuple(part.strip() for part in text.split(",") if part.strip())
    if listed and float not in kinds and not isinstance(value, tuple | list | Mapping):
        value = (value,)
    return _floats(value, kinds)


def _kinds(hint: Any) -> tuple[Any, ...]:
    """The types that a field may be of."""
    base, _ = parts(hint)
    if typing.get_origin(base) in (typing.Union, types.UnionType):
        return tuple(parts(one)[0] for one in typing.get_args(base))
    return (base,)


def _is_list(kind: Any) -> bool:
    origin = typing.get_origin(kind)
    return isinstance(origin, type) and issubclass(origin, Sequence)


def _floats(value: Any, kinds: tuple[Any, ...]) -> Any:
    """`value` with whole numbers as floats, where a field has numbers of any kind."""
    if isinstance(value, tuple | list):
        inner = [_kinds(typing.get_args(kind)[0]) for kind in kinds if _is_list(kind)]
        return tuple(_floats(entry, inner[0]) for entry in value) if inner else value
    if type(value) is int and float in kinds and int not in kinds and abs(value) < 2**53:
        return float(value)
    return value
