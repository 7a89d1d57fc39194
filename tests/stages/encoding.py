"""Encode and linear_probe stages on the drawn faces, for tests of both."""

import dataclasses

import numpy as np

from au_jax import sharding
from au_jax.data.splits import Splits
from au_jax.run_dir import RunFolder
from au_jax.stages.base import StageContext
from au_jax.stages.encode import Encode

PIXELS = 32
MODEL = {
    "backbone": "tiny",
    "image_size": PIXELS,
    "precision": "float32",
    "remat": False,
    "dropout": 0.0,
    "pose_branch": True,
    "weights": "",
    "fields": {},
    **dict.fromkeys(("padding", "bn_epsilon", "bn_momentum", "image_mean", "image_std")),
}


def make_context(tiny_faces, path, stage, *, seed=0, devices=1, change=lambda source: source):
    """The context of `stage` in the run in `path`; `change` is made to every source."""
    run = RunFolder(path)
    splits = Splits(lambda name: tiny_faces, 0.25, 0)
    return StageContext(
        folder=run.stage(stage),
        seed=seed,
        data="synthetic_faces",
        source=lambda split, crop: change(splits.open(split, crop)),
        truth=lambda split: None,
        input=run.stage,
        voters=lambda names: [],
        mesh=sharding.make_mesh(devices),
        threads=2,
        keep=1,
    )


def encode(tiny_faces, path, *splits, stage="encode", fields=None, **changes):
    """Runs an encode stage; returns its context."""
    context = make_context(tiny_faces, path, stage, **changes)
    Encode(**{"splits": splits, "crop": "wide", "model": MODEL, **(fields or {})}).run(context)
    return context


def with_table(source, **columns):
    """`source` with other columns of its table."""
    return dataclasses.replace(source, table=dataclasses.replace(source.table, **columns))


def all_images(source):
    return source.images(np.arange(len(source)))
