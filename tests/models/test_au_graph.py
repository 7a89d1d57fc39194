"""The graph convolution over AUs against numbers by hand and PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import torch

from au_jax.models.au_graph import AUGraph, adjacency

DEPENDENCIES = ((1.0, -0.5, 0.0), (0.25, 1.0, 0.0), (0.0, 0.0, 1.0))


def test_edges_by_hand():
    # The rows of |R| sum to 3/2, 5/4 and 1. AU 0 takes |R_10| of AU 1, and AU 1 |R_01| of AU 0.
    root = np.sqrt(3 / 2 * 5 / 4)
    expected = [[1 / 1.5, 0.25 / root, 0], [0.5 / root, 1 / 1.25, 0], [0, 0, 1]]
    np.testing.assert_allclose(adjacency(DEPENDENCIES, 3), expected, rtol=1e-6)


def test_without_dependencies_no_au_has_a_neighbour():
    np.testing.assert_array_equal(adjacency((), 2), np.eye(2))


def test_values_and_gradients_are_pytorchs():
    rng = np.random.default_rng(0)
    nodes = rng.normal(size=(3, 5)).astype(np.float32)
    weights = [rng.normal(size=(5, 5)).astype(np.float32) for _ in range(2)]
    edges = adjacency(DEPENDENCIES, 3)

    def total(nodes, first, second):
        params = {"layer1": {"kernel": first}, "layer2": {"kernel": second}}
        return (jnp.sin(AUGraph().apply({"params": params}, nodes, edges))).sum()

    value, gradients = jax.value_and_grad(total, argnums=(0, 1, 2))(nodes, *weights)
    tensors = [torch.tensor(array, requires_grad=True) for array in (nodes, *weights)]
    hidden = torch.nn.functional.leaky_relu(
        torch.tensor(edges) @ (tensors[0] @ tensors[1]), negative_slope=0.2
    )
    expected = torch.sin(torch.tensor(edges) @ (hidden @ tensors[2])).sum()
    expected.backward()
    np.testing.assert_allclose(value, expected.item(), rtol=1e-5)
    for ours, theirs in zip(gradients, tensors, strict=True):
        np.testing.assert_allclose(ours, theirs.grad, rtol=1e-4, atol=1e-5)


def test_initial_weights_are_those_of_the_released_code():
    variables = AUGraph().init(jax.random.PRNGKey(0), jnp.zeros((3, 64)), adjacency((), 3))
    for kernel in (variables["params"][layer]["kernel"] for layer in ("layer1", "layer2")):
        assert kernel.shape == (64, 64)
        assert 0.12 < np.abs(kernel).max() <= 64**-0.5
        np.testing.assert_allclose(kernel.std(), 64**-0.5 / 3**0.5, rtol=0.05)
