"""Variables without compiling an initialisation."""

import jax
import jax.numpy as jnp
import numpy as np


def shapes(network, *inputs):
    """The network's variables as `jax.ShapeDtypeStruct`; the last input is `train`."""
    *arrays, train = inputs
    return jax.eval_shape(lambda *a: network.init(jax.random.key(0), *a, train), *arrays)


def random_variables(network, *inputs, seed=0):
    """The network's variables, see `filled`; the last input is `train`."""
    return filled(shapes(network, *inputs), seed)


def filled(tree, seed=0):
    """Kernels that keep activations near 1, scales and variances from 0.5 to 1.5."""
    rng = np.random.default_rng(seed)

    def fill(path, leaf):
        name = path[-1].key
        if name in ("scale", "var"):
            values = rng.uniform(0.5, 1.5, leaf.shape)
        elif name == "kernel":
            values = rng.normal(0, (2 / np.prod(leaf.shape[:-1])) ** 0.5, leaf.shape)
        else:
            values = rng.normal(0, 0.1, leaf.shape)
        return jnp.asarray(values, leaf.dtype)

    return jax.tree_util.tree_map_with_path(fill, tree)
