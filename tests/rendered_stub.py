"""Rendered faces without a renderer: each picture is a pattern of its row's name.

A module of its own, as the processes that a preparation starts import it.
"""

import dataclasses
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from au_jax.data import crop_jpeg
from au_jax.prepare.readers import rendered_faces
from au_jax.prepare.readers.rows import RawSet, Row

READER = f"{__name__}:read"


class Patterns:
    """Opened once in each process; a file `interrupt` beside --data_dir interrupts it."""

    def __init__(self, work: Path):
        self._interrupt = work.parents[1] / "interrupt"
        self._left = 90

    def read(self, row: Row) -> tuple[np.ndarray, bytes]:
        self._left -= 1
        if self._interrupt.exists() and self._left < 0:
            raise KeyboardInterrupt
        seed = zlib.crc32(row.image.encode())
        image = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)
        data = crop_jpeg.encode(image)
        decoded = crop_jpeg.decode(data)
        assert decoded is not None
        return decoded, data


def read(raw: Path, render: Mapping[str, str] | None = None) -> RawSet:
    return dataclasses.replace(rendered_faces.read(raw, render=render), images=Patterns)
