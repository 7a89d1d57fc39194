"""A graph convolution over AUs, whose edges are how much the AUs' labels depend on each other.

Niu et al., "Multi-Label Co-Regularization for Semi-Supervised Facial Action Unit Recognition"
(NeurIPS 2019, https://arxiv.org/abs/1910.11012), as its released code has it
(https://github.com/nxsEdson/MLCR). The layers are those of Kipf and Welling
(https://arxiv.org/abs/1609.02907).
"""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32

_SLOPE = 0.2
# Uniform up to the inverse root of the number of outputs.
_kernel_init = nn.initializers.variance_scaling(1 / 3, "fan_out", "uniform")


def adjacency(
    dependencies: Sequence[Sequence[float]], count: int
) -> Float32[np.ndarray, "aus aus"]:
    """What each AU (row) takes of each AU (column): D^-1/2 |R|^T D^-1/2, D the row sums of |R|.

    R is not symmetric, and the released code transposes it. Nothing is cut off by a threshold.

    Args:
      dependencies: R, `data.label_dependence.dependencies` of the labels that are learned; empty
        where they were not counted, so that no AU has a neighbour.
      count: the number of AUs, A.

    Returns:
      float32 [A, A].
    """
    strength = np.abs(np.asarray(dependencies or np.eye(count), np.float64))
    scale = strength.sum(1) ** -0.5
    return (scale[:, None] * strength.T * scale).astype(np.float32)


class AUGraph(nn.Module):
    """Two graph convolutions without biases, a leaky ReLU of slope 0.2 between them."""

    @nn.compact
    def __call__(
        self, nodes: Float32[Array, "aus features"], edges: Float32[np.ndarray, "aus aus"]
    ) -> Float32[Array, "aus features"]:
        """The nodes after both layers, as wide as before.

        Args:
          edges: see `adjacency`.
        """

        def layer(name: str, inputs: Array) -> Array:
            width = inputs.shape[-1]
            dense = nn.Dense(width, False, kernel_init=_kernel_init, name=name)
            return jnp.matmul(edges, dense(inputs))

        return layer("layer2", nn.leaky_relu(layer("layer1", nodes), _SLOPE))
