"""The step's laws: the same on any number of devices, compiled once, pure in its key."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import make_context

from au_jax import methods, sharding
from au_jax.errors import UserError
from au_jax.methods import StreamFacts
from au_jax.training.checkpoint import Checkpoints
from au_jax.training.step import init_state, layout, make_train_step

AUS = ("AU01", "AU12", "AU51", "AU52")


AUGMENTED = {"flip": 0.5, "brightness": 0.5, "cutout": 0.5, "greyscale": 0.2}
REGULARISED = {"dropout": 0.5, "pose_branch": True}


def method(network=REGULARISED, augmentation=AUGMENTED, heads=("opt", "noisy")):
    streams = {
        "opt": StreamFacts(64, 16, heads[0], positives=(10.0,) * 4, negatives=(90.0,) * 4),
        "noisy": StreamFacts(32, 8, heads[1], positives=(50.0,) * 4, negatives=(50.0,) * 4),
    }
    context = make_context(AUS, network=network, augmentation=augmentation, streams=streams)
    return methods.create("multi_task", context, {})


def batch(seed=0, pixels=40):
    rng = np.random.default_rng(seed)
    return {
        name: {
            "image": rng.integers(0, 256, (share, pixels, pixels, 3), np.uint8),
            "labels": rng.integers(-1, 2, (share, 4)).astype(np.int8),
            "pose": rng.normal(0, 20, (share, 3)).astype(np.float32),
            "emotion": np.full(share, -1, np.int8),
            "index": np.arange(share, dtype=np.int32),
        }
        for name, share in (("opt", 16), ("noisy", 8))
    }


def run(devices, steps=4, seed=0, **changes):
    mesh = sharding.make_mesh(devices)
    trained, optimizer = method(**changes), optax.sgd(0.05, momentum=0.9)
    state = init_state(trained, optimizer, seed, mesh)
    step = make_train_step(trained, optimizer, mesh)
    for number in range(steps):
        state, logs = step(state, sharding.put_batch(batch(number), mesh))
    return jax.device_get(state), logs, step


def test_one_and_eight_devices_agree():
    single, _, _ = run(1)
    eight, _, _ = run(8)
    for part in ("params", "batch_stats"):
        for (path, a), b in zip(
            jax.tree_util.tree_leaves_with_path(getattr(single, part)),
            jax.tree.leaves(getattr(eight, part)),
            strict=True,
        ):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5, err_msg=str(path))


def test_same_seed_same_bits_other_seed_others():
    (a, _, step), (b, _, _), (c, _, _) = run(1), run(1), run(1, seed=1)
    assert step._cache_size() == 1  # compiled once for all steps
    jax.tree.map(np.testing.assert_array_equal, a, b)
    kernel = ("conv1", "conv", "kernel")

    def first_kernel(state):
        node = state.params["backbone"]
        for name in kernel:
            node = node[name]
        return node

    assert (first_kernel(a) != first_kernel(c)).any()


@pytest.mark.parametrize(
    ("optimizer", "kept"),
    [(optax.sgd(0.1, momentum=0.9), ["trace"]), (optax.adam(0.1), ["mu", "nu"])],
)
def test_sharded_params_and_what_the_optimizer_keeps_of_them_are_split(optimizer, kept):
    """Their 8 rows are divided by 8 devices and not by 3."""

    def init(key):
        params = {
            "a": {"kernel": jnp.ones((8, 2))},
            "b": {"a": jnp.ones(8), "kernel": jnp.ones((8, 2))},
        }
        return params, {"a": jnp.ones(8)}, {"a": jnp.ones(8)}

    for sharded, devices in (((), 8), (("a",), 8), (("a",), 3)):
        mesh = sharding.make_mesh(devices)
        trained = dataclasses.replace(method(), init=init, sharded=sharded)
        laid_out = layout(trained, optimizer, mesh)
        split = {
            jax.tree_util.keystr(path, simple=True, separator="/").removesuffix("/a/kernel")
            for path, lies in jax.tree_util.tree_leaves_with_path(laid_out)
            if not lies.is_fully_replicated
        }
        expected = {"params", *(f"opt_state/0/{part}" for part in kept)}
        assert split == (expected if sharded and devices == 8 else set())
        state = init_state(trained, optimizer, 0, mesh)
        assert jax.tree.map(lambda leaf: leaf.sharding, state) == laid_out


def loss_and_params(**changes):
    """The loss as a function of parameters and labels, and parameters to begin with."""
    trained = method(augmentation={}, **changes)
    shapes = jax.eval_shape(trained.init, jax.random.PRNGKey(0))
    rng = np.random.default_rng(0)
    params, stats = (
        jax.tree.map(lambda s: rng.uniform(0.01, 0.1, s.shape).astype(np.float32), tree)
        for tree in shapes[:2]
    )

    def loss(params, labels):
        data = {name: {**stream, "labels": labels[name]} for name, stream in batch().items()}
        return trained.loss(params, stats, {}, data, 0, jax.random.PRNGKey(1))[0]

    return loss, params


@functools.cache
def gradient(*heads):
    """The loss's value and gradient as a function of the labels; `heads`: one for each stream."""
    loss, params = loss_and_params(heads=heads)
    return functools.partial(jax.jit(jax.value_and_grad(loss)), params)


def labels_unknown_in(*streams):
    labels = {name: stream["labels"] for name, stream in batch().items()}
    return labels | {name: np.full_like(labels[name], -1) for name in streams}


def test_a_head_learns_from_its_own_stream_only():
    _, grads = gradient("opt", "noisy")(labels_unknown_in("noisy"))
    assert not np.any(grads["head_noisy"]["kernel"])
    assert np.any(grads["head_opt"]["kernel"])


def test_streams_that_share_a_head_train_it_together():
    _, grads = gradient("opt", "opt")(labels_unknown_in("opt"))
    assert "head_noisy" not in grads
    assert np.any(grads["head_opt"]["kernel"])


def test_unknown_labels_change_nothing():
    value, grads = gradient("opt", "noisy")(labels_unknown_in("opt", "noisy"))
    assert value == 0
    assert not any(np.any(g) for g in jax.tree.leaves(grads))


def test_a_share_that_the_devices_do_not_divide_is_named():
    with pytest.raises(UserError, match=r"'noisy' has a share of 10 .* 8 devices .* nearest .* 8"):
        sharding.check_shares({"opt": 16, "noisy": 10}, 8)
    sharding.check_shares({"opt": 16, "noisy": 32}, 4, micro_batches=4)
    with pytest.raises(UserError, match=r"share of 24 .* 4 devices times .*accumulate=4 .* is 32"):
        sharding.check_shares({"opt": 16, "noisy": 24}, 4, micro_batches=4)


def test_bfloat16_computes_in_half_and_keeps_float32():
    networks = [{"precision": p} for p in ("bfloat16", "float32")]
    both = [loss_and_params(network=network) for network in networks]
    half, whole = (jax.jit(loss)(params, labels_unknown_in()) for loss, params in both)
    mesh, trained, optimizer = sharding.make_mesh(1), method(network=networks[0]), optax.sgd(0.05)
    fresh = jax.eval_shape(lambda: init_state(trained, optimizer, 0, mesh))
    state, _ = jax.eval_shape(make_train_step(trained, optimizer, mesh), fresh, batch())
    leaves = jax.tree.leaves((half, state.params, state.batch_stats))
    assert {leaf.dtype for leaf in leaves} == {np.dtype(np.float32)}
    assert half != whole
    np.testing.assert_allclose(half, whole, rtol=0.05)


def test_alexnet_without_batch_statistics_trains_and_comes_back(tmp_path):
    mesh, optimizer = sharding.make_mesh(1), optax.sgd(0.01)
    trained = method({"backbone": "alexnet"}, {"image_size": 64}, ("opt", "opt"))
    fresh = init_state(trained, optimizer, 0, mesh)
    assert fresh.batch_stats == {}
    before = jax.device_get(fresh.params)
    step = make_train_step(trained, optimizer, mesh)
    state, logs = step(fresh, sharding.put_batch(batch(0, pixels=64), mesh))
    with Checkpoints.of_states(tmp_path) as states:
        states.save(1, state)
        states.wait()
        restored = states.restore(1, jax.eval_shape(lambda: state))
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    jax.tree.map(np.testing.assert_array_equal, restored, state)
    second = sharding.put_batch(batch(1, pixels=64), mesh)
    (on, _), (resumed, logs) = step(state, second), step(restored, second)
    assert step._cache_size() == 1
    assert np.isfinite(logs["loss"])
    jax.tree.map(np.testing.assert_array_equal, on, resumed)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), before, jax.device_get(on.params))
    assert all(difference > 0 for difference in jax.tree.leaves(moved))
