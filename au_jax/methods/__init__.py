"""Methods of training by name: one file per paper or rival, pure functions of an objective.

A method trains on arrays alone, without a config or a run's folder:

    import numpy as np
    import optax

    from au_jax import methods, sharding
    from au_jax.augment import Augment
    from au_jax.models.network_spec import NetworkSpec
    from au_jax.training.step import init_state, make_train_step

    aus = ("AU01", "AU12")
    context = methods.Context(
        aus=aus,
        network=NetworkSpec("ownnet1"),
        augmentation=Augment(image_size=32, flip=0.5),
        streams={"clean": methods.StreamFacts(records=64, share=8)},
        epochs=1,
        steps_per_epoch=2,
    )
    method = methods.create("supervised", context, {"selective_ratios": [0.3, 0.3]})
    mesh, optimizer = sharding.make_mesh(), optax.adam(1e-3)
    state = init_state(method, optimizer, seed=0, mesh=mesh)
    step = make_train_step(method, optimizer, mesh)
    random = np.random.default_rng(0)
    for _ in range(context.steps):
        stream = {
            "image": random.integers(0, 256, (8, 40, 40, 3), np.uint8),
            "labels": random.integers(-1, 2, (8, 2), np.int8),  # -1: unknown
            "pose": np.zeros((8, 3), np.float32),
        }
        state, logs = step(state, sharding.put_batch({"clean": stream}, mesh))
        print(float(logs["loss"]))
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from au_jax import allowed, outside
from au_jax.errors import UserError, unknown
from au_jax.methods import (
    bootstrapping,
    deep_co_training,
    distillation,
    emoco,
    face_pretraining,
    mean_teacher,
    mixup,
    mlcr,
    mlct,
    multi_label,
    multi_task,
    multi_view,
    noise_residual,
    recot,
    supervised,
)
from au_jax.methods.base import Context, Method, StreamFacts

METHODS: dict[str, Callable[..., Method]] = {
    "multi_task": multi_task.create,
    "multi_view": multi_view.create,
    "recot": recot.create,
    "supervised": supervised.create,
    "emoco": emoco.create,
    "moco": emoco.create_moco,
    "face_identity": face_pretraining.create_identity,
    "expression": face_pretraining.create_expression,
    "multi_label": multi_label.create,
    "bootstrapping": bootstrapping.create,
    "mixup": mixup.create,
    "distillation": distillation.create,
    "noise_residual": noise_residual.create,
    "mean_teacher": mean_teacher.create,
    "deep_co_training": deep_co_training.create,
    "mlcr": mlcr.create,
    "mlct": mlct.create,
}


def create(name: str, context: Context, options: Mapping[str, Any]) -> Method:
    """Returns the method called `name`.

    Args:
      name: one of `METHODS`, or `module:function` of a method outside this package: a function
        (context, *, option, ...) -> Method, as `create` of each module here is.
      options: JSON-able values of the function's keyword-only parameters.

    Raises:
      UserError: there is no such method; an option is unknown, missing or out of range.
    """
    known = options_of(name)
    for option in options:
        if option not in known:
            raise unknown(f"option of method {name}", option, known)
    missing = [o for o in known if known[o] is inspect.Parameter.empty and o not in options]
    if missing:
        raise UserError(f"method {name} lacks its options {', '.join(missing)}; give them")
    return _function(name)(context, **options)


def options_of(name: str) -> dict[str, Any]:
    """The options of the method called `name`, with their defaults; see `create`.

    An option without a default has `inspect.Parameter.empty`.
    """
    parameters = inspect.signature(_function(name)).parameters
    return {
        option: parameter.default
        for option, parameter in parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def allowed_options(name: str) -> dict[str, Any]:
    """What each option of the method called `name` may be, see `allowed`."""
    hints = allowed.hints_of(_function(name))
    return {option: hints.get(option, Any) for option in options_of(name)}


def _function(name: str) -> Callable[..., Method]:
    if ":" in name:
        return outside.resolve("method", name)
    if name not in METHODS:
        raise unknown("method", name, METHODS)
    return METHODS[name]


__all__ = ["METHODS", "Context", "Method", "StreamFacts", "allowed_options", "create", "options_of"]
