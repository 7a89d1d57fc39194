"""The features that every backbone returns."""

from typing import NamedTuple

from jaxtyping import Array, Float


class Features(NamedTuple):
    """The feature maps and the pooled feature vector of a batch of images.

    Attributes:
      maps: one for each resolution, finest first, in the compute dtype; for necks such as an FPN.
      pooled: what heads and probes use, float32.
    """

    maps: tuple[Float[Array, "B H W C"], ...]
    pooled: Float[Array, "B D"]
