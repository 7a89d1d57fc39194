"""The check of weights that are read from files: a network with a NaN predicts nothing but NaN."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from au_jax.errors import UserError


def check(arrays: Iterable[tuple[str, Any]], where: object, mend: str) -> None:
    """Checks that all numbers are finite.

    Args:
      arrays: (name, array) of each, on the host or a device.
      where: the file or checkpoint that they are from.
      mend: what to do.

    Raises:
      UserError: one is not; names the first array in which.
    """
    for name, array in arrays:
        if not np.isfinite(np.asarray(array)).all():
            raise UserError(f"'{name}' of {where} holds NaN or infinite numbers; {mend}")
