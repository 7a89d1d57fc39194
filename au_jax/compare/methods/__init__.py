"""The PyTorch counterparts of training methods, by the methods' names."""

from collections.abc import Callable, Mapping
from typing import Any

from au_jax import methods
from au_jax.compare.counterpart import Counterpart
from au_jax.compare.methods import (
    emoco,
    face_pretraining,
    mlcr,
    multi_label,
    multi_task,
    multi_view,
    recot,
    supervised,
)
from au_jax.errors import unknown
from au_jax.methods.base import Context

KNOWN: dict[str, Callable[..., Counterpart]] = {
    "multi_task": multi_task.create,
    "multi_view": multi_view.create,
    "recot": recot.create,
    "supervised": supervised.create,
    "emoco": emoco.create,
    "moco": emoco.create_moco,
    "face_identity": face_pretraining.create_identity,
    "expression": face_pretraining.create_expression,
    "multi_label": multi_label.create,
    "mlcr": mlcr.create,
}


def create(name: str, context: Context, options: Mapping[str, Any]) -> Counterpart:
    """Returns the counterpart of the method called `name`, untrained.

    Args:
      name: one of `KNOWN`.
      context, options: as `au_jax.methods.create` took them for the method itself, which refuses
        what is out of range.

    Raises:
      UserError: the method has no counterpart.
    """
    if name not in KNOWN:
        raise unknown("method with a PyTorch counterpart", name, KNOWN)
    return KNOWN[name](context, **{**methods.options_of(name), **options})


__all__ = ["KNOWN", "create"]
