"""What a method is created from: the context of a training stage, and the method's options."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from au_jax.augment import Augment
from au_jax.data.pipeline import Stream
from au_jax.methods import Context, StreamFacts
from au_jax.models.network_spec import NetworkSpec


def method_context(
    stage: ConfigDict, aus: Sequence[str], streams: Mapping[str, Stream], steps_per_epoch: int
) -> Context:
    """The context of a training stage, whose config is resolved, in JSON-able values."""
    model = stage.model
    return Context(
        aus=tuple(aus),
        network=NetworkSpec(
            backbone=model.backbone,
            precision=model.precision,
            dropout=model.dropout,
            pose_branch=model.pose_branch,
            fields={field: model[field] for field in ("padding", "bn_epsilon", "bn_momentum")},
            **_pose_statistics(streams[stage.epoch_stream].source.table.pose),
        ),
        augmentation=Augment(image_size=model.image_size, **stage.augmentation.to_dict()),
        streams={
            name: StreamFacts(
                len(stream.source), stream.share, stage.streams[name].head, *_balance(stream)
            )
            for name, stream in streams.items()
        },
        epochs=stage.train.epochs,
        steps_per_epoch=steps_per_epoch,
    )


def method_options(stage: ConfigDict) -> dict[str, Any]:
    """The options of the stage's method, JSON-able; those of multi_task stand in other sections."""
    options = {
        option: list(value) if isinstance(value, tuple) else value
        for option, value in stage.options.to_dict().items()
    }
    if stage.method == "multi_task":
        return {**stage.loss.to_dict(), "predict_head": stage.predict_head, **options}
    return options


def _balance(stream: Stream) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """How many known labels of each AU are present and absent; soft ones count in parts."""
    labels = stream.columns.get("soft", stream.source.table.labels).astype(np.float64)
    known = labels >= 0
    return tuple((labels * known).sum(0).tolist()), tuple(((1 - labels) * known).sum(0).tolist())


def _pose_statistics(pose: np.ndarray) -> dict[str, list[float]]:
    """Mean and spread of the known head angles, degrees; 0 and 1 where none is known."""
    known_rows = pose[~np.isnan(pose).any(1)]
    if not len(known_rows):
        return {"pose_mean": [0.0] * 3, "pose_std": [1.0] * 3}
    return {
        "pose_mean": known_rows.mean(0).tolist(),
        "pose_std": np.maximum(known_rows.std(0), 1e-3).tolist(),
    }
