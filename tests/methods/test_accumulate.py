"""Accumulated gradients are those of the whole batch, whatever the method; less memory is held."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small import OPTIONS
from tiny import make_context

from au_jax import methods, sharding
from au_jax.aus import EMOTIONS
from au_jax.errors import UserError
from au_jax.methods import StreamFacts
from au_jax.models.network_spec import NetworkSpec
from au_jax.training.step import init_state, make_train_step

AUS = ("AU01", "AU12", "AU51", "AU52")
SHARE = 16
OPTIMIZER = optax.sgd(0.05, momentum=0.9)
FACTS = StreamFacts(
    *(32, SHARE, "opt"),
    positives=(5.0,) * 4,
    negatives=(9.0,) * 4,
    dependencies=tuple(map(tuple, (np.eye(4) / 2 + 0.5).tolist())),
    emotions=(4,) * len(EMOTIONS),
    identities=8,
)
# The streams and options of each method.
SPECIFIED = {
    "multi_task": (("opt", "noisy"), {}),
    "multi_label": (("opt",), {}),
    "multi_view": (("opt",), {}),
    "emoco": (("faces",), {"queue": 24}),
    "moco": (("faces",), {"queue": 24}),
    "face_identity": (("faces",), {}),
    "expression": (("faces",), {}),
    **{
        name: (("clean", "noisy"), {"selective_ratios": [0.4] * 4, **options})
        for name, options in OPTIONS.items()
    },
}


def create(name, micro_batches=1, backbone="tiny_plain", image_size=8):
    streams, options = SPECIFIED[name]
    dropout = 0.0 if name in ("emoco", "moco") else 0.5
    context = make_context(
        AUS,
        network={"backbone": backbone, "dropout": dropout, "micro_batches": micro_batches},
        augmentation={"image_size": image_size, "flip": 0.5},
        streams=dict.fromkeys(streams, FACTS),
    )
    return methods.create(name, context, options)


def make_batch(name, seed, pixels=12):
    rng = np.random.default_rng(seed)
    return {
        stream: {
            "image": rng.integers(0, 256, (SHARE, pixels, pixels, 3), np.uint8),
            "labels": rng.integers(-1, 2, (SHARE, 4), np.int8),
            "pose": rng.normal(0, 20, (SHARE, 3)).astype(np.float32),
            "emotion": rng.integers(-1, len(EMOTIONS), SHARE, np.int8),
            "index": rng.permutation(32)[:SHARE].astype(np.int32),
            "identity": rng.integers(-1, 8, SHARE).astype(np.int32),
            "soft": rng.uniform(0, 1, (SHARE, 4)).astype(np.float32),
        }
        for stream in SPECIFIED[name][0]
    }


@functools.cache
def initial(name):
    """The state at the start, which does not depend on the number of micro-batches."""
    return jax.device_get(init_state(create(name), OPTIMIZER, 0, sharding.make_mesh(1)))


@functools.cache
def trained(name, micro_batches=1, devices=1):
    """(params, method_state, logs) after three steps."""
    mesh = sharding.make_mesh(devices)
    state = sharding.replicate(initial(name), mesh)
    step = make_train_step(create(name, micro_batches), OPTIMIZER, mesh)
    for number in range(3):
        state, logs = step(state, sharding.put_batch(make_batch(name, number), mesh))
    return jax.device_get((state.params, state.method_state, logs))


def assert_same(found, expected):
    def near(path, a, b):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6, err_msg=jax.tree_util.keystr(path))

    jax.tree_util.tree_map_with_path(near, found[0], expected[0])
    for a, b in zip(jax.tree.leaves(found[1:]), jax.tree.leaves(expected[1:]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_every_method_is_here():
    assert SPECIFIED.keys() == methods.METHODS.keys()


@pytest.mark.parametrize("name", SPECIFIED)
def test_two_micro_batches_train_as_the_whole_batch(name):
    """Labels are unknown here and there, so that no mean over a batch is one over its parts."""
    assert_same(trained(name, micro_batches=2), trained(name))


@pytest.mark.parametrize("name", ["multi_task", "recot", "mlcr", "emoco"])
def test_micro_batches_on_eight_devices_train_as_the_whole_batch_on_one(name):
    assert_same(trained(name, micro_batches=2, devices=8), trained(name))


def test_four_micro_batches_train_as_the_whole_batch():
    assert_same(trained("multi_task", micro_batches=4), trained("multi_task"))


def test_every_micro_batch_has_its_own_batch_statistics():
    """By hand: each part's mean moves the running one, as the part with every third image."""
    net = NetworkSpec("tiny", micro_batches=3).build({"opt": 2})
    images = jax.random.uniform(jax.random.PRNGKey(1), (6, 8, 8, 3))
    pose = jnp.zeros((6, 3))
    variables = net.init(jax.random.PRNGKey(0), images, pose, train=False)
    _, whole = net.apply(variables, images, pose, train=True, mutable=["batch_stats"])
    one, stats = net.clone(micro_batches=1), variables["batch_stats"]
    for part in range(3):
        of_part = {"params": variables["params"], "batch_stats": stats}
        _, updated = one.apply(
            of_part, images[part::3], pose[part::3], train=True, mutable=["batch_stats"]
        )
        stats = updated["batch_stats"]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        whole["batch_stats"],
        stats,
    )


def test_images_that_cannot_be_cut_are_refused():
    net = NetworkSpec("tiny", micro_batches=4).build({"opt": 2})
    images, pose = jnp.zeros((6, 8, 8, 3)), jnp.zeros((6, 3))
    with pytest.raises(UserError, match=r"batch of 6 images cannot be cut .*accumulate=4"):
        net.init(jax.random.PRNGKey(0), images, pose, train=True)


def test_memory_falls_with_the_number_of_micro_batches():
    mesh = sharding.make_mesh(1)
    batch = make_batch("multi_task", 0, pixels=48)
    needed = []
    for count in (1, 2, 8):
        method = create("multi_task", count, backbone="tiny", image_size=48)
        state = jax.eval_shape(lambda m=method: init_state(m, OPTIMIZER, 0, mesh))
        compiled = make_train_step(method, OPTIMIZER, mesh).lower(state, batch).compile()
        needed.append(compiled.memory_analysis().temp_size_in_bytes)
    assert needed == sorted(needed, reverse=True)
    assert needed[-1] < needed[0] / 2
