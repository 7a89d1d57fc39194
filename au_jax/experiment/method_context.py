"""What a method is created from: its options in the config, and what the data say."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from au_jax import losses, methods
from au_jax.data.pipeline import Stream
from au_jax.errors import UserError, unknown


def method_spec(
    stage: ConfigDict, name: str, names: Sequence[str], streams: Mapping[str, Stream], steps: int
) -> dict[str, Any]:
    """What the `create` of the stage's method asks for, by name, in JSON-able values.

    Args:
      name: of the stage. names: of its AUs. steps: of the whole training.

    Raises:
      UserError: an option of the stage is none of the method's, or one is missing.
    """
    model, lead = stage.model, streams[stage.epoch_stream].source
    found: dict[str, Callable[[], Any]] = {
        "aus": lambda: list(names),
        "network": lambda: {
            "backbone": model.backbone,
            "precision": model.precision,
            "dropout": model.dropout,
            "pose_branch": model.pose_branch,
            **_pose_statistics(lead.table.pose),
            "fields": {field: model[field] for field in ("padding", "bn_epsilon", "bn_momentum")},
        },
        "image_size": lambda: model.image_size,
        "augmentation": stage.augmentation.to_dict,
        "streams": lambda: list(streams),
        "heads": lambda: {stream: fields.head for stream, fields in stage.streams.items()},
        "predict_head": lambda: stage.predict_head,
        "class_weights": lambda: {
            stream: losses.damped_class_weights(*_balance(s), stage.loss.damping).tolist()
            for stream, s in streams.items()
        },
        "label_smoothing": lambda: stage.loss.label_smoothing,
        "epochs": lambda: stage.train.epochs,
        "ramp_up_steps": lambda: steps // 5,  # ours
        "noisy_records": lambda: len(streams["noisy"].source) if "noisy" in streams else 0,
    }
    if stage.method not in methods.METHODS:
        raise unknown(f"method of stage {name}", stage.method, methods.METHODS)
    asked = inspect.signature(methods.METHODS[stage.method]).parameters
    for option in stage.options:
        if option not in asked or option in found:
            options = [own for own in asked if own not in found]
            raise unknown(f"option of stage {name}", option, options)
    options = stage.options.to_dict()
    missing = [own for own in asked if own not in found and own not in options]
    if missing:
        raise UserError(
            f"stage {name} lacks the options {', '.join(missing)} of its method {stage.method}"
        )
    return {own: found[own]() if own in found else _plain(options[own]) for own in asked}


def _balance(stream: Stream) -> tuple[np.ndarray, np.ndarray]:
    """How many known labels of each AU are present and absent, float64 [A]; soft ones in parts."""
    labels = stream.columns.get("soft", stream.source.table.labels).astype(np.float64)
    known_ones = labels >= 0
    return (labels * known_ones).sum(0), ((1 - labels) * known_ones).sum(0)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _pose_statistics(pose: np.ndarray) -> dict[str, list[float]]:
    """Mean and spread of the known head angles, degrees; 0 and 1 where none is known."""
    known_rows = pose[~np.isnan(pose).any(1)]
    if not len(known_rows):
        return {"pose_mean": [0.0] * 3, "pose_std": [1.0] * 3}
    return {
        "pose_mean": known_rows.mean(0).tolist(),
        "pose_std": np.maximum(known_rows.std(0), 1e-3).tolist(),
    }
