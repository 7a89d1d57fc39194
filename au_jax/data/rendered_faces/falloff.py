"""Soft steps, bells and waves: how paint fades and varies over the skin."""

import numpy as np
from numpy.typing import ArrayLike


def ramp(x: ArrayLike, start: float, end: float) -> np.ndarray:
    """A smooth step from 0 at `start` to 1 at `end`."""
    t = np.clip((np.asarray(x) - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


def bell(x: ArrayLike, centre: float, width: float) -> np.ndarray:
    """A Gaussian, 1 at its centre."""
    return np.exp(-(((np.asarray(x) - centre) / width) ** 2))


def waves(points: np.ndarray, frequency: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise in space, about -1 to 1; `frequency` in radians / cm."""
    directions = rng.normal(0, frequency, (5, 3)).astype(np.float32)
    phases = rng.uniform(0, 2 * np.pi, 5).astype(np.float32)
    return np.sin(points @ directions.T + phases).mean(-1)
