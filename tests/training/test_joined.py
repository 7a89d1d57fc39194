"""Small arrays in long ones: what lies where, and updates as of the tree itself."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from au_jax.training.joined import join, split
from au_jax.training.optimizer import make_optimizer

LARGE = (256, 256)


def tree(seed=0):
    rng = np.random.default_rng(seed)

    def array(*shape):
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    return {
        "a": {"kernel": array(2, 3), "bias": array(3), "half": array(4).astype(jnp.bfloat16)},
        "b": {"c": {"kernel": array(*LARGE), "bias": array()}, "kernel": array(1, 2)},
        "centres": {"kernel": array(8, 2)},
    }


def test_small_arrays_of_a_name_and_dtype_stand_in_order_in_a_long_one():
    whole = tree()
    joined = join(whole, apart=("centres",))
    small = joined.pop("joined")
    kernels = [whole["a"]["kernel"].ravel(), whole["b"]["kernel"].ravel()]
    np.testing.assert_array_equal(small["float32"]["kernel"], jnp.concatenate(kernels))
    assert small["float32"]["bias"].shape == (4,)
    assert small["bfloat16"]["half"].dtype == jnp.bfloat16
    assert jax.tree.map(jnp.shape, joined) == {
        "b": {"c": {"kernel": LARGE}},
        "centres": {"kernel": (8, 2)},
    }


@pytest.mark.parametrize("apart", [(), ("centres",)])
def test_split_gives_back_what_join_was_given(apart):
    whole = tree()
    jax.tree.map(np.testing.assert_array_equal, split(join(whole, apart), whole, apart), whole)


def test_an_empty_tree_stays_empty():
    assert join({}) == {}
    assert split({}, {}) == {}


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_updates_are_those_of_the_tree(name):
    """Weight decay finds its kernels by their name."""
    optimizer, _ = make_optimizer(
        name=name,
        learning_rate=0.1,
        momentum=0.9,
        weight_decay=0.3,
        schedule="cosine",
        boundaries=(),
        factor=0.1,
        steps=5,
    )
    params, joined = tree(), join(tree())
    state, joined_state = optimizer.init(params), optimizer.init(joined)
    for seed in range(1, 4):
        updates, state = optimizer.update(tree(seed), state, params)
        params = optax.apply_updates(params, updates)
        updates, joined_state = optimizer.update(join(tree(seed)), joined_state, joined)
        joined = optax.apply_updates(joined, updates)
    jax.tree.map(np.testing.assert_array_equal, split(joined, params), params)
