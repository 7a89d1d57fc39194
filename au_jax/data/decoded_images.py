"""Decoded images of a small split, kept in memory from the first time that they are read."""

import math
import threading

import numpy as np

# Splits that take more than this, decoded, are read from the disk each time: 2 GiB are 57,000 crops
# of 112 pixels a side.
_MOST_BYTES = 2 * 2**30


class DecodedImages:
    """The images of the records of one split as far as they have been read, uint8 RGB.

    Any number of threads may use it. Another process begins with none.
    """

    def __init__(self, records: int):
        """Begins with none.

        Args:
          records: of the split.
        """
        self._is_kept = np.zeros(records, bool)
        self._images: np.ndarray | None = None
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple:
        return DecodedImages, (len(self._is_kept),)

    def has(self, rows: np.ndarray) -> np.ndarray:
        """Which of the records `rows` it has: bool [len(rows)]."""
        return self._is_kept[rows]

    def keep(self, rows: np.ndarray, images: np.ndarray) -> None:
        """Keeps the images uint8 [len(rows), H, W, 3] if those of the whole split are few enough.

        Images of another size than the first ones are not kept.
        """
        shape = (len(self._is_kept), *images.shape[1:])
        if math.prod(shape) > _MOST_BYTES:
            return
        with self._lock:
            if self._images is None:
                self._images = np.empty(shape, np.uint8)
        if self._images.shape == shape:
            self._images[rows] = images
            self._is_kept[rows] = True

    def take(self, rows: np.ndarray) -> np.ndarray:
        """The images of records that it has."""
        assert self._images is not None
        return self._images[rows]
