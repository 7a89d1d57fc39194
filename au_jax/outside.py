"""Functions and classes of a user's own modules, by their name `module:function`."""

import importlib
from typing import Any

from au_jax.errors import UserError


def resolve(kind: str, reference: str) -> Any:
    """The object that `reference`, "module:name", names.

    Args:
      kind: what it stands for, as a noun ("method"), for the error's sentence.

    Raises:
      UserError: the module cannot be found or has no such name.
    """
    module, _, name = reference.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise UserError(
            f"{kind} '{reference}' cannot be imported ({error}); put the module on PYTHONPATH"
        ) from error
    except AttributeError as error:
        raise UserError(
            f"{kind} '{reference}' does not exist: module {module} has no '{name}'"
        ) from error
