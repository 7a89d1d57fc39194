"""Facial action unit recognition in JAX."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from au_jax.ensemble.predictor import Predictor

__version__ = "0.1.0"


def load(run: str | Path, stage: str | None = None) -> Predictor:
    """Loads a finished run for prediction: `load(run).predict(images)`; see `predictor.load`."""
    from au_jax.ensemble import predictor  # JAX and all the rest load only when they are needed

    return predictor.load(run, stage)
