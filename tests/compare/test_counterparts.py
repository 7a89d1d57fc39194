"""Every method's training step in PyTorch against ours: losses, gradients, statistics, curves."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from trainings import (
    AUS,
    RATIOS,
    SGD,
    begin,
    double_precision,
    in_double,
    make_batch,
    make_trainings,
)

from au_jax import augment, losses, sharding
from au_jax.compare import methods as counterparts
from au_jax.compare.methods import co_training, face_pretraining, multi_label, multi_task, recot
from au_jax.compare.step import VARIANTS
from au_jax.errors import UserError
from au_jax.methods.recot import selective_balanced_loss
from au_jax.training.joined import join
from au_jax.training.optimizer import make_optimizer
from au_jax.training.step import TrainState, make_train_step

CONTRAST = {"queue": 6, "temperature": 0.3, "momentum": 0.75}
FACES = {"streams": ("faces",)}
CASES = {
    "multi_task": (
        "multi_task",
        {"damping": 0.5, "lambda_m": [1.0, 0.5, 2.0]},
        {
            "streams": {"opt": "opt", "clean": "opt", "noisy": "second"},
            "network": {"pose_branch": True, "pose_std": (10.0, 20.0, 5.0)},
        },
    ),
    "multi_view": ("multi_view", {"balance_rule": "released"}, {}),
    "supervised": ("supervised", RATIOS, {}),
    "recot": ("recot", {**RATIOS, "lambda_n": 0.7, "refine_after": 0.5}, {}),
    "recot, one view": (
        "recot",
        {**RATIOS, "views": 1, "refine_after": 0.0, "lambda_cons": 0.0},
        {},
    ),
    "emoco": ("emoco", {**CONTRAST, "emotion_weight": 0.7}, FACES),
    "moco": ("moco", {**CONTRAST, "bn": "split", "bn_groups": 2}, FACES),
    "face_identity": ("face_identity", {"sampled": 9, "margin": 0.3}, FACES),
    "expression": ("expression", {"label_smoothing": 0.2}, FACES),
    "multi_label": ("multi_label", {"weights": [1, 2, 6, 5]}, {}),
    "mlcr": ("mlcr", {**RATIOS, "lambda_mv": 4.0, "lambda_cr": 10.0}, {}),
    "mlcr, no graph": ("mlcr", {**RATIOS, "graph": False}, {}),
}


def of_case(case, **changes):
    """(method, PyTorch training, batches by seed)."""
    name, options, arguments = CASES[case]
    streams, soft = arguments.get("streams", ("clean", "noisy")), ("noisy",) * (case in SOFT)
    batches = functools.partial(make_batch, streams, soft=soft)
    return *make_trainings(name, options, **{**arguments, **changes}), batches


SOFT = {"multi_task"}


def relative(theirs, ours, floor):
    """The norm of the difference over the norm, which counts as `floor` at least."""
    return np.linalg.norm(theirs - ours) / max(np.linalg.norm(ours), floor)


def assert_first_step_agrees(method, training, batch):
    """The loss to 1e-5, every gradient to 1e-4, BatchNorm's statistics to 1e-6, in float64."""
    key, step = jax.random.PRNGKey(3), jnp.int32(0)
    variables = in_double(begin(method))
    draw = jax.jit(training.counterpart.draw)
    drawn = draw(variables[2], batch, step, key)
    gradient = jax.value_and_grad(method.loss, has_aux=True)
    (loss, (batch_stats, state, _)), grads = jax.jit(gradient)(*variables, batch, step, key)
    assert np.isfinite(loss)
    assert loss > 0
    training.load(*variables)
    theirs = training.gradients(drawn)
    ours = {
        name: np.asarray(array) for name, array in training.counterpart.state(grads, {}).items()
    }
    assert ours.keys() == theirs.keys()
    # What is nothing but rounding, such as a bias before BatchNorm, is measured by the others.
    floor = 1e-4 * max(np.linalg.norm(array) for array in ours.values())
    apart = {name: relative(theirs[name], array, floor) for name, array in ours.items()}
    worst = max(apart, key=apart.get)
    assert apart[worst] < 1e-4, (worst, apart[worst])
    after = training.counterpart.state(variables[0], batch_stats)
    for name, buffer in training.counterpart.module.state_dict().items():
        if "running" in name:
            np.testing.assert_allclose(buffer, after[name], rtol=1e-6, atol=1e-6, err_msg=name)
    training.load(*variables)
    np.testing.assert_allclose(training.step(drawn), loss, rtol=1e-5)
    return state


@pytest.mark.parametrize("case", CASES)
def test_the_first_step_agrees(case):
    with double_precision():
        method, training, batches = of_case(case, dtype=torch.float64)
        state = assert_first_step_agrees(method, training, batches())
        if "queues" in state:
            assert_queues_agree(training.counterpart, state)


def assert_queues_agree(counterpart, state):
    """The key encoder and the queues after a step."""
    emoco, queues = counterpart.loss.__self__, state["queues"]
    np.testing.assert_array_equal(emoco.queues.index, queues["index"])
    np.testing.assert_allclose(emoco.queues.keys, queues["keys"], atol=1e-6)
    assert emoco.queues.following == queues["next"].tolist()
    theirs = emoco.key_encoder.state_dict()
    ours = emoco.state({"encoder": state["params"]}, {"encoder": state["batch_stats"]})
    for name, array in ours.items():
        np.testing.assert_allclose(theirs[name.removeprefix("encoder.")], array, atol=1e-6)


@pytest.mark.parametrize(
    ("case", "network"),
    [
        ("multi_task", {"backbone": "resnet18", "fields": {"padding": "torch"}}),
        (
            "multi_label",
            {"backbone": "iresnet10", "fields": {"width": 8, "dropout": 0.0, "padding": "torch"}},
        ),
    ],
)
def test_the_first_step_of_a_deep_network_agrees(case, network, stand_ins):
    with double_precision():
        method, training, batches = of_case(case, dtype=torch.float64, network=network)
        assert_first_step_agrees(method, training, batches())


# ---- Curves ----


def curves(case, settings, steps):
    """The losses of both sides, [steps, 2], from the same draws in float32."""
    method, training, batches = of_case(case, settings=settings)
    optimizer, _ = make_optimizer(**settings)
    mesh = sharding.make_mesh(1)
    variables = begin(method)
    params, batch_stats, method_state = variables
    training.load(*variables)
    opt_state, key = optimizer.init(join(params, method.sharded)), jax.random.PRNGKey(5)
    state = TrainState(jnp.int32(0), params, batch_stats, opt_state, method_state, key)
    update, draw = make_train_step(method, optimizer, mesh), jax.jit(training.counterpart.draw)
    losses = []
    for number in range(steps):
        batch = sharding.put_batch(batches(number % 4), mesh)
        step_key = jax.random.fold_in(state.key, state.step)
        drawn = draw(state.method_state, batch, state.step, step_key)
        theirs = training.step(drawn)
        state, logs = update(state, batch)
        losses.append((float(logs["loss"]), theirs))
    return np.array(losses)


@pytest.mark.parametrize(
    ("case", "settings", "steps"),
    [
        ("multi_task", SGD, 20),
        ("emoco", {**SGD, "name": "adam", "learning_rate": 1e-3, "schedule": "cosine"}, 10),
    ],
)
def test_loss_curves_stay_together(case, settings, steps):
    ours, theirs = curves(case, settings, steps).T
    np.testing.assert_allclose(theirs, ours, rtol=1e-3)
    assert np.ptp(ours) > 0.1


# ---- Variants ----


@functools.cache
def after_updates(variant, case, steps=3):
    """The losses of a few updates and the parameters after them, on one batch."""
    method, training, batches = of_case(case, variant=VARIANTS[variant])
    variables = begin(method)
    drawn = jax.jit(training.counterpart.draw)(
        variables[2], batches(), jnp.int32(0), jax.random.PRNGKey(0)
    )
    training.load(*variables)
    placed = training.place(drawn)
    layout = torch.contiguous_format if variant == "eager" else torch.channels_last
    assert all(
        image.is_contiguous(memory_format=layout)
        for image in jax.tree.leaves(placed)
        if image.ndim == 4
    )
    values = [training.step(placed) for _ in range(steps)]
    return values, {n: p.detach() for n, p in training.counterpart.module.named_parameters()}


@pytest.mark.parametrize(
    ("case", "variant", "loss", "weights"),
    [
        ("multi_label", "channels_last", 1e-5, 1e-5),
        ("multi_label", "compile", 1e-5, 1e-5),
        ("multi_label", "amp", 0.05, 0.2),
        ("moco", "amp", 0.05, 0.2),
    ],
)
def test_variants_compute_the_same(case, variant, loss, weights, monkeypatch):
    # The compiler's front end without its code generation, which takes a minute.
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    plain, given = after_updates("eager", case), after_updates(variant, case)
    np.testing.assert_allclose(given[0], plain[0], rtol=loss)
    for name, array in plain[1].items():
        assert relative(given[1][name], array, 1e-3) < weights, name
    if variant == "amp":
        assert given[0] != plain[0]


# ---- Prediction ----


@pytest.mark.parametrize(
    "case", ["multi_task", "multi_view", "recot", "multi_label", "mlcr", "moco"]
)
def test_predictions_agree(case):
    method, training, batches = of_case(case)
    params, batch_stats, method_state = begin(method)
    ((_, batch), *_) = batches().items()
    variables = method.kept(params, batch_stats, method_state)
    ours = jax.jit(method.predict)(variables, batch["image"], batch["pose"])
    training.load(params, batch_stats, method_state)
    crops = augment.center_crop(jnp.asarray(batch["image"]), 32)
    placed = training.place({"images": crops, "pose": batch["pose"]})
    theirs = training.counterpart.predict(placed["images"], placed["pose"])
    np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-4)
    assert theirs.shape == (8, 0 if case == "moco" else len(AUS))
    assert training.counterpart.module.training


# ---- Losses by themselves ----

RANDOM = np.random.default_rng(7)
LOGITS = RANDOM.normal(0, 3, (2, 8, len(AUS))).astype(np.float32)
LABELS = RANDOM.integers(-1, 2, (8, len(AUS)), np.int8)
NO_LABELS = np.full_like(LABELS, -1)


def both(jax_loss, torch_loss, *arrays):
    """Asserts that a loss of the first array and its gradient are the same on both sides."""
    ours, gradient = jax.value_and_grad(jax_loss)(*map(jnp.asarray, arrays))
    tensors = [torch.tensor(array) for array in arrays]
    tensors[0].requires_grad_()
    theirs = torch_loss(*tensors)
    theirs.backward()
    np.testing.assert_allclose(theirs.item(), ours, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(tensors[0].grad, gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("labels", [LABELS, NO_LABELS])
def test_the_losses_of_known_labels(labels):
    weights = np.float32([1, 2, 6, 5])
    classes = RANDOM.uniform(0.5, 2, (8, len(AUS), 2)).astype(np.float32)
    both(
        lambda x, y, w: losses.weighted_bce(x, y, w, 0.2),
        lambda x, y, w: multi_task.balanced_loss(x, y, w, 0.2),
        *(LOGITS[0], labels, classes),
    )
    for ours, theirs in (
        (losses.au_weighted_bce, multi_label.weighted_bce),
        (losses.multi_label_loss, multi_label.multi_label),
    ):
        both(
            functools.partial(ours, smoothing=0.1),
            lambda x, y, w, term=theirs: term(*multi_label.weighted_entries(x, y, w, 0.1)),
            *(LOGITS[0], labels, weights),
        )
    for gamma in (0.9, 0.3, 1.0):
        both(
            lambda x, z, y, gamma=gamma: selective_balanced_loss(x, z, y, 1.0, 0.1, gamma)[0],
            lambda x, z, y, gamma=gamma: recot.noisy_loss(x, z, y, 1.0, 0.1, gamma),
            *(LOGITS[0], LOGITS[1], labels),
        )


def test_the_agreement_of_two_views():
    both(losses.co_regularization_loss, co_training.co_regularization_loss, *LOGITS)
    alike = LOGITS[0] + np.float32(1e-3)
    both(losses.co_regularization_loss, co_training.co_regularization_loss, LOGITS[0], alike)


@pytest.mark.parametrize("damping", [0.0, 0.5, 1.0])
def test_damped_class_weights(damping):
    counts = [5.0, 9.0, 0.0, 20.0], [30.0, 11.0, 3.0, 10.0]
    ours = losses.damped_class_weights(*counts, damping)
    np.testing.assert_allclose(multi_task.class_weights(*counts, damping), ours, rtol=1e-6)


@pytest.mark.parametrize("labels", [[0, 3, -1, 2], [-1] * 4])
def test_the_margin_softmax(labels):
    # The second embedding points away from its centre, beyond the margin's reach.
    centres = RANDOM.normal(size=(6, 5)).astype(np.float32)
    embeddings = np.stack([centres[0], 0.1 - centres[3], centres[1], centres[5]]) + np.float32(0.1)

    def ours(x, w, y):
        return losses.arcface_loss(losses.class_cosines(x, w), y, 8.0, 0.5)[0]

    both(
        ours,
        lambda x, w, y: face_pretraining.arcface_loss(x, w, y, 8.0, 0.5),
        *(embeddings, centres, np.int64(labels)),
    )


def test_a_method_without_a_counterpart_is_named():
    with pytest.raises(UserError, match=r"'mixup'; known: multi_task, multi_view, recot"):
        counterparts.create("mixup", None, {})
