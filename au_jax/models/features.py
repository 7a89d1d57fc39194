"""What every backbone returns."""

from typing import NamedTuple

import jax


class Features(NamedTuple):
    """The feature maps and the pooled feature vector of a batch of images.

    Attributes:
      maps: [B, H_i, W_i, C_i] for each resolution stage, finest first, in the compute dtype; for
        necks such as an FPN.
      pooled: float32 [B, D], what heads and probes use.
    """

    maps: tuple[jax.Array, ...]
    pooled: jax.Array
