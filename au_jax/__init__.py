"""Facial action unit recognition in JAX and Flax.

A finished run predicts the action units (AUs) of new faces, with the networks, weights and
thresholds that it chose:

    import au_jax

    predictor = au_jax.load("runs/tal")
    predictor.crops  # {"closeup": 104}: what images to give, and their side in pixels
    prediction = predictor.predict(images)  # uint8 [N, H, W, 3], RGB
    prediction.probabilities["AU12"]  # float32 [N]
    prediction.decisions["AU12"]  # bool [N]

Networks are trained, selected and reported on by `launch.py`, from one of the files in `configs/`.
The subpackages that do it are, from the lowest level to the highest: `data`, `models` and `faces`;
`methods`, `training`, `ensemble`, `stages`, `prepare`, `report`, `benchmark`, `compare` and
`experiment`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from au_jax.ensemble.predictor import Predictor

__all__ = ["__version__", "load"]
__version__ = "0.1.0"


def load(run: str | Path, stage: str | None = None) -> Predictor:
    """Loads a finished run for prediction: `load(run).predict(images)`.

    Args:
      run: the run's workdir.
      stage: name of the finished stage whose selection predicts; a train stage predicts with its
        last epoch. When not given it is the last finished stage that selects or, where none does,
        the last one that trains.

    Returns:
      An `au_jax.ensemble.predictor.Predictor`.

    Raises:
      au_jax.errors.UserError: `run` is not a run's folder, has no such stage, or a checkpoint is
        missing or damaged.
    """
    # JAX and all the rest are imported only when they are needed.
    from au_jax.ensemble import predictor

    return predictor.load(run, stage)
