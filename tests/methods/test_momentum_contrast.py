"""Queues against Python's own, the key encoder's average, and batch statistics in groups."""

import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small import start
from tiny import make_context

from au_jax import losses, methods
from au_jax.errors import UserError
from au_jax.methods import StreamFacts
from au_jax.methods.momentum_contrast import FEATURES, Encoder, Queues, momentum_update

SIDE, BATCH = 16, 8


# ---- Queues ----


@functools.cache
def enqueue(count, slots):
    return jax.jit(Queues(count, slots).enqueued)


def enqueued(queues, batches):
    """The state after batches of (classes, index); the key of example i is full of i."""
    state = queues.init()
    for classes, index in batches:
        keys = np.repeat(np.float32(index)[:, None], FEATURES, 1)
        state = enqueue(queues.count, queues.slots)(
            state, keys, np.array(classes, np.int32), np.array(index, np.int32)
        )
    np.testing.assert_array_equal(
        state["keys"], np.maximum(state["index"], 0)[..., None] * np.ones(FEATURES)
    )
    return state["index"].tolist(), state["next"].tolist()


def test_queues_begin_empty():
    state = Queues(2, 3).init()
    assert state["index"].tolist() == [[-1] * 3] * 2
    assert state["next"].tolist() == [0, 0]
    assert state["keys"].shape == (2, 3, FEATURES)


def test_keys_enter_in_order_and_the_oldest_leave():
    index, following = enqueued(Queues(1, 4), [([0, 0, 0], [5, 6, 7]), ([0, 0, 0], [8, 9, 10])])
    assert index == [[9, 10, 7, 8]]
    assert following == [2]


def test_each_class_has_its_queue_and_unknown_ones_enter_none():
    index, following = enqueued(Queues(2, 3), [([1, -1, 0, 1], [4, 5, 6, 7])])
    assert index == [[6, -1, -1], [4, 7, -1]]
    assert following == [1, 2]


def test_of_more_keys_than_slots_the_last_stay():
    index, following = enqueued(Queues(1, 3), [([0], [1]), ([0] * 7, range(10, 17))])
    assert index == [[15, 16, 14]]  # eight keys so far, so that the next slot is 8 mod 3
    assert following == [2]


def test_one_queue_takes_the_keys_of_all_classes_in_order():
    index, following = enqueued(Queues(1, 5), [([2, 0, -1, 1], [4, 5, 6, 7])])
    assert index == [[4, 5, 7, -1, -1]]
    assert following == [3]


@pytest.mark.parametrize(("count", "slots"), [(3, 5), (3, 2), (1, 7)])
def test_fifty_batches_against_deques(count, slots):
    queues, rng = Queues(count, slots), np.random.default_rng(slots)
    state = queues.init()
    deques = [collections.deque(maxlen=slots) for _ in range(count)]
    entered = np.zeros(count, int)
    for number in range(50):
        classes = rng.integers(-1, 3, 6).astype(np.int32)
        keys = rng.normal(size=(6, FEATURES)).astype(np.float32)
        index = (6 * number + np.arange(6)).astype(np.int32)
        state = enqueue(count, slots)(state, keys, classes, index)
        for of_key, key, i in zip(classes, keys, index, strict=True):
            if of_key >= 0:
                queue = of_key if count > 1 else 0
                deques[queue].append((i, key))
                entered[queue] += 1
        np.testing.assert_array_equal(state["next"], entered % slots)
        for queue, of_queue in enumerate(deques):
            # From the oldest on: behind the newest key come the slots that are overwritten next.
            order = (entered[queue] + np.arange(slots)) % slots
            kept = [slot for slot in order if state["index"][queue, slot] >= 0]
            assert [int(state["index"][queue, slot]) for slot in kept] == [i for i, _ in of_queue]
            stored = np.asarray(state["keys"])[queue, kept]
            expected = np.array([key for _, key in of_queue]).reshape(-1, FEATURES)
            np.testing.assert_array_equal(stored, expected)


def test_the_gradient_over_large_queues_needs_little_memory():
    """EmoCo's own sizes: a copy of the queue for each example would take 8 GiB."""
    batch, queues = 256, Queues(7, 65536)

    def step(queries, keys, classes, index, state, prototypes):
        def loss(queries):
            return losses.contrastive_loss(
                queries, keys, classes, index, state["keys"], state["index"], 0.2, prototypes
            )

        value, gradient = jax.value_and_grad(loss, has_aux=True)(queries)
        return value, gradient, queues.enqueued(state, keys, classes, index)

    vectors = jax.ShapeDtypeStruct((batch, FEATURES), jnp.float32)
    numbers = jax.ShapeDtypeStruct((batch,), jnp.int32)
    prototypes = jax.ShapeDtypeStruct((7, FEATURES), jnp.float32)
    state = jax.eval_shape(queues.init)
    compiled = (
        jax.jit(step, donate_argnums=4)
        .lower(vectors, vectors, numbers, numbers, state, prototypes)
        .compile()
    )
    assert compiled.memory_analysis().temp_size_in_bytes < 2**30


# ---- The key encoder ----


def test_the_key_encoder_is_the_printed_average():
    ours, theirs = {"a": jnp.array([1.0, -2.0])}, {"a": jnp.array([3.0, 2.0])}
    np.testing.assert_allclose(momentum_update(ours, theirs, 0.75)["a"], [1.5, -1.0])
    np.testing.assert_array_equal(momentum_update(ours, theirs, 1.0)["a"], ours["a"])
    gradient = jax.grad(lambda q: momentum_update(ours, {"a": q}, 0.75)["a"].sum())(theirs["a"])
    assert not gradient.any()


# ---- The encoder and its batch statistics ----


def context(share=BATCH, streams=("faces",), **changes):
    facts = StreamFacts(40, share, emotions=(5,) * 8)
    return make_context(
        (), augmentation={"image_size": SIDE}, streams=dict.fromkeys(streams, facts), **changes
    )


@pytest.fixture(scope="module")
def variables():
    params, batch_stats, _ = start(methods.create("moco", context(), {"queue": 4}))
    return params["encoder"], batch_stats["encoder"]


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).uniform(0, 1, (BATCH, SIDE, SIDE, 3)).astype(np.float32)


@functools.cache
def training_pass():
    """A plain training pass of the projected network: (params, batch_stats, images) -> both."""
    net = Encoder.of(context(), "sync", 8).net

    def apply(params, batch_stats, images):
        variables = {"params": params, "batch_stats": batch_stats}
        embeddings, updated = net.apply(variables, images, train=True, mutable=["batch_stats"])
        return embeddings, updated["batch_stats"]

    return jax.jit(apply)


def in_groups(variables, images, groups):
    """Embeddings and statistics, the batch's parts passing one after the other.

    Args:
      groups: the rows of each part.
    """
    embeddings = np.zeros((len(images), FEATURES), np.float32)
    stats = []
    for rows in groups:
        embeddings[rows], of_group = training_pass()(*variables, images[np.array(rows)])
        stats.append(of_group)
    return embeddings, jax.tree.map(lambda *leaves: np.mean(leaves, 0), *stats)


def assert_close(given, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6), given, expected)


def test_embeddings_have_length_one_and_sync_is_one_group(variables, images):
    encoder = Encoder.of(context(), "sync", 4)
    assert encoder.groups == 1
    embeddings, stats = jax.jit(encoder.apply)(jax.random.PRNGKey(1), *variables, images)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)
    assert_close((embeddings, stats), in_groups(variables, images, [range(BATCH)]))
    shuffled = jax.jit(encoder.shuffled_apply)(jax.random.PRNGKey(0), *variables, images)
    jax.tree.map(np.testing.assert_array_equal, shuffled, (embeddings, stats))


@pytest.mark.parametrize("statistics", ["sync", "split"])
def test_dropout_draws_from_the_key(variables, images, statistics):
    encoder = Encoder.of(context(network={"dropout": 0.5}), statistics, 2)
    apply = jax.jit(encoder.apply)
    one, again, other = (apply(jax.random.PRNGKey(k), *variables, images)[0] for k in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 1e-2


def test_split_takes_the_statistics_of_each_part(variables, images):
    encoder = Encoder.of(context(), "split", 2)
    found = jax.jit(encoder.apply)(jax.random.PRNGKey(1), *variables, images)
    assert_close(found, in_groups(variables, images, [range(4), range(4, 8)]))
    whole, _ = in_groups(variables, images, [range(BATCH)])
    assert np.abs(found[0] - whole).max() > 1e-3


def test_keys_are_shuffled_between_the_parts_and_come_back_in_order(variables, images):
    encoder = Encoder.of(context(), "split", 2)
    shuffled = jax.jit(encoder.shuffled_apply)
    seen = set()
    for seed in range(3):
        key = jax.random.PRNGKey(seed)
        found = shuffled(key, *variables, images)
        order = np.asarray(jax.random.permutation(key, BATCH))
        groups = [order[:4].tolist(), order[4:].tolist()]
        assert_close(found, in_groups(variables, images, groups))
        seen.add(frozenset(frozenset(rows) for rows in groups))
    assert len(seen) > 1, "the parts change from step to step"


def test_what_the_encoder_refuses():
    with pytest.raises(UserError, match=r"batch of 8 examples cannot be split into bn_groups=3"):
        Encoder.of(context(), "split", 3)
    assert Encoder.of(context(), "sync", 3).groups == 1
    with pytest.raises(UserError, match=r"unknown bn 'shuffled'.* sync, split"):
        Encoder.of(context(), "shuffled", 2)
    with pytest.raises(UserError, match=r"from one stream, but there are 2 \(a, b\); give one"):
        Encoder.of(context(streams=("a", "b")), "sync", 1)
