"""Methods by name: one file per paper or rival, pure functions of a training objective."""

from collections.abc import Callable
from typing import Any

from au_jax.errors import known
from au_jax.methods import multi_task
from au_jax.methods.method import Method

METHODS: dict[str, Callable[..., Method]] = {"multi_task": multi_task.create}


def create(name: str, **spec: Any) -> Method:
    """Returns the method called `name`, from JSON-able values (see its `create`).

    Raises:
      UserError: there is no such method.
    """
    if name not in METHODS:
        raise known("method", name, METHODS)
    return METHODS[name](**spec)


__all__ = ["METHODS", "Method", "create"]
