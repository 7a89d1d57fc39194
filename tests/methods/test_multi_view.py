import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from tiny import make_context

from au_jax import aus, losses, methods
from au_jax.errors import UserError
from au_jax.methods import multi_view

AUS = aus.POSE
RNG = np.random.default_rng(0)

mv = jax.jit(losses.multi_view_loss, static_argnames="signed")
cr = jax.jit(losses.co_regularization_loss)
mask = jax.jit(losses.balanced_mask, static_argnames=("alpha", "rule"))


# ---- L_mv ----

# Two AUs over two features: cosines of [w, b] are (3 - 4 + 0) / (sqrt(2) 5) and -1.
KERNEL1, BIAS1 = jnp.array([[1.0, 2.0], [1.0, 0.0]]), jnp.array([0.0, 1.0])
KERNEL2, BIAS2 = jnp.array([[3.0, -4.0], [-4.0, 0.0]]), jnp.array([0.0, -2.0])


def test_multi_view_loss_by_hand():
    first = -1 / (math.sqrt(2) * 5)
    signed = mv(KERNEL1, BIAS1, KERNEL2, BIAS2, signed=True)
    np.testing.assert_allclose(signed, (first - 1) / 2, rtol=1e-6)
    np.testing.assert_allclose(mv(KERNEL1, BIAS1, KERNEL2, BIAS2), (1 - first) / 2, rtol=1e-6)


def test_multi_view_loss_is_invariant_to_scale():
    scaled = mv(7 * KERNEL1, 7 * BIAS1, 0.01 * KERNEL2, 0.01 * BIAS2)
    np.testing.assert_allclose(scaled, mv(KERNEL1, BIAS1, KERNEL2, BIAS2), rtol=1e-6)


@pytest.mark.parametrize("signed", [False, True])
def test_multi_view_gradient(signed):
    weights = [jnp.asarray(RNG.normal(size=s), jnp.float32) for s in ((3, 2), (2,), (3, 2), (2,))]

    def loss(kernel1):
        return losses.multi_view_loss(kernel1, *weights[1:], signed=signed)

    gradient = jax.jit(jax.grad(loss))(weights[0])
    w1, w2 = (np.vstack([weights[i], weights[i + 1]]).astype(np.float64) for i in (0, 2))
    n1, n2 = np.linalg.norm(w1, axis=0), np.linalg.norm(w2, axis=0)
    cosine = (w1 * w2).sum(0) / (n1 * n2)
    expected = (w2 / (n1 * n2) - cosine * w1 / n1**2) / 2
    expected *= 1 if signed else np.sign(cosine)
    np.testing.assert_allclose(gradient, expected[:3], atol=1e-6)


def test_multi_view_loss_of_zero_weights_has_no_nan():
    zero = (jnp.zeros((2, 2)), jnp.zeros(2))
    value, gradients = jax.jit(jax.value_and_grad(losses.multi_view_loss, argnums=(0, 1, 2, 3)))(
        *zero, KERNEL2, BIAS2
    )
    assert value == 0
    assert all(np.isfinite(g).all() for g in gradients)


# ---- L_cr ----


def entropies(p, q):
    """The formula as printed, in double precision."""

    def entropy(p):
        return -(p * np.log(p) + (1 - p) * np.log(1 - p))

    return (entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2).mean()


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def test_co_regularization_loss_is_the_printed_formula():
    logits = RNG.normal(0, 3, (2, 6, 4)).astype(np.float32)
    value = cr(*logits)
    np.testing.assert_allclose(value, entropies(*sigmoid(logits)), rtol=1e-5)
    p, q = sigmoid(logits)
    distances = [
        jensenshannon([a, 1 - a], [b, 1 - b]) ** 2 for a, b in zip(p.flat, q.flat, strict=True)
    ]
    np.testing.assert_allclose(value, np.mean(distances), rtol=1e-5)
    # By hand: probabilities 0.5 and 0.9.
    value = cr(jnp.zeros((1, 1)), jnp.full((1, 1), math.log(9)))
    np.testing.assert_allclose(value, 0.610864 - (0.693147 + 0.325083) / 2, atol=1e-6)


def test_co_regularization_loss_is_symmetric_and_zero_for_equal_views():
    first, second = RNG.normal(0, 5, (2, 6, 4)).astype(np.float32)
    np.testing.assert_allclose(cr(first, second), cr(second, first), rtol=1e-6)
    assert cr(first, first) == 0
    gradient = jax.jit(jax.grad(losses.co_regularization_loss))(first, jnp.asarray(first))
    np.testing.assert_allclose(gradient, 0, atol=1e-8)


def test_co_regularization_gradient():
    first, second = RNG.normal(0, 3, (2, 3, 2)).astype(np.float32)
    gradient = jax.jit(jax.grad(losses.co_regularization_loss))(first, second)
    p, q = sigmoid(first), sigmoid(second)
    mean = (p + q) / 2
    # d/dx of H is p (1 - p) log((1 - p) / p); the mean's half comes from the chain rule.
    expected = p * (1 - p) * (np.log((1 - mean) / mean) - np.log((1 - p) / p)) / 2 / 6
    np.testing.assert_allclose(gradient, expected, atol=1e-7)


def test_co_regularization_is_finite_at_probabilities_0_and_1():
    extremes = (-1e4, -90.0, 0.0, 90.0, 1e4)
    pairs = np.array(list(itertools.product(extremes, extremes)), np.float32).T[..., None]
    value, gradients = jax.jit(jax.value_and_grad(losses.co_regularization_loss, argnums=(0, 1)))(
        *pairs
    )
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in gradients)
    # Certain and opposite: log 2, the greatest value.
    worst = cr(jnp.full((1, 1), 1e4), jnp.full((1, 1), -1e4))
    np.testing.assert_allclose(worst, math.log(2), rtol=1e-6)


# ---- Batch balancing ----


def column(positives, negatives, unknown=0):
    return np.repeat(np.array([1, 0, -1], np.int8), [positives, negatives, unknown])[:, None]


def kept(labels, alpha=0.2, rule="printed", key=0):
    chosen = np.asarray(mask(jax.random.PRNGKey(key), labels, alpha, rule))
    assert not chosen[labels == -1].any()
    assert chosen[labels == 1].all()
    return int(chosen[labels == 0].sum())


def test_the_papers_example_keeps_18_of_90_negatives():
    assert kept(column(10, 90)) == 18


@pytest.mark.parametrize(
    ("positives", "negatives", "unknown", "alpha", "rule", "expected"),
    [
        (18, 90, 0, 0.2, "printed", 90),  # 0.2 x 90 is not larger than 18
        (17, 90, 0, 0.2, "printed", 18),
        (0, 91, 9, 0.2, "printed", 19),  # 18.2, rounded up
        (0, 10, 0, 0.3, "printed", 3),  # 0.3 x 10 in floating point is a little above 3
        (10, 90, 0, 0.2, "released", 20),
        (10, 40, 50, 0.2, "released", 40),  # half of the known is 10, and there are 10
        (9, 40, 51, 0.2, "released", 10),  # ceil(0.2 x 49)
        (1, 3, 0, 0.9, "released", 3),  # no more than there are
        (0, 50, 0, 0.0, "printed", 50),  # off
        (0, 0, 50, 0.2, "printed", 0),
    ],
)
def test_balancing_by_hand(positives, negatives, unknown, alpha, rule, expected):
    assert kept(column(positives, negatives, unknown), alpha, rule) == expected


def test_balancing_is_per_au_and_random():
    labels = np.concatenate([column(10, 90), column(50, 50)], 1)
    first, second = (
        np.asarray(mask(jax.random.PRNGKey(k), labels, (0.2, 0.2), "printed")) for k in (1, 2)
    )
    assert first[:, 1].all()
    assert first[:, 0].sum() == second[:, 0].sum() == 28
    assert (first != second).any()
    by_au = np.asarray(mask(jax.random.PRNGKey(1), labels, (0.0, 0.2), "printed"))
    assert by_au.all()
    chances = jax.jit(
        jax.vmap(lambda k: losses.balanced_mask(k, jnp.asarray(column(10, 90)), 0.2))
    )(jax.random.split(jax.random.PRNGKey(3), 400))
    # Every negative is as likely to stay: 18 of 90; the standard error of each is 0.02.
    np.testing.assert_allclose(chances[:, 10:, 0].mean(0), 0.2, atol=0.1)


def test_an_unknown_rule_is_refused():
    with pytest.raises(UserError, match="unknown rule of batch balancing 'half'; known: printed"):
        losses.balanced_mask(jax.random.PRNGKey(0), jnp.zeros((2, 1), jnp.int8), 0.2, "half")


# ---- The method ----


def create(balance_alpha=0.0):
    """The method with weights 3 and 5 of its two further losses."""
    options = {
        "balance_alpha": balance_alpha,
        "lambda_mv": 3.0 * len(AUS),
        "lambda_cr": 5.0 * len(AUS),
    }
    return methods.create("multi_view", make_context(AUS, streams=("opt", "filtered")), options)


def stream(rows, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, 2, (rows, len(AUS)), np.int8)
    labels[:, 0] = 0
    return {
        "image": rng.integers(0, 256, (rows, 32, 32, 3), np.uint8),
        "labels": labels,
        "pose": np.zeros((rows, 3), np.float32),
    }


@pytest.fixture(scope="module")
def initialised():
    # The default generator takes four times as long to compile.
    return jax.jit(create().init)(jax.random.key(0, impl="rbg"))


@pytest.fixture(scope="module")
def batch():
    return {"opt": stream(4, 0), "filtered": stream(4, 1)}


def test_views_begin_apart(initialised):
    params, batch_stats, _ = initialised
    first, second = (params[v]["head_aus"]["kernel"] for v in multi_view.VIEWS)
    assert np.abs(first - second).max() > 0.01
    assert jax.tree.structure(params["view1"]) == jax.tree.structure(params["view2"])
    assert batch_stats.keys() == {"view1", "view2"}


@pytest.fixture(scope="module")
def loss():
    return jax.jit(create().loss)


def test_the_total_is_the_sum_of_its_parts(loss, initialised, batch):
    value, (stats, _, logs) = loss(*initialised, batch, 0, jax.random.PRNGKey(1))
    parts = 3 * logs["multi_view"] + 5 * logs["co_regularization"]
    np.testing.assert_allclose(value, logs["recognition"] + parts, rtol=1e-6)
    heads = [initialised[0][v]["head_aus"] for v in multi_view.VIEWS]
    expected = mv(heads[0]["kernel"], heads[0]["bias"], heads[1]["kernel"], heads[1]["bias"])
    np.testing.assert_allclose(logs["multi_view"], expected, rtol=1e-5)
    for view in multi_view.VIEWS:  # both networks saw the batch
        moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), stats[view], initialised[1][view])
        assert max(jax.tree.leaves(moved)) > 0


def test_balancing_leaves_entries_out(loss, initialised, batch):
    key = jax.random.PRNGKey(1)
    balanced = jax.jit(create(balance_alpha=0.2).loss)(*initialised, batch, 0, key)[1][2]
    every = loss(*initialised, batch, 0, key)[1][2]
    assert balanced["recognition"] < every["recognition"]
    np.testing.assert_allclose(balanced["co_regularization"], every["co_regularization"], rtol=1e-5)


def test_unknown_labels_leave_only_agreement_to_learn(loss, initialised, batch):
    blank = {n: {**s, "labels": np.full_like(s["labels"], -1)} for n, s in batch.items()}
    logs = loss(*initialised, blank, 0, jax.random.PRNGKey(1))[1][2]
    assert logs["recognition"] == 0
    assert logs["co_regularization"] > 0


def test_recognition_is_divided_by_all_entries():
    logits = jnp.array([[0.0, 2.0], [1.0, jnp.inf]])
    labels = jnp.array([[1, 0], [1, -1]], jnp.int8)
    counted = losses.known_mask(labels).at[0, 1].set(False)
    value, gradient = jax.jit(jax.value_and_grad(losses.selective_loss))(
        logits, labels == 1, counted
    )
    np.testing.assert_allclose(value, (math.log(2) + math.log1p(math.exp(-1))) / 4, rtol=1e-6)
    np.testing.assert_allclose(gradient, [[-0.5 / 4, 0], [(sigmoid(1) - 1) / 4, 0]], atol=1e-7)


def test_predict_is_the_mean_of_the_views(initialised):
    params, batch_stats, _ = initialised
    method = create()
    images, pose = stream(4, 5)["image"], np.zeros((4, 3), np.float32)
    predict = jax.jit(method.predict)

    def copies(view):
        """Variables whose two views are both `view`: its own prediction."""
        trees = {"params": params, "batch_stats": batch_stats}
        return {kind: dict.fromkeys(multi_view.VIEWS, tree[view]) for kind, tree in trees.items()}

    each = [sigmoid(predict(copies(view), images, pose)) for view in multi_view.VIEWS]
    assert np.abs(each[0] - each[1]).max() > 1e-3
    both = predict({"params": params, "batch_stats": batch_stats}, images, pose)
    assert both.dtype == np.float32
    np.testing.assert_allclose(sigmoid(both), (each[0] + each[1]) / 2, atol=1e-6)
