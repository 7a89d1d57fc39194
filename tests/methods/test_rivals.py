"""ReCoT's rivals: each one's own term by hand, and its total where every logit is known."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small import (
    PIXELS,
    constant,
    create,
    cross_entropy,
    make_batch,
    numeric_gradient,
    sigmoid,
    start,
    value_and_grads,
)

from au_jax import losses, sharding
from au_jax.errors import UserError
from au_jax.methods import bootstrapping, deep_co_training, distillation, mean_teacher, mixup, mlct
from au_jax.methods.co_training import Networks
from au_jax.training.step import init_state, make_train_step

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 2, (1, 5, 3)).astype(np.float32)
UNKNOWN = RNG.integers(-1, 2, (5, 3)).astype(np.int8)


# ---- The terms ----


@pytest.mark.parametrize("hard", [False, True])
def test_bootstrapped_targets(hard):
    def loss(x):
        labels = jnp.asarray(UNKNOWN[None])
        targets = bootstrapping.bootstrapped(x, labels, 0.8, hard)
        return losses.selective_loss(x, targets, labels >= 0)

    value, gradient = jax.jit(jax.value_and_grad(loss))(LOGITS)

    def slow(x):
        total = 0.0
        for i, k in np.ndindex(UNKNOWN.shape):
            if UNKNOWN[i, k] >= 0:
                p = sigmoid(x[0, i, k])
                predicted = float(x[0, i, k] > 0) if hard else p
                total += cross_entropy(x[0, i, k], 0.8 * UNKNOWN[i, k] + 0.2 * predicted)
        return total / UNKNOWN.size

    np.testing.assert_allclose(value, slow(LOGITS), rtol=1e-5)
    np.testing.assert_allclose(gradient, numeric_gradient(slow, LOGITS), atol=1e-6)


def test_bootstrapped_targets_by_hand():
    x, y = jnp.array([math.log(3), math.log(3), -2.0]), jnp.array([1, 0, 0], jnp.int8)
    soft = bootstrapping.bootstrapped(x, y, 0.95, False)
    np.testing.assert_allclose(soft[:2], [0.95 + 0.05 * 0.75, 0.05 * 0.75], rtol=1e-6)
    hard = bootstrapping.bootstrapped(x, y, 0.8, True)
    np.testing.assert_allclose(hard, [1, 0.2, 0], atol=1e-7)


def test_mixed_loss_is_that_of_mixed_labels():
    labels = RNG.integers(0, 2, (5, 3)).astype(np.int8)
    partner, share = np.array([1, 0, 3, 4, 2]), 0.3
    counted = np.ones_like(labels, bool)
    loss = jax.jit(jax.value_and_grad(mixup.mixed_loss))
    value, gradient = loss(LOGITS[0], labels, counted, partner, share)
    targets = np.asarray(jax.jit(mixup.mixed)(labels.astype(np.float32), partner, share))
    np.testing.assert_allclose(targets[0], 0.3 * labels[0] + 0.7 * labels[1], rtol=1e-6)
    expected = np.mean(
        [cross_entropy(x, t) for x, t in zip(LOGITS.flat, targets.flat, strict=True)]
    )
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, (sigmoid(LOGITS[0]) - targets) / 15, atol=1e-7)
    # An image of which nothing is known leaves its partner's part.
    counted[0] = False
    value, gradient = loss(LOGITS[0], labels, counted, partner, share)
    np.testing.assert_allclose(
        gradient[0], 0.7 * (sigmoid(LOGITS[0, 0]) - labels[1]) / 15, atol=1e-7
    )
    np.testing.assert_allclose(
        gradient[1], 0.3 * (sigmoid(LOGITS[0, 1]) - labels[1]) / 15, atol=1e-7
    )


def test_soft_loss_leaves_out_what_the_teacher_does_not_know():
    soft = np.array([[0.25, -1.0, np.nan]], np.float32)
    logits = np.array([[[math.log(3), 1.0, np.inf]]], np.float32)
    value, gradient = jax.jit(jax.value_and_grad(distillation.soft_loss))(logits, soft)
    expected = -(0.25 * math.log(0.75) + 0.75 * math.log(0.25)) / 3
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, [[[0.5 / 3, 0, 0]]], atol=1e-7)


def test_the_teacher_is_a_running_average():
    average = jax.jit(mean_teacher.averaged, static_argnums=3)
    # The decay grows: 1/2 at the first update, 9/10 at the ninth, 0.999 in the end.
    for step, decay in ((0, 0.5), (8, 0.9), (10**6, 0.999)):
        teacher = average({"w": 3.0}, {"w": 1.0}, step, 0.999)["w"]
        np.testing.assert_allclose(teacher, decay * 3 + (1 - decay), rtol=1e-6)


def test_ramp_up():
    np.testing.assert_allclose(
        [losses.ramp_up(step, 4) for step in (0, 2, 4, 9)],
        [math.exp(-5), math.exp(-1.25), 1, 1],
        rtol=1e-6,
    )
    assert losses.ramp_up(0, 0) == 1


def test_adversarial_images_move_against_the_label():
    weights = np.array([[1.0, -1.0], [-2.0, 0.5], [0.0, 0.0]], np.float32)  # of 3 pixels, 2 AUs

    def network(images):
        return images.reshape(len(images), 3) @ weights - 0.1, None

    images = np.array([[0.5, 0.5, 0.5], [0.995, 0.005, 0.5]], np.float32).reshape(2, 3, 1, 1)
    # AU 0 of the first image alone would move it down its weights; image 2 goes by its decisions,
    # AU 0 present (0.885) and AU 1 absent (-1.0925).
    labels = np.array([[1, 1], [-1, -1]], np.int8)
    gradients = []
    for image, targets in zip(images.reshape(2, 3), ([1, 1], [1, 0]), strict=True):
        logits = image @ weights - 0.1
        gradients.append(weights @ (sigmoid(logits) - targets))
    moved = jax.jit(lambda x: deep_co_training.adversarial(network, x, jnp.asarray(labels), 0.02))(
        images
    )
    expected = np.clip(images.reshape(2, 3) + 0.02 * np.sign(gradients), 0, 1)
    np.testing.assert_allclose(moved.reshape(2, 3), expected, atol=1e-6)
    assert (expected != images.reshape(2, 3)).any(1).all()
    gradient = jax.jit(
        jax.grad(
            lambda x: deep_co_training.adversarial(network, x, jnp.asarray(labels), 0.02).sum()
        )
    )(images)
    assert not np.any(gradient)


def test_view_difference_is_a_cross_entropy_between_networks():
    plain, fooled = jnp.array([[math.log(3), 0.0]]), jnp.array([[0.0, math.log(4)]])
    value = deep_co_training.view_difference_loss(plain, fooled)
    # H((3/4), 1/2) = log 2 and H(1/2, 4/5) = -(log 0.8 + log 0.2) / 2.
    expected = (math.log(2) - (math.log(0.8) + math.log(0.2)) / 2) / 2
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_handed_labels_are_the_other_views_most_confident_of_each_au():
    teacher = np.array([[3.0, 0.1], [-4.0, -0.2], [0.5, 0.3], [-3.0, 0.3]], np.float32)
    logits = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, -1.0], [3.0, 0.5]], np.float32)
    loss = jax.jit(jax.value_and_grad(mlct.handed_loss, argnums=(0, 1)), static_argnums=2)
    value, (gradient, to_teacher) = loss(logits, teacher, 0.5)
    # AU 0: images 1 (absent) and 0 (present, before 3 at the same confidence); AU 1: 2 and 3.
    handed = {(1, 0): 0, (0, 0): 1, (2, 1): 1, (3, 1): 1}
    expected = np.zeros_like(logits)
    for place, target in handed.items():
        expected[place] = (sigmoid(logits[place]) - target) / 4
    np.testing.assert_allclose(
        value, np.mean([cross_entropy(logits[p], t) for p, t in handed.items()]), rtol=1e-6
    )
    np.testing.assert_allclose(gradient, expected, atol=1e-7)
    assert not np.any(to_teacher)
    with pytest.raises(UserError, match=r"handed_share is 0.0, .* above 0 and up to 1"):
        create("mlct", handed_share=0.0)


# ---- The totals, where each head tells its bias whatever the image ----

CLEAN = np.array([[0.3, -1.0, 2.0, -0.2], [0.1, 0.5, 1.0, -0.4]])
NOISY = np.array([[-0.6, 0.8, -1.5, 0.1]])
TEACHER = np.array([[0.5, 0.2, -2.0, 0.3]])
BATCH = make_batch()
C_LABELS, N_LABELS = (BATCH[s]["labels"] for s in ("clean", "noisy"))
ALL_LABELS = np.concatenate([C_LABELS, N_LABELS])


def mean_loss(row, labels, targets=None):
    """Cross entropy of the same logits [A] on every image, over known entries, by all entries."""
    targets = labels if targets is None else targets
    total = sum(
        cross_entropy(row[k], targets[i, k])
        for i, k in np.ndindex(labels.shape)
        if labels[i, k] >= 0
    )
    return total / labels.size


def divergence(first, second):
    def entropy(p):
        return -(p * np.log(p) + (1 - p) * np.log(1 - p))

    p, q = sigmoid(first), sigmoid(second)
    return (entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2).mean()


def between(first, second):
    """Mean cross entropy H(p, q)."""
    return np.mean([cross_entropy(b, sigmoid(a)) for a, b in zip(first, second, strict=True)])


def two(clean):
    return (mean_loss(clean[0], C_LABELS) + mean_loss(clean[1], C_LABELS)) / 2


def distilled(clean, noisy):
    soft = BATCH["noisy"]["soft"]
    known = np.where(soft >= 0, 1, -1)
    return mean_loss(clean[0], C_LABELS) + 0.5 * mean_loss(clean[0], known, soft)


def bootstrapped(clean, noisy):
    predicted = 0.8 * N_LABELS + 0.2 * (CLEAN[:1] > 0)
    parts = mean_loss(clean[0], C_LABELS) * C_LABELS.size
    parts += mean_loss(clean[0], N_LABELS, predicted) * N_LABELS.size
    return parts / ALL_LABELS.size


def handed(clean, noisy):
    decided = [
        np.mean([cross_entropy(x, t > 0) for x, t in zip(clean[v], CLEAN[1 - v], strict=True)])
        for v in range(2)
    ]
    return two(clean) + 0.5 * sum(decided) / 2


RAMP = math.exp(-1.25)  # step 2 of 4
TOTALS = {
    "supervised": lambda clean, noisy: mean_loss(clean[0], ALL_LABELS),
    "bootstrapping": bootstrapped,
    # With one logit for all images the order of the labels does not matter.
    "mixup": lambda clean, noisy: mean_loss(clean[0], ALL_LABELS),
    "distillation": distilled,
    "noise_residual": lambda clean, noisy: (
        mean_loss(clean[0], C_LABELS) + 0.5 * mean_loss(clean[0] + noisy[0], N_LABELS)
    ),
    "mean_teacher": lambda clean, noisy: (
        mean_loss(clean[0], C_LABELS)
        + 3.0 * RAMP * np.mean((sigmoid(clean[0]) - sigmoid(TEACHER[0])) ** 2)
    ),
    # A network that tells its bias is fooled by nothing.
    "deep_co_training": lambda clean, noisy: (
        2 * two(clean)
        + RAMP * (10 * divergence(*clean) + 0.5 * (between(*clean) + between(*clean[::-1])))
    ),
    # Two classifiers of a bias alone are parallel.
    "mlcr": lambda clean, noisy: two(clean) + 10 + 25 * divergence(*clean),
    "mlct": handed,
}


@pytest.fixture(scope="module", params=TOTALS)
def rival(request):
    """(name, method, variables)."""
    # A graph of random weights leaves no classifier a bias alone.
    plain = {"graph": False} if request.param == "mlcr" else {}
    method = create(request.param, **plain)
    return request.param, method, start(method)


def test_totals(rival):
    name, method, (params, batch_stats, state) = rival
    views = len(params)
    heads = {"clean": CLEAN[:views]}
    if name == "noise_residual":
        heads["noisy"] = NOISY
    if name == "mean_teacher":
        state = state | {"params": constant(params, clean=TEACHER)}
    variables = (constant(params, **heads), batch_stats, state)
    (value, (stats, after, _)), grads = value_and_grads(method, variables, BATCH, step=2)
    total = TOTALS[name]
    np.testing.assert_allclose(value, total(CLEAN, NOISY), rtol=1e-5)
    expected = numeric_gradient(lambda x: total(x, NOISY), CLEAN)[:views]
    bias_gradients = [grads[view]["output_clean"]["bias"] for view in params]
    np.testing.assert_allclose(bias_gradients, expected, atol=1e-5)
    if name == "noise_residual":
        expected = numeric_gradient(lambda x: total(CLEAN, x), NOISY)
        np.testing.assert_allclose(grads["view1"]["output_noisy"]["bias"], expected[0], atol=1e-6)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert jax.tree.structure(stats) == jax.tree.structure(batch_stats)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), stats, batch_stats)
    assert min(jax.tree.leaves(moved)) > 0
    kept = method.kept(*variables)
    images, pose = np.zeros((2, PIXELS, PIXELS, 3), np.uint8), np.zeros((2, 3), np.float32)
    mean = sigmoid(TEACHER if name == "mean_teacher" else CLEAN[:views]).mean(0)
    predicted = sigmoid(jax.jit(method.predict)(kept, images, pose))
    np.testing.assert_allclose(predicted, np.tile(mean, (2, 1)), atol=1e-6)


def test_the_first_network_begins_alike_in_all_methods():
    first = []
    for name in ("supervised", "recot"):
        method = create(name)
        variables = jax.jit(method.init)(jax.random.PRNGKey(0))
        first.append(method.kept(*variables)["params"]["view1"])
    jax.tree.map(np.testing.assert_array_equal, *first)


def test_noisy_labels_are_not_used_by_the_semi_supervised():
    # All but the field itself: a method that reads it would fail.
    blind = {
        s: {n: v for n, v in fields.items() if n != "labels" or s == "clean"}
        for s, fields in BATCH.items()
    }
    methods = [create(n) for n in ("mean_teacher", "deep_co_training", "mlcr", "mlct")]
    methods += [create("distillation"), create("recot", lambda_n=0.0, refine_after=0.0)]
    for method in methods:
        assert method.unlabelled == ("noisy",)
        shapes = jax.eval_shape(method.init, jax.random.PRNGKey(0))
        jax.eval_shape(method.loss, *shapes, blind, jnp.int32(0), jax.random.PRNGKey(0))


def test_a_step_moves_the_teacher_behind_the_student():
    mesh = sharding.make_mesh(8)
    method = create("mean_teacher", augmentation={"flip": 0.5})
    state = init_state(method, optax.sgd(0.1), 0, mesh)
    step = make_train_step(method, optax.sgd(0.1), mesh)
    kernels = []
    for number in range(2):
        state, _ = step(state, sharding.put_batch(make_batch(number), mesh))
        both = (state.params, state.method_state["params"])
        kernels.append([np.asarray(p["view1"]["output_clean"]["kernel"]) for p in both])
    assert step._cache_size() == 1
    expected = (2 * kernels[0][1] + kernels[1][0]) / 3  # decay 2/3 at the second update
    np.testing.assert_allclose(kernels[1][1], expected, atol=1e-6)
    assert np.abs(kernels[1][1] - kernels[1][0]).max() > 1e-4


def test_mixup_shows_the_network_mixed_images(monkeypatch):
    shown, apply = [], Networks.apply

    def remembered(self, *arguments):
        shown.append(arguments[3:5])
        return apply(self, *arguments)

    monkeypatch.setattr(Networks, "apply", remembered)
    monkeypatch.setattr(jax.random, "beta", lambda *_: jnp.asarray(0.25))
    monkeypatch.setattr(jax.random, "permutation", lambda _, count: jnp.arange(count)[::-1])
    method, batch = create("mixup"), make_batch()
    batch["noisy"]["pose"] += np.arange(16, dtype=np.float32)[:, None]
    variables, arrays = jax.tree.map(jnp.asarray, (start(method), batch))
    method.loss(*variables, arrays, 0, jax.random.PRNGKey(0))
    images = np.concatenate([batch[s]["image"] for s in ("clean", "noisy")]) / 255
    pose = np.concatenate([batch[s]["pose"] for s in ("clean", "noisy")])
    for found, plain in zip(shown[0], (images, pose), strict=True):
        np.testing.assert_allclose(found, 0.25 * plain + 0.75 * plain[::-1], atol=1e-5)


def test_networks_are_fooled_by_images_made_against_each_other():
    def difference(epsilon):
        method = create("deep_co_training", epsilon=epsilon)
        loss, key = jax.jit(method.loss), jax.random.PRNGKey(0)
        _, (_, _, logs) = loss(*start(method), make_batch(), 0, key)
        return logs["loss_difference"]

    assert difference(0.1) > difference(1e-4) + 1e-4


def test_teacher_and_student_see_images_augmented_apart():
    def gap(**augmentation):
        method = create("mean_teacher", augmentation=augmentation)
        params, batch_stats, _ = start(method)
        state = {"params": params, "batch_stats": batch_stats}
        loss, key = jax.jit(method.loss), jax.random.PRNGKey(0)
        _, (_, _, logs) = loss(params, batch_stats, state, make_batch(), 0, key)
        return logs["loss_consistency"]

    assert gap() == 0
    assert gap(brightness=1.0) > 1e-6


def test_an_unknown_stream_is_refused():
    with pytest.raises(UserError, match="unknown stream of method supervised 'opt'; known: clean"):
        create("supervised", streams=["opt"])


# ---- MLCR's graph ----

RELATED = ((1.0, -0.4, 0.0, 0.3), (-0.1, 1.0, 0.0, 0.2), (0.0, 0.0, 1.0, 0.0), (0.9, 0.6, 0.0, 1.0))


@pytest.fixture(scope="module")
def related():
    """(method, variables) of MLCR with a graph that has edges."""
    method = create("mlcr", facts={"dependencies": RELATED})
    return method, start(method)


def test_the_graphs_classifiers_are_kept_and_predict(related):
    method, (params, batch_stats, state) = related
    assert set(params) == {"view1", "view2", "graph"}
    kept = method.kept(params, batch_stats, state)
    # Two plain networks, as without a graph.
    plain = create("mlcr", graph=False)
    assert jax.tree.structure(kept) == jax.tree.structure(plain.kept(*start(plain)))
    strength = np.abs(RELATED)
    scale = np.diag(strength.sum(1) ** -0.5)
    edges = scale @ strength.T @ scale
    first, second = (np.float64(params["graph"][f"layer{n}"]["kernel"]) for n in (1, 2))
    for view in ("view1", "view2"):
        layer = params[view]["output_clean"]
        nodes = np.concatenate([layer["kernel"], layer["bias"][None]]).T
        hidden = edges @ nodes @ first
        nodes = edges @ np.where(hidden > 0, hidden, 0.2 * hidden) @ second
        for part, expected in (("kernel", nodes[:, :-1].T), ("bias", nodes[:, -1])):
            found = kept["params"][view]["output_clean"][part]
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
        jax.tree.map(
            np.testing.assert_array_equal, kept["params"][view]["net"], params[view]["net"]
        )


def test_an_au_learns_from_its_neighbours_labels_alone(related):
    method, variables = related
    # Only AU51, which has no neighbour, has a label; then only AU01, which has AU12 and AU52.
    options = {"lambda_mv": 0.0, "lambda_cr": 0.0, "facts": {"dependencies": RELATED}}
    method = create("mlcr", **options)
    for labelled, moved in ((2, [2]), (0, [0, 1, 3])):
        batch = make_batch()
        labels = np.full_like(batch["clean"]["labels"], -1)
        labels[:, labelled] = 1
        batch["clean"]["labels"] = labels
        _, grads = value_and_grads(method, variables, batch)
        for view in ("view1", "view2"):
            moves = np.abs(grads[view]["output_clean"]["kernel"]).sum(0)
            assert np.flatnonzero(moves).tolist() == moved
