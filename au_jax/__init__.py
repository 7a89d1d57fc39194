"""Facial action unit recognition in JAX and Flax.

A finished run predicts the action units (AUs) of new faces, with the networks, weights and
thresholds that it chose:

    import au_jax

    model = au_jax.load("runs/tal")
    faces = model.predict("photo.jpg")  # or "video.mp4", "folder", a list of paths or of arrays
    faces.probabilities["AU12"]  # float32 [N], one for each face
    faces.decisions["AU12"]  # bool [N], at the threshold that the run chose
    faces.box  # float32 [N, 4]: left, top, width, height in pixels; faces.pose: three angles
    faces.to_pandas()  # the columns of `--mode=predict`, where pandas is installed

A generator of frames, uint8 [H, W, 3] in RGB, is a video. Faces that are cut out already, as
`--mode=prepare` cuts them, are given as uint8 [N, side, side, 3] of the crops that `model.crops`
names.

Networks are trained, selected and reported on by `launch.py`, from one of the files in `configs/`.
The subpackages that do it are, from the lowest level to the highest: `data`, `models` and `faces`;
`methods`, `training`, `ensemble`, `report`, `stages`, `prepare`, `benchmark`, `predict`, `export`,
`compare`, `serve` and `experiment`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from au_jax.predict.model import Model

__all__ = ["__version__", "load"]
__version__ = "0.1.0"


def load(run: str | Path, stage: str | None = None) -> Model:
    """Loads a finished run for prediction: `load(run).predict("photo.jpg")`.

    Args:
      run: the run's workdir; or a folder that `--mode=export` made of it, which predicts the same
        bits and needs the run no longer; or "starter", the model that ships with the package.
      stage: name of the finished stage whose selection predicts; a train stage predicts with its
        last epoch. When not given it is the last finished stage that selects or, where none does,
        the last one that trains. An exported folder has one selection, and no stages.

    Returns:
      An `au_jax.predict.model.Model`.

    Raises:
      au_jax.errors.UserError: `run` is neither, has no such stage, or a checkpoint is missing or
        damaged.
    """
    # JAX and all the rest are imported only when they are needed.
    from au_jax.predict import model

    return model.load(run, stage)
