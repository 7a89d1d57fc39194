"""Names of functions that live outside the package, written `module:function`."""

import importlib
from typing import Any

from au_jax.errors import UserError


def resolve(kind: str, reference: str) -> Any:
    """Returns the function (or class) that `reference` names, importing its module.

    Args:
      kind: what the function makes, as a noun for the error ("backbone", "method").
      reference: `module:function`, such as "my_package.nets:tiny"; the module must be importable.

    Raises:
      UserError: `reference` is not written so, there is no such module, or it has no such function.
    """
    module_name, _, function_name = reference.partition(":")
    parts = (*module_name.split("."), function_name)
    if not all(part.isidentifier() for part in parts):
        raise UserError(
            f"{kind} '{reference}' does not name a function; write it as my_package.my_module:"
            "my_function"
        )
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # A module that exists but lacks one of its own imports is a fault to be shown whole.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise UserError(
            f"{kind} '{reference}': there is no module '{error.name}'; install it, or put its "
            "folder on PYTHONPATH"
        ) from None
    function = getattr(module, function_name, None)
    if not callable(function):
        raise UserError(
            f"{kind} '{reference}': the module '{module_name}' has no function '{function_name}'; "
            "give the name of one that it defines"
        )
    return function
