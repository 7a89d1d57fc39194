"""Losses: values from the formula, gradients, masking, the damping examples of the project."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from au_jax import losses
from au_jax.errors import UserError


def test_smoothing_keeps_the_middle_and_shrinks_the_ends():
    targets = losses.smooth_labels(jnp.array([1, 0], jnp.int8), 0.2)
    np.testing.assert_allclose(targets, [0.9, 0.1], rtol=1e-6)
    np.testing.assert_array_equal(losses.smooth_labels(jnp.array([1, 0]), 0.0), [1.0, 0.0])


def test_binary_cross_entropy_equals_the_definition_and_is_stable():
    p = np.array([0.2, 0.5, 0.9])
    t = np.array([1.0, 0.3, 0.0])
    expected = -(t * np.log(p) + (1 - t) * np.log(1 - p))
    logits = jnp.asarray(np.log(p / (1 - p)), jnp.float32)
    np.testing.assert_allclose(
        losses.binary_cross_entropy(logits, jnp.asarray(t, jnp.float32)), expected, rtol=1e-5
    )
    extreme = losses.binary_cross_entropy(jnp.array([200.0, -200.0, -30.0]), jnp.array([0, 1, 0.0]))
    np.testing.assert_allclose(extreme, [200, 200, np.exp(-30)], rtol=1e-5)


@pytest.mark.parametrize("target", [0.0, 0.1, 0.9, 1.0])
def test_small_losses_keep_their_digits(target):
    logits = np.linspace(-100, 100, 801).astype(np.float32)
    wide = logits.astype(np.float64)
    loss = jax.vmap(jax.value_and_grad(losses.binary_cross_entropy), in_axes=(0, None))
    value, gradient = jax.jit(loss)(logits, jnp.float32(target))
    target = np.float32(target).astype(np.float64)
    expected = target * np.logaddexp(0, -wide) + (1 - target) * np.logaddexp(0, wide)
    normal = expected > np.finfo(np.float32).tiny  # XLA flushes smaller numbers to 0
    np.testing.assert_allclose(value[normal], expected[normal], rtol=1e-6)
    slope = (1 - target) * scipy.special.expit(wide) - target * scipy.special.expit(-wide)
    relative = 1e-6 if target in (0, 1) else 1e-4
    normal = np.abs(slope) > np.finfo(np.float32).tiny
    np.testing.assert_allclose(gradient[normal], slope[normal], rtol=relative, atol=1e-30)


def test_binary_cross_entropy_of_half_precision_logits_is_float32():
    loss = losses.binary_cross_entropy(jnp.array([3.0], jnp.bfloat16), jnp.array([0.0]))
    assert loss.dtype == jnp.float32
    np.testing.assert_allclose(loss, np.log1p(np.exp(3)), rtol=1e-6)


@pytest.mark.parametrize(
    ("alpha", "absent", "present"),
    [(0.0, 1, 1), (0.5, 0.8333, 2.5), (0.7, 0.7323, 3.4093), (1.0, 0.5556, 5.0)],
)
def test_damped_class_weights_of_900_negatives_and_100_positives(alpha, absent, present):
    weights = losses.damped_class_weights(np.array([100]), np.array([900]), alpha)
    np.testing.assert_allclose(weights, [[absent, present]], atol=5e-5)


def test_mean_class_weight_is_one_and_one_sided_aus_are_left_alone():
    positives, negatives = np.array([3, 500, 0, 7, 0]), np.array([997, 20, 40, 0, 0])
    for alpha in (0.0, 0.3, 0.7, 1.0):
        weights = losses.damped_class_weights(positives, negatives, alpha)
        mean = (weights[:2, 0] * negatives[:2] + weights[:2, 1] * positives[:2]) / (
            positives + negatives
        )[:2]
        np.testing.assert_allclose(mean, 1, rtol=1e-5)
        np.testing.assert_array_equal(weights[2:], 1)


def _case():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(5, 3)).astype(np.float32) * 2
    labels = rng.integers(-1, 2, (5, 3)).astype(np.int8)
    class_weights = rng.uniform(0.5, 3, (3, 2)).astype(np.float32)
    return jnp.asarray(logits), jnp.asarray(labels), jnp.asarray(class_weights)[None]


def _by_hand(logits, labels, class_weights, smoothing):
    total, known = 0.0, 0
    for n, a in np.ndindex(*labels.shape):
        y = int(labels[n, a])
        if y >= 0:
            p = 1 / (1 + np.exp(-float(logits[n, a])))
            t = (1 - smoothing) * y + smoothing / 2
            bce = -(t * np.log(p) + (1 - t) * np.log(1 - p))
            total += float(class_weights[0, a, y]) * bce
            known += 1
    return total / known


def test_weighted_bce_equals_the_sum_written_out():
    logits, labels, class_weights = _case()
    for smoothing in (0.2, 0.0):
        value = losses.weighted_bce(logits, labels, class_weights, smoothing)
        expected = _by_hand(logits, labels, class_weights, smoothing)
        np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_a_soft_label_has_the_mean_loss_of_both_labels():
    logits, labels, class_weights = _case()
    y = np.where(labels >= 0, np.random.default_rng(1).random(labels.shape), -1)
    value = losses.weighted_bce(logits, jnp.asarray(y, jnp.float32), class_weights, 0.2)
    by_label = [
        losses.weighted_bce(
            logits[n : n + 1, a : a + 1],
            jnp.full((1, 1), label, jnp.int8),
            class_weights[:, a : a + 1],
            0.2,
        )
        for n, a in np.argwhere(labels >= 0)
        for label in (0, 1)
    ]
    shares = np.array([s for p in y[labels >= 0] for s in (1 - p, p)])
    expected = (shares * np.array(by_label)).sum() / (labels >= 0).sum()
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_gradient_equals_the_analytic_one_and_finite_differences():
    logits, labels, class_weights = _case()
    gradient = jax.grad(losses.weighted_bce)(logits, labels, class_weights, 0.2)
    known = labels >= 0
    weights = np.where(labels == 1, class_weights[..., 1], class_weights[..., 0])
    targets = 0.8 * (labels == 1) + 0.1
    analytic = known * weights * (1 / (1 + np.exp(-logits)) - targets) / known.sum()
    np.testing.assert_allclose(gradient, analytic, atol=1e-6)

    step = 1e-5
    for n, a in [(0, 0), (2, 1), (4, 2)]:
        up, down = np.array(logits, np.float64), np.array(logits, np.float64)
        up[n, a] += step
        down[n, a] -= step
        slope = _by_hand(up, labels, class_weights, 0.2)
        slope -= _by_hand(down, labels, class_weights, 0.2)
        np.testing.assert_allclose(gradient[n, a], slope / (2 * step), atol=1e-6)


def test_masked_equals_computed_on_the_subset():
    logits, labels, class_weights = _case()
    masked = labels.at[1::2].set(-1)
    np.testing.assert_allclose(
        losses.weighted_bce(logits, masked, class_weights, 0.2),
        losses.weighted_bce(logits[::2], labels[::2], class_weights, 0.2),
        rtol=1e-6,
    )


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_unknown_entries_have_no_value_and_no_gradient_whatever_the_logit(bad):
    labels = jnp.array([[1, -1], [-1, 0]], jnp.int8)
    ones = jnp.ones((1, 2, 2))
    logits = jnp.array([[0.3, bad], [bad, -2.0]])
    value, gradient = jax.value_and_grad(losses.weighted_bce)(logits, labels, ones, 0.0)
    np.testing.assert_allclose(
        value, (np.log1p(np.exp(-0.3)) + np.log1p(np.exp(-2.0))) / 2, rtol=1e-6
    )
    assert gradient[0, 1] == 0
    assert gradient[1, 0] == 0
    assert np.isfinite(gradient).all()


def test_no_known_label_is_zero_with_a_zero_gradient():
    labels = jnp.full((2, 3), -1, jnp.int8)
    value, gradient = jax.value_and_grad(losses.weighted_bce)(
        jnp.ones((2, 3)), labels, jnp.ones((1, 3, 2)), 0.2
    )
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


def _faces(examples=6, classes=9, features=5):
    rng = np.random.default_rng(3)
    embeddings = rng.normal(size=(examples, features)).astype(np.float32)
    centres = rng.normal(size=(classes, features)).astype(np.float32)
    labels = rng.integers(0, classes, examples)
    # One embedding is nearly opposite to its centre: theta + 0.5 is beyond pi.
    embeddings[0] = -centres[labels[0]] + 0.1 * embeddings[0]
    return embeddings, centres, labels


def _arcface(embeddings, centres, labels, **options):
    return losses.arcface_loss(losses.class_cosines(embeddings, centres), labels, **options)[0]


def test_arcface_values_and_gradients_equal_pytorchs_angles():
    torch = pytest.importorskip("torch")
    embeddings, centres, labels = _faces()
    given = [
        torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in (embeddings, centres)
    ]
    unit = [torch.nn.functional.normalize(a) for a in given]
    cosines = unit[0] @ unit[1].T
    rows, at = torch.arange(len(labels)), torch.as_tensor(labels)
    theta = torch.arccos(cosines[rows, at])
    assert (theta + 0.5 > np.pi).tolist() == [True] + [False] * 5
    true = torch.where(
        theta + 0.5 > np.pi,
        theta.cos() - 0.5 * np.sin(np.pi - 0.5),
        (theta + 0.5).cos(),
    )
    logits = cosines.index_put((rows, at), true) * 64
    expected = torch.nn.functional.cross_entropy(logits, at)
    expected.backward()

    value, gradients = jax.jit(jax.value_and_grad(_arcface, argnums=(0, 1)))(
        jnp.asarray(embeddings), jnp.asarray(centres), jnp.asarray(labels)
    )
    np.testing.assert_allclose(value, expected.detach().numpy(), rtol=1e-5)
    for gradient, tensor in zip(gradients, given, strict=True):
        theirs = tensor.grad.numpy()
        np.testing.assert_allclose(gradient, theirs, atol=1e-4 * np.abs(theirs).max())


def _true_logit(angle):
    """64 times what ArcFace puts in the place of the true class's cosine, from its loss."""
    centres = jnp.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    embedding = jnp.array([[np.cos(angle), np.sin(angle), 0.0]])
    loss = _arcface(embedding, centres, jnp.array([0]), scale=1.0)
    # With the other class's logit at 0, the loss is log(1 + exp(-logit)).
    return -np.log(np.expm1(np.asarray(loss, np.float64)))


@pytest.mark.parametrize(
    ("angle", "logit"),
    [
        (np.pi / 3, np.cos(np.pi / 3 + 0.5)),
        (np.pi - 0.6, np.cos(np.pi - 0.1)),
        (np.pi - 0.4, np.cos(np.pi - 0.4) - 0.5 * np.sin(0.5)),
        (np.pi, -1 - 0.5 * np.sin(0.5)),
    ],
)
def test_the_true_class_is_pushed_away_by_the_margin(angle, logit):
    np.testing.assert_allclose(_true_logit(angle), logit, atol=1e-5)


def test_the_true_logit_falls_with_the_angle_also_beyond_pi():
    assert (np.diff([_true_logit(angle) for angle in np.linspace(0.01, np.pi, 40)]) < 0).all()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("nudge", [0, 1e-7, 1e-4])
def test_arcface_gradient_is_finite_and_small_where_embedding_and_centre_are_in_line(sign, nudge):
    centres = jnp.asarray(_faces()[1])
    labels = jnp.array([4])
    embedding = sign * centres[labels] * (1 + nudge) + nudge
    gradients = jax.jit(jax.grad(_arcface, argnums=(0, 1)))(embedding, centres, labels)
    for gradient in gradients:
        assert np.isfinite(gradient).all()
        # No longer than 2 s over the shortest vector.
        shortest = min(np.linalg.norm(centres, axis=1).min(), np.linalg.norm(embedding))
        assert np.linalg.norm(gradient) < 2 * 64 / shortest


def test_the_nearest_centre_is_that_of_the_smallest_angle():
    embeddings, centres, labels = _faces()
    labels[1:3] = (_unit(embeddings) @ _unit(centres).T).argmax(1)[1:3]
    cosines = losses.class_cosines(jnp.asarray(embeddings), jnp.asarray(centres))
    _, nearest = losses.arcface_loss(cosines, jnp.asarray(labels))
    expected = (_unit(embeddings) @ _unit(centres).T).argmax(1) == labels
    assert 2 <= expected.sum() < len(labels)
    np.testing.assert_array_equal(nearest, expected)


def test_padding_of_the_centres_takes_no_part():
    embeddings, centres, labels = map(jnp.asarray, _faces())

    def loss(embeddings, centres, classes):
        return losses.arcface_loss(losses.class_cosines(embeddings, centres, classes), labels)

    gradient = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True), static_argnums=2)
    (value, nearest), (of_embeddings, of_centres) = gradient(embeddings, centres, 9)
    # The padding would be nearest to all, were it taken for centres; or is of length 0.
    for padding in (embeddings, jnp.zeros((3, 5))):
        (with_padding, still_nearest), gradients = gradient(
            embeddings, jnp.concatenate([centres, padding]), 9
        )
        np.testing.assert_allclose(with_padding, value, rtol=1e-6)
        np.testing.assert_array_equal(still_nearest, nearest)
        np.testing.assert_allclose(gradients[0], of_embeddings, atol=1e-5)
        np.testing.assert_allclose(gradients[1][:9], of_centres, atol=1e-5)
        np.testing.assert_array_equal(gradients[1][9:], 0)


def test_sampling_all_classes_is_no_sampling():
    embeddings, centres, labels = map(jnp.asarray, _faces())
    sampled, positions = losses.sample_classes(jax.random.key(0), labels, 9, 9)
    np.testing.assert_array_equal(sampled, np.arange(9))
    loss = jax.jit(jax.value_and_grad(_arcface, argnums=(0, 1)))
    jax.tree.map(
        np.testing.assert_array_equal,
        loss(embeddings, centres[sampled], positions),
        loss(embeddings, centres, labels),
    )


def test_sampled_classes_hold_those_of_the_batch_and_random_others():
    labels = jnp.array([7, 3, 7, 90])
    draw = jax.jit(lambda key: losses.sample_classes(key, labels, 100, 10))
    times = np.zeros(100)
    for seed in range(200):
        sampled, positions = (np.asarray(a) for a in draw(jax.random.key(seed)))
        assert len(set(sampled.tolist())) == 10
        np.testing.assert_array_equal(sampled[positions], labels)
        times[sampled] += 1
    assert (times[[3, 7, 90]] == 200).all()
    others = np.delete(times, [3, 7, 90])
    # 7 of 97 each time: 14.4 expected, standard deviation 3.7.
    assert 2 <= others.min() <= others.max() <= 32


@pytest.mark.parametrize("size", [3, 101])
def test_too_few_or_too_many_sampled_classes_are_refused(size):
    with pytest.raises(UserError, match=f"{size} sampled classes .* sample from 4 to 100"):
        losses.sample_classes(jax.random.key(0), jnp.array([7, 3, 7, 90]), 100, size)


# ---- Contrastive learning ----


def _unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


_TEMPERATURE = 0.3
CONTRASTS = {  # queues, and whether there are prototypes of three classes
    "one queue": (1, False),
    "a queue for each class": (3, False),
    "a queue for each class, centred": (3, True),
    "one queue, centred": (1, True),
}


def _contrast(kind, seed=0, examples=7, slots=6, features=4):
    """Arguments of `contrastive_loss`; slots are empty, strange, or of an example of the batch."""
    queues, centred = CONTRASTS[kind]
    rng = np.random.default_rng(seed)
    queries, keys = (_unit(rng.normal(size=(examples, features))) for _ in range(2))
    classes = rng.integers(0, 3 if queues > 1 or centred else 1, examples)
    classes[2] = -1
    queued = rng.integers(-1, 12, (queues, slots))
    queued[:, 0], queued[:, 1] = -1, np.arange(queues)
    of_queues = np.where(
        queued[..., None] < 0, 0, _unit(rng.normal(size=(*queued.shape, features)))
    )
    case = {
        "queries": queries.astype(np.float32),
        "keys": keys.astype(np.float32),
        "classes": classes.astype(np.int32),
        "index": np.arange(examples, dtype=np.int32),
        "queues": of_queues.astype(np.float32),
        "queued": queued.astype(np.int32),
    }
    if centred:
        case["prototypes"] = _unit(rng.normal(size=(3, features))).astype(np.float32)
    return case


def _infonce(queries, keys, classes, index, queues, queued, prototypes=None):
    """The mean loss over the known examples, and success of each of them, by plain loops."""
    values, nearest = [], []
    for q, k, c, i in zip(queries, keys, classes, index, strict=True):
        if c < 0:
            continue

        def similarity(vector, q=q, c=c):
            pair = np.stack([q, vector]).astype(np.float64)
            first, second = pair if prototypes is None else _unit(pair - prototypes[c])
            return first @ second / _TEMPERATURE

        of_class = c if len(queues) > 1 else 0
        near = similarity(k)
        far = [
            similarity(negative)
            for negative, owner in zip(queues[of_class], queued[of_class], strict=True)
            if owner not in (-1, i)
        ]
        values.append(np.log(np.exp([near, *far]).sum()) - near)
        nearest.append(all(near > other for other in far))
    return np.mean(values) if values else 0.0, nearest


@jax.jit
def _contrast_and_gradients(case):
    """((loss, nearest), gradient by queries, keys, queues and prototypes)."""
    floats = ("queries", "keys", "queues", "prototypes")
    learned = {name: case[name] for name in floats if name in case}
    loss = lambda learned: losses.contrastive_loss(**case | learned, temperature=_TEMPERATURE)  # noqa: E731
    return jax.value_and_grad(loss, has_aux=True)(learned)


def _numeric_gradient(function, x):
    """Central differences of a scalar function of one array."""
    x = np.asarray(x, np.float64)
    steps = 1e-5 * np.eye(x.size).reshape(-1, *x.shape)
    return np.reshape([(function(x + s) - function(x - s)) / 2e-5 for s in steps], x.shape)


def test_unit_and_normalised_vectors_by_hand():
    vectors = jnp.array([[3.0, 4.0], [0.0, -2.0], [0.0, 0.0]])
    np.testing.assert_allclose(losses.unit(vectors), [[0.6, 0.8], [0, -1], [0, 0]], rtol=1e-6)
    centred = losses.intra_class_normalized(vectors, jnp.array([0.0, 1.0]))
    expected = [[3 / 18**0.5, 3 / 18**0.5], [0, -1], [0, -1]]
    np.testing.assert_allclose(centred, expected, rtol=1e-6)
    # A length below a millionth is not blown up to 1.
    np.testing.assert_allclose(losses.unit(jnp.array([1e-8, 0.0])), [0.01, 0], rtol=1e-5)


def test_emotion_loss_by_hand_and_without_unknown_examples():
    logits = jnp.array([[0.0, np.log(3.0)], [5.0, -5.0], [np.log(4.0), 0.0]])
    loss = jax.jit(jax.value_and_grad(losses.emotion_loss))
    value, gradient = loss(logits, jnp.array([0, -1, 0]))
    np.testing.assert_allclose(value, (np.log(4) + np.log(5 / 4)) / 2, rtol=1e-6)
    expected = [[(1 / 4 - 1) / 2, (3 / 4) / 2], [0, 0], [(4 / 5 - 1) / 2, (1 / 5) / 2]]
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)
    value, gradient = loss(logits, jnp.full(3, -1))
    assert value == 0
    assert not gradient.any()


def test_contrastive_loss_by_hand():
    """Similarities of 0.6 to the key, and of 1 and 0 to two negatives, at temperature 0.5."""
    value, nearest = losses.contrastive_loss(
        jnp.array([[1.0, 0.0]]),
        jnp.array([[0.6, 0.8]]),
        jnp.array([0]),
        jnp.array([9]),
        jnp.array([[[1.0, 0.0], [0.0, 1.0]]]),
        jnp.array([[3, 4]]),
        0.5,
    )
    expected = np.log((np.exp(1.2) + np.exp(2) + np.exp(0)) / np.exp(1.2))
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    assert nearest.tolist() == [False]


@pytest.mark.parametrize("kind", CONTRASTS)
def test_contrastive_loss_and_its_gradient_equal_plain_loops(kind):
    successes = set()
    for seed in range(3):
        case = _contrast(kind, seed)
        (value, nearest), gradient = _contrast_and_gradients(case)
        expected, success = _infonce(**case)
        np.testing.assert_allclose(value, expected, rtol=2e-6)
        known = case["classes"] >= 0
        assert np.asarray(nearest)[known].tolist() == success
        successes |= set(success)
        of_queries = lambda q, case=case: _infonce(**case | {"queries": q})[0]  # noqa: E731
        numeric = _numeric_gradient(of_queries, case["queries"])
        np.testing.assert_allclose(gradient.pop("queries"), numeric, atol=2e-5)
        assert np.abs(numeric[known]).max() > 0.05
        assert not any(leaf.any() for leaf in gradient.values()), "the queries alone learn"
    assert successes == {True, False}


@pytest.mark.parametrize("kind", CONTRASTS)
def test_what_counts_of_a_queue(kind):
    case = _contrast(kind)
    (value, _), _ = _contrast_and_gradients(case)
    queued = case["queued"]

    def changed(places):
        queues = np.where(places[..., None], 0.5, case["queues"]).astype(np.float32)
        return _contrast_and_gradients(case | {"queues": queues})[0][0]

    assert changed(queued < 0) == value, "empty slots are no negatives"
    assert changed(queued >= 0) != value
    # As if every slot held the one example that looks at it: nothing is left to tell it from.
    alone = case | {"queued": np.full_like(queued, 5), "index": np.full(7, 5, np.int32)}
    (value, _), gradient = _contrast_and_gradients(alone)
    assert value == 0
    assert not gradient["queries"].any()


@pytest.mark.parametrize("kind", CONTRASTS)
def test_empty_queues_and_unknown_classes_give_nothing(kind):
    case = _contrast(kind)
    empty = {"queues": np.zeros_like(case["queues"]), "queued": np.full_like(case["queued"], -1)}
    unknown = {"classes": np.full_like(case["classes"], -1)}
    for change in (empty, unknown, empty | unknown):
        (value, nearest), gradient = _contrast_and_gradients(case | change)
        assert value == 0
        np.testing.assert_array_equal(gradient["queries"], np.zeros_like(case["queries"]))
        if change is empty:
            assert nearest[case["classes"] >= 0].all(), "nothing is nearer than the key"


@pytest.mark.parametrize("kind", ["a queue for each class", "a queue for each class, centred"])
def test_a_batch_of_one_class_sees_its_own_queue_alone(kind):
    case = _contrast(kind) | {"classes": np.full(7, 1, np.int32)}
    (value, nearest), gradient = _contrast_and_gradients(case)
    expected, success = _infonce(**case)
    np.testing.assert_allclose(value, expected, rtol=2e-6)
    assert nearest.tolist() == success
    others = np.array([0, 2])
    queues = case["queues"].copy()
    queues[others] = -queues[others]
    (same, _), same_gradient = _contrast_and_gradients(case | {"queues": queues})
    assert same == value
    np.testing.assert_array_equal(same_gradient["queries"], gradient["queries"])


@pytest.mark.parametrize("vector", ["queries", "keys", "queues"])
def test_a_vector_on_its_prototype_is_finite_in_value_and_gradient(vector):
    case = _contrast("a queue for each class, centred")
    case["classes"][0], case["queued"][1, 2] = 1, 99
    place = (1, 2) if vector == "queues" else 0
    case[vector][place] = case["prototypes"][1]
    (value, _), gradient = _contrast_and_gradients(case)
    assert np.isfinite(value)
    assert np.isfinite(gradient["queries"]).all()


W = [1, 2, 1, 1, 1, 1, 1, 6, 6, 5, 1, 5]


def test_abaw3s_two_losses_are_torchs():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(9, 12)).astype(np.float32) * 3
    labels = rng.integers(0, 2, (9, 12)).astype(np.int8)
    weights = torch.tensor(W, dtype=torch.float32)
    for smoothing, (ours, theirs) in itertools.product(
        (0.0, 0.1),
        (
            (losses.au_weighted_bce, torch.nn.BCEWithLogitsLoss(weight=weights)),
            (losses.multi_label_loss, torch.nn.MultiLabelSoftMarginLoss(weight=weights)),
        ),
    ):
        given = torch.tensor(logits, requires_grad=True)
        targets = (1 - smoothing) * torch.tensor(labels, dtype=torch.float32) + smoothing / 2
        expected = theirs(given, targets)
        expected.backward()
        value, gradient = jax.value_and_grad(ours)(
            jnp.asarray(logits), jnp.asarray(labels), jnp.asarray(W, jnp.float32), smoothing
        )
        np.testing.assert_allclose(value, expected.item(), rtol=1e-5)
        np.testing.assert_allclose(gradient, given.grad.numpy(), atol=1e-6)


def test_abaw3s_losses_with_unknown_labels_by_hand():
    torch = pytest.importorskip("torch")
    labels = np.array([[1, -1, 0], [-1, -1, 1], [-1, -1, -1]], np.int8)
    logits = np.array([[0.3, np.inf, -1.2], [9.0, np.nan, 0.7], [1, 2, np.inf]], np.float32)
    weights = np.array([1, 2, 6], np.float32)

    def torchs(loss, logits, labels, weights, **options):
        """Torch's loss of one image's known labels."""
        logit, label, weight = (
            torch.tensor(np.array(values, np.float32)) for values in (logits, labels, weights)
        )
        return loss(weight=weight, **options)(logit[None], label[None]).item()

    known = [([0.3, -1.2], [1, 0], [1, 6]), ([0.7], [1], [6])]
    bce, multi_label = torch.nn.BCEWithLogitsLoss, torch.nn.MultiLabelSoftMarginLoss
    for ours, expected in (
        (losses.au_weighted_bce, sum(torchs(bce, *k, reduction="sum") for k in known) / 3),
        (losses.multi_label_loss, sum(torchs(multi_label, *k) for k in known) / 2),
    ):
        given = jnp.asarray(logits), jnp.asarray(labels)
        value, gradient = jax.value_and_grad(ours)(*given, jnp.asarray(weights))
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        assert np.isfinite(gradient).all()
        assert (gradient[labels < 0] == 0).all()
        nothing = (a[2:] for a in given)
        assert ours(*nothing, jnp.asarray(weights)) == 0
