"""Methods by name: one file per paper or rival, pure functions of a training objective."""

from collections.abc import Callable
from typing import Any

from au_jax.errors import unknown
from au_jax.methods import (
    bootstrapping,
    deep_co_training,
    distillation,
    mean_teacher,
    mixup,
    mlcr,
    mlct,
    multi_task,
    multi_view,
    noise_residual,
    recot,
    supervised,
)
from au_jax.methods.base import Method

METHODS: dict[str, Callable[..., Method]] = {
    "multi_task": multi_task.create,
    "multi_view": multi_view.create,
    "recot": recot.create,
    "supervised": supervised.create,
    "bootstrapping": bootstrapping.create,
    "mixup": mixup.create,
    "distillation": distillation.create,
    "noise_residual": noise_residual.create,
    "mean_teacher": mean_teacher.create,
    "deep_co_training": deep_co_training.create,
    "mlcr": mlcr.create,
    "mlct": mlct.create,
}

# Methods that take only the pictures of the stream "noisy": it needs no labels.
WITHOUT_NOISY_LABELS = ("mean_teacher", "deep_co_training", "mlcr", "mlct")


def create(name: str, **spec: Any) -> Method:
    """Returns the method called `name`, from JSON-able values (see its `create`).

    Raises:
      UserError: there is no such method.
    """
    if name not in METHODS:
        raise unknown("method", name, METHODS)
    return METHODS[name](**spec)


__all__ = ["METHODS", "WITHOUT_NOISY_LABELS", "Method", "create"]
