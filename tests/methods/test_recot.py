"""ReCoT: every term against loops written from the equations, the step against PyTorch."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
import torch.nn.functional as F
from small import (
    AUS,
    SHARES,
    constant,
    create,
    cross_entropy,
    make_batch,
    networks_of,
    numeric_gradient,
    sigmoid,
    start,
    value_and_grads,
)
from torch import nn

from au_jax import augment, losses, sharding
from au_jax.data.pipeline import Stream
from au_jax.data.sources import open_source
from au_jax.errors import UserError
from au_jax.methods import recot
from au_jax.run_dir import StageFolder
from au_jax.training.checkpoint import Checkpoints
from au_jax.training.loop import Training, train
from au_jax.training.step import init_state, make_train_step

RNG = np.random.default_rng(0)
VIEWS = ("view1", "view2")


# ---- The equations, written as loops ----


def selected_entries(logits, labels, label, gamma):
    """D_p or D_n: the places of the smallest losses, equal ones in row-major order."""
    losses = []
    for i in range(labels.shape[0]):
        for k in range(labels.shape[1]):
            if labels[i, k] == label:
                losses.append((cross_entropy(logits[i, k], label), i, k))
    count = math.floor(round(gamma * len(losses), 9))
    if losses and count == 0:
        count = 1
    return [(i, k) for _, i, k in sorted(losses)[:count]]


def slow_noisy(logits, ranked_by, labels, alpha, beta, gamma):
    """Eq. 4 of one view, which learns from what has the smallest loss under the other."""
    total = 0.0
    for weight, label in ((alpha, 1), (beta, 0)):
        places = selected_entries(ranked_by, labels, label, gamma)
        for i, k in places:
            p = sigmoid(logits[i, k])
            total -= weight / len(places) * np.log(p if label == 1 else 1 - p)
    return total


def slow_clean(logits, labels, counted):
    """Eq. 2 with its minus sign, of one view."""
    images, aus = labels.shape
    total = 0.0
    for i in range(images):
        for k in range(aus):
            if counted[i, k] and labels[i, k] >= 0:
                total += cross_entropy(logits[i, k], labels[i, k])
    return total / (images * aus)


def slow_consistency(first, second):
    """Eq. 5."""

    def entropy(p):
        return -(p * np.log(p) + (1 - p) * np.log(1 - p))

    total = 0.0
    for a, b in zip(first.ravel(), second.ravel(), strict=True):
        p, q = sigmoid(a), sigmoid(b)
        total += entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2
    return total / first.size


LABELS = {
    "unknown": RNG.integers(-1, 2, (7, 4)).astype(np.int8),
    "known": RNG.integers(0, 2, (7, 4)).astype(np.int8),
    "no positives": -RNG.integers(0, 2, (7, 4)).astype(np.int8),
    "no negatives": np.where(RNG.integers(0, 2, (7, 4)), 1, -1).astype(np.int8),
    "nothing known": np.full((7, 4), -1, np.int8),
}
SMOOTH = RNG.normal(0, 3, (2, 7, 4)).astype(np.float32)
TIES = np.round(SMOOTH)  # few distinct values


# ---- Terms ----


noisy_loss = jax.jit(
    jax.value_and_grad(recot.selective_balanced_loss, argnums=(0, 1), has_aux=True),
    static_argnums=(3, 4, 5),
)


@pytest.mark.parametrize("gamma", [1e-6, 0.35, 0.9, 1.0])
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("logits", [SMOOTH, TIES], ids=["smooth", "ties"])
def test_selective_balanced_loss(logits, labels, gamma):
    of_view, other = logits
    (value, chosen), (gradient, through_ranking) = noisy_loss(
        of_view, other, labels, 0.8, 0.1, gamma
    )
    np.testing.assert_allclose(
        value, slow_noisy(of_view, other, labels, 0.8, 0.1, gamma), rtol=1e-5, atol=1e-7
    )
    expected = numeric_gradient(lambda x: slow_noisy(x, other, labels, 0.8, 0.1, gamma), of_view)
    np.testing.assert_allclose(gradient, expected, atol=1e-6)
    assert not np.any(through_ranking)
    places = [p for label in (1, 0) for p in selected_entries(other, labels, label, gamma)]
    assert sorted(zip(*np.nonzero(chosen), strict=True)) == sorted(places)


def test_selective_balanced_loss_by_hand():
    # Positives: entries 0, 1, 2; the other view's two smallest losses are those of 2 and 0.
    labels = np.array([[1, 1, 1, 0, 0, -1]], np.int8)
    other = np.array([[1.0, -1.0, 2.0, 3.0, -3.0, 9.0]], np.float32)
    of_view = np.array([[0.0, 5.0, math.log(3), math.log(4), 0.0, np.inf]], np.float32)
    (value, chosen), (gradient, _) = noisy_loss(of_view, other, labels, 1.0, 0.5, 0.7)
    # floor(0.7 x 3) = 2 positives and floor(0.7 x 2) = 1 negative.
    np.testing.assert_array_equal(chosen, [[True, False, True, False, True, False]])
    expected = (math.log(2) + math.log(4 / 3)) / 2 + 0.5 * math.log(2)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, [[-0.25, 0, -0.125, 0, 0.25, 0]], atol=1e-7)


def test_a_small_loss_share_is_rounded_down_exactly():
    count = jax.jit(lambda v, gamma: recot.small_loss(v, v < 9, gamma).sum(), static_argnums=1)
    for entries, gamma, expected in ((10, 0.9, 9), (30, 0.1, 3), (7, 0.29, 2), (100, 0.29, 29)):
        values = np.full((20, 6), 9, np.float32)
        values.ravel()[:entries] = RNG.permutation(entries) / 100
        assert count(values, gamma) == expected, (entries, gamma)


def test_of_two_sure_entries_the_surer_one_is_kept():
    """Losses near 1e-8 and 1e-7, which a difference of nearly equal numbers would make 0."""
    logits = jnp.array([[16.0, 18.0, 17.0]])
    values = losses.binary_cross_entropy(logits, jnp.ones((1, 3), bool))
    kept = recot.small_loss(values, jnp.ones((1, 3), bool), 1 / 3)
    np.testing.assert_array_equal(kept, [[False, True, False]])


clean_term = jax.jit(jax.value_and_grad(losses.selective_loss))


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_clean_loss_is_the_printed_one_with_a_minus(labels):
    counted = (labels >= 0) & RNG.integers(0, 2, labels.shape).astype(bool)
    logits = np.where(labels >= 0, SMOOTH, np.inf)
    value, gradient = clean_term(logits, labels[None] == 1, np.stack([counted] * 2))

    def slow(both):
        return sum(slow_clean(both[v], labels, counted) for v in range(2)) / 2

    np.testing.assert_allclose(value, slow(SMOOTH), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(gradient, numeric_gradient(slow, SMOOTH), atol=1e-7)


def test_selective_learning_draws_for_each_view():
    labels = np.zeros((40, 2), np.int8)
    labels[:3] = 1  # fewer than half = 0.2 x 40 in both
    labels[3:10, 1] = 1  # not fewer
    method = create("recot", aus=AUS[:2], selective_ratios=(0.2, 0.2))
    masks = jax.jit(networks_of(method).selective_masks)(jax.random.PRNGKey(0), labels)
    for mask in np.asarray(masks):
        assert mask[:3, 0].all()
        assert mask[3:, 0].sum() == 8
        assert mask[:, 1].all()
    assert (masks[0] != masks[1]).any()


def test_consistency():
    value, gradient = jax.jit(jax.value_and_grad(losses.co_regularization_loss))(*SMOOTH)
    np.testing.assert_allclose(value, slow_consistency(*SMOOTH), rtol=1e-5)
    expected = numeric_gradient(lambda x: slow_consistency(x, SMOOTH[1]), SMOOTH[0])
    np.testing.assert_allclose(gradient, expected, atol=1e-7)


def test_refined_labels():
    given = np.array([[1, 0, 1, 0, -1, 1]], np.int8)
    fusion = np.array([[0.51, 0.49, 0.49, 0.51, 0.9, 0.5]], np.float32)
    refined = jax.jit(recot.refined_labels)(given, fusion)
    np.testing.assert_array_equal(refined, [[1, 0, 0, 1, -1, 0]])
    assert refined.dtype == np.int8


# ---- The whole loss ----


@pytest.fixture(scope="module")
def method():
    return create("recot")


@pytest.fixture(scope="module")
def variables(method):
    params, batch_stats, state = start(method)
    fusion = np.random.default_rng(1).uniform(0, 1, state["fusion"].shape)
    return params, batch_stats, state | {"fusion": fusion.astype(np.float32)}


@pytest.fixture(scope="module")
def batch():
    return make_batch()


CLEAN_BIAS = [[0.3, -1.0, 2.0, -0.2], [0.1, -0.5, 1.0, 0.4]]
NOISY_BIAS = [[-0.6, 0.8, -1.5, 0.1], [0.5, 0.2, -2.0, 0.3]]


@pytest.mark.parametrize("finished", [0, 1])
def test_the_total_is_equation_1_on_given_labels_before_epoch_k_and_refined_ones_after(
    method, variables, batch, finished
):
    params, batch_stats, state = variables
    params = constant(params, clean=CLEAN_BIAS, noisy=NOISY_BIAS)
    state = state | {"finished": jnp.asarray(finished)}
    (value, (_, after, logs)), grads = value_and_grads(method, (params, batch_stats, state), batch)
    clean_labels, labels = batch["clean"]["labels"], batch["noisy"]["labels"]
    if finished:
        fusion = np.asarray(state["fusion"])[batch["noisy"]["index"]]
        refined = np.where(labels >= 0, fusion > 0.5, labels)
        assert (refined != labels).any()
        labels = refined

    def slow(biases):
        f_clean, f_noisy = biases
        terms = []
        for v in range(2):
            on_clean = np.tile(f_clean[v], (SHARES["clean"], 1))
            of_view = np.tile(f_clean[v] + f_noisy[v], (SHARES["noisy"], 1))
            other = np.tile(
                np.float32(CLEAN_BIAS[1 - v]) + np.float32(NOISY_BIAS[1 - v]), of_view.shape
            )
            other = other[:, : len(AUS)]
            terms.append(
                slow_clean(on_clean, clean_labels, clean_labels >= 0)
                + 0.7 * slow_noisy(of_view, other, labels, 1.0, 0.1, 0.9)
            )
        return sum(terms) / 2 + 2.0 * slow_consistency(*f_clean)

    biases = np.array([CLEAN_BIAS, NOISY_BIAS])
    np.testing.assert_allclose(value, slow(biases), rtol=1e-5)
    parts = logs["loss_clean"] + 0.7 * logs["loss_noisy"] + 2.0 * logs["loss_consistency"]
    np.testing.assert_allclose(value, parts, rtol=1e-6)
    bias_gradients = [
        [grads[v][f"output_{head}"]["bias"] for v in VIEWS] for head in ("clean", "noisy")
    ]
    np.testing.assert_allclose(bias_gradients, numeric_gradient(slow, biases), atol=1e-6)
    np.testing.assert_array_equal(after["fusion"], state["fusion"])
    np.testing.assert_allclose(logs["agreement"], 3 / 4)  # the signs of CLEAN_BIAS
    known, true = labels >= 0, batch["noisy"]["true"]
    kept = np.zeros((2, *labels.shape), bool)
    for v in range(2):
        for label in (0, 1):
            others = np.tile(np.sum([CLEAN_BIAS[1 - v], NOISY_BIAS[1 - v]], 0), (len(labels), 1))
            for place in selected_entries(others, labels, label, 0.9):
                kept[(v, *place)] = True
    np.testing.assert_allclose(logs["selected"], kept.sum() / known.sum() / 2, rtol=1e-6)
    judged = known & (true >= 0)
    right = (labels == true) & judged
    np.testing.assert_allclose(logs["labels_right"], right.sum() / judged.sum(), rtol=1e-6)
    shares = (right & kept).sum() / (judged & kept).sum()
    np.testing.assert_allclose(logs["selected_right"], shares, rtol=1e-6)


def test_swapping_the_views_swaps_the_result(method, variables, batch):
    def swapped(tree):
        return {"view1": tree["view2"], "view2": tree["view1"]}

    params, batch_stats, state = variables
    (value, (stats, _, _)), grads = value_and_grads(method, variables, batch)
    (again, (swapped_stats, _, _)), swapped_grads = value_and_grads(
        method, (swapped(params), swapped(batch_stats), state), batch
    )
    np.testing.assert_allclose(value, again, rtol=1e-6)
    for mine, theirs in ((grads, swapped_grads), (stats, swapped_stats)):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), swapped(mine), theirs
        )


def test_noisy_labels_reach_the_clean_head_and_the_backbone(method, variables, batch):
    blank = {
        **batch,
        "clean": {**batch["clean"], "labels": np.full_like(batch["clean"]["labels"], -1)},
    }
    alone = create("recot", lambda_cons=0.0)
    _, grads = value_and_grads(alone, variables, blank)
    for view in VIEWS:
        for part in ("output_clean", "output_noisy", "net"):
            assert all(np.any(g) for g in jax.tree.leaves(grads[view][part])), (view, part)
    blank["noisy"] = {**batch["noisy"], "labels": np.full_like(batch["noisy"]["labels"], -1)}
    (value, _), grads = value_and_grads(alone, variables, blank)
    assert value == 0
    assert not any(np.any(g) for g in jax.tree.leaves(grads))


def test_a_flip_mirrors_labels_and_the_refined_table(method, variables, batch):
    """Flipping in the network's input is the same as a data set of flipped images."""
    params, batch_stats, state = variables
    state = state | {"finished": jnp.asarray(1)}
    flipping = create("recot", augmentation={"flip": 1.0})
    (value, _), grads = value_and_grads(flipping, (params, batch_stats, state), batch)

    mirrored = {
        stream: {
            **fields,
            "image": fields["image"][:, :, ::-1],
            "labels": np.asarray(augment.mirror_labels(jnp.asarray(fields["labels"]), AUS)),
        }
        for stream, fields in batch.items()
    }
    swap = np.array([0, 1, 3, 2])  # AU51 and AU52
    flipped_state = state | {"fusion": state["fusion"][:, swap]}
    (expected, _), expected_grads = value_and_grads(
        method, (params, batch_stats, flipped_state), mirrored
    )
    assert (mirrored["noisy"]["labels"] != batch["noisy"]["labels"]).any()
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), grads, expected_grads)


def test_one_view_and_no_noisy_head_are_the_ablations(variables, batch):
    params, _, _ = jax.eval_shape(
        create("recot", lambda_n=0.0, refine_after=0.0).init, jax.random.PRNGKey(0)
    )
    assert params["view1"].keys() == {"net", "output_clean"}
    single = create("recot", views=1, lambda_cons=0.0, refine_after=0.0)
    params, batch_stats, state = start(single)
    assert not state
    assert single.end_of_epoch is None
    params = constant(params, clean=CLEAN_BIAS, noisy=NOISY_BIAS)
    (value, _), _ = value_and_grads(single, (params, batch_stats, state), batch)
    clean, noisy = np.float32(CLEAN_BIAS[0]), np.float32(NOISY_BIAS[0])
    labels = batch["clean"]["labels"]
    of_view = np.tile(clean + noisy, (SHARES["noisy"], 1))
    expected = slow_clean(np.tile(clean, (len(labels), 1)), labels, labels >= 0)
    expected += 0.7 * slow_noisy(of_view, of_view, batch["noisy"]["labels"], 1.0, 0.1, 0.9)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


# ---- Prediction ----


def test_predict_is_the_mean_of_the_clean_heads(method, variables, batch):
    kept = method.kept(*variables)
    for tree in kept["params"].values():
        assert tree.keys() == {"net", "output_clean"}
        assert tree["net"].keys() == {"backbone", "head_clean"}
    predict = jax.jit(method.predict)
    images, pose = batch["noisy"]["image"], batch["noisy"]["pose"]
    both = sigmoid(predict(kept, images, pose))
    each = []
    for view in VIEWS:
        alone = {kind: dict.fromkeys(VIEWS, tree[view]) for kind, tree in kept.items()}
        each.append(sigmoid(predict(alone, images, pose)))
    assert np.abs(each[0] - each[1]).max() > 1e-3
    np.testing.assert_allclose(both, (each[0] + each[1]) / 2, atol=1e-6)


# ---- Temporal label refinement ----


def ordered(batch, records, size):
    """The batches of a pass over `records` examples, the last one padded with black images."""
    for begin in range(0, records, size):
        rows = np.arange(begin, begin + size)
        valid, inside = rows < records, np.minimum(rows, records - 1)
        images = batch["image"][inside % len(batch["image"])]
        images = images + inside[:, None, None, None].astype(np.uint8)
        yield {
            "image": images * valid[:, None, None, None],
            "pose": batch["pose"][inside % len(batch["pose"])],
            "index": inside.astype(np.int32),
            "valid": valid,
        }


def fused(evaluate, state, batch):
    """Eq. 6 of every record, one view and image after the other."""
    variables = jax.device_get({"params": state.params, "batch_stats": state.batch_stats})
    table = np.zeros((20, len(AUS)))
    for rows in ordered(batch["noisy"], 20, 8):
        by_head = evaluate(variables, rows["image"], rows["pose"])
        f_clean, f_noisy = (np.asarray(by_head[h], np.float64) for h in ("clean", "noisy"))
        for at, record in enumerate(rows["index"][rows["valid"]]):
            clean = sum(sigmoid(f_clean[v, at]) for v in range(2)) / 2
            noisy = sum(sigmoid(f_clean[v, at] + f_noisy[v, at]) for v in range(2)) / 2
            table[record] = 0.3 * noisy + 0.7 * clean
    return table


def test_refinement_averages_fused_probabilities_over_epochs_on_one_and_eight_devices(batch):
    method = create(
        "recot",
        augmentation={"flip": 0.5, "brightness": 0.5},
        selective_ratios=[0.3] * len(AUS),
    )
    networks = networks_of(method)
    evaluate = jax.jit(lambda v, i, p: networks.evaluate(v, i, p, networks.net))
    total, ended = np.zeros((20, len(AUS))), []
    for devices in (1, 8):
        mesh = sharding.make_mesh(devices)
        optimizer = optax.sgd(0.1)
        state = init_state(method, optimizer, 0, mesh)
        step = make_train_step(method, optimizer, mesh)

        def passes(stream, mesh=mesh):
            assert stream == "noisy"
            for rows in ordered(batch["noisy"], 20, 8):
                yield sharding.put_batch(rows, mesh)

        for epoch in (1, 2, 3):
            state, _ = step(state, sharding.put_batch(make_batch(epoch), mesh))
            if devices == 1:
                now = fused(evaluate, state, batch)
                total = 0.9 * total + 0.1 * now  # Eq. 7 from 0
                expected = total / (1 - 0.9**epoch)
            before = state
            state = method.end_of_epoch(state, passes)
            assert int(state.method_state["finished"]) == epoch
            assert int(before.method_state["finished"]) == epoch - 1  # not overwritten
        table = state.method_state["fusion"]
        np.testing.assert_allclose(table, expected, atol=1e-5)
        assert table.sharding.is_fully_replicated
        assert step._cache_size() == 1
        ended.append(jax.device_get(state.params))
    assert np.abs(expected - now).max() > 1e-3
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), *ended)


@pytest.mark.parametrize("corrected", [True, False])
def test_the_average_over_epochs_weighs_them_as_equation_7(corrected):
    """By hand for phi 0.9: of four epochs the first keeps 21 % of the weight, uncorrected 73 %."""
    weights = np.zeros(0)
    for finished in range(1, 5):
        share = float(recot.newest_share(0.9, jnp.int32(finished), corrected))
        weights = np.append(weights * (1 - share), share)
    powers = 0.1 * 0.9 ** np.arange(3, -1, -1)
    expected = powers / (1 - 0.9**4) if corrected else [0.729, *powers[1:]]
    np.testing.assert_allclose(weights, expected, rtol=1e-5)
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-6)


# ---- In the loop ----


@pytest.fixture(scope="module")
def training(tiny_faces):
    def source(split):
        return open_source(tiny_faces, split, "closeup", 0.25, 0).aligned(AUS)

    noisy = source("noisy")
    method = create(
        "recot",
        augmentation={"image_size": 32, "flip": 0.5, "brightness": 0.5},
        selective_ratios=[0.3] * len(AUS),
        records=len(noisy),
    )
    rate = optax.constant_schedule(1e-3)
    return Training(
        method=method,
        optimizer=optax.adam(rate),
        learning_rate=rate,
        streams={"clean": Stream(source("opt-train"), 8), "noisy": Stream(noisy, 8)},
        validation={},
        epochs=3,
        steps_per_epoch=2,
        seed=0,
        threads=2,
        score_batch=16,
    )


def test_resume_in_the_middle_of_refinement_is_bit_exact(training, tmp_path):
    mesh = sharding.make_mesh(8)

    def last_state(folder):
        like = init_state(training.method, training.optimizer, 0, mesh)
        with Checkpoints.of_states(folder.state) as states:
            return jax.device_get(states.restore(6, like))

    whole, parts = StageFolder(tmp_path / "whole"), StageFolder(tmp_path / "parts")
    train(whole, training, mesh)
    train(parts, dataclasses.replace(training, epochs=2), mesh)  # refined labels since epoch 2
    train(parts, training, mesh)
    expected, resumed = last_state(whole), last_state(parts)
    assert int(resumed.method_state["finished"]) == 3
    assert (np.abs(resumed.method_state["fusion"] - 0.5) > 1e-3).all(1).any()
    jax.tree.map(np.testing.assert_array_equal, resumed, expected)


# ---- Parity with PyTorch ----


class TorchView(nn.Module):
    """One view: two convolutions with BatchNorm, pooling, and two perceptrons."""

    def __init__(self, params):
        super().__init__()
        backbone = params["net"]["backbone"]
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        for name, stride in (("conv1", 2), ("conv2", 1)):
            kernel = torch.tensor(np.asarray(backbone[name]["conv"]["kernel"]))
            conv = nn.Conv2d(kernel.shape[2], kernel.shape[3], 3, stride, 1, bias=False)
            norm = nn.BatchNorm2d(kernel.shape[3])
            conv.weight.data = kernel.permute(3, 2, 0, 1).contiguous()
            norm.weight.data = torch.tensor(np.asarray(backbone[name]["norm"]["scale"]))
            norm.bias.data = torch.tensor(np.asarray(backbone[name]["norm"]["bias"]))
            self.convs.append(conv)
            self.norms.append(norm)
        self.heads = nn.ModuleDict()
        for head in ("clean", "noisy"):
            layers = []
            for layer in (params["net"][f"head_{head}"], params[f"output_{head}"]):
                linear = nn.Linear(*layer["kernel"].shape)
                linear.weight.data = torch.tensor(np.asarray(layer["kernel"])).T.contiguous()
                linear.bias.data = torch.tensor(np.asarray(layer["bias"]))
                layers.append(linear)
            self.heads[head] = nn.Sequential(layers[0], nn.ReLU(), layers[1])

    def forward(self, images):
        x = images
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.relu(norm(conv(x)))
        pooled = x.mean((2, 3))
        return self.heads["clean"](pooled), self.heads["noisy"](pooled)

    def tree(self, of):
        """`of` each parameter, arranged as in Flax."""

        def linear(layer):
            return {"kernel": of(layer.weight).T, "bias": of(layer.bias)}

        backbone = {
            f"conv{n}": {
                "conv": {"kernel": of(conv.weight).transpose(2, 3, 1, 0)},
                "norm": {"scale": of(norm.weight), "bias": of(norm.bias)},
            }
            for n, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True), 1)
        }
        hidden = {f"head_{h}": linear(layers[0]) for h, layers in self.heads.items()}
        outputs = {f"output_{h}": linear(layers[2]) for h, layers in self.heads.items()}
        return {"net": {"backbone": backbone, **hidden}, **outputs}


def torch_loss(views, batch):
    """Eq. 1 by PyTorch's own functions, of a batch with given labels."""
    images = np.concatenate([batch[s]["image"] for s in ("clean", "noisy")])
    x = torch.tensor(images).permute(0, 3, 1, 2).float() / 255
    mean, std = (
        torch.tensor(v).reshape(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    outputs = [view((x - mean) / std) for view in views]
    labels, noisy = (torch.tensor(batch[s]["labels"]) for s in ("clean", "noisy"))
    share = len(labels)
    combined = [(clean + noise)[share:] for clean, noise in outputs]
    total = 0
    for v in range(2):
        entries = F.binary_cross_entropy_with_logits(
            outputs[v][0][:share], (labels == 1).float(), (labels >= 0).float(), reduction="sum"
        )
        total = total + entries / labels.numel() / 2
        for weight, label in ((1.0, 1), (0.1, 0)):
            among = noisy == label
            target = torch.full((int(among.sum()),), float(label))
            ranked = F.binary_cross_entropy_with_logits(
                combined[1 - v][among].detach(), target, reduction="none"
            )
            chosen = ranked.topk(int(0.9 * len(target) + 1e-9), largest=False).indices
            mean_loss = F.binary_cross_entropy_with_logits(
                combined[v][among][chosen], target[chosen]
            )
            total = total + 0.7 * weight * mean_loss / 2
    p, q = (torch.sigmoid(clean) for clean, _ in outputs)
    entropy = [-(m * m.log() + (1 - m) * (1 - m).log()) for m in (p, q, (p + q) / 2)]
    return total + 2.0 * (entropy[2] - (entropy[0] + entropy[1]) / 2).mean()


def test_one_step_equals_pytorch(method, variables, batch):
    params = variables[0]
    (value, _), grads = value_and_grads(method, variables, batch)
    after = jax.tree.map(lambda p, g: p - 0.1 * g, params, grads)

    views = [TorchView(params[view]) for view in VIEWS]
    optimizer = torch.optim.SGD([p for view in views for p in view.parameters()], lr=0.1)
    loss = torch_loss(views, batch)
    loss.backward()
    np.testing.assert_allclose(value, loss.item(), rtol=1e-5)

    def close(actual, expected):
        for (path, a), b in zip(
            jax.tree_util.tree_leaves_with_path(actual), jax.tree.leaves(expected), strict=True
        ):
            error = np.linalg.norm(a - b) / np.linalg.norm(b)
            assert error < 1e-5, (jax.tree_util.keystr(path), error)

    close(grads, {v: m.tree(lambda p: p.grad.numpy()) for v, m in zip(VIEWS, views, strict=True)})
    optimizer.step()
    close(
        after, {v: m.tree(lambda p: p.detach().numpy()) for v, m in zip(VIEWS, views, strict=True)}
    )


# ---- Mistakes ----


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"gamma": 0.0}, r"gamma is 0.0, .* give a number above 0 and up to 1"),
        ({"gamma": 1.1}, r"gamma is 1.1"),
        ({"phi": 1.0}, r"phi is 1.0, .* from 0 to below 1"),
        ({"refine_after": 1.0}, r"refine_after is 1.0, .* from 0 \(never\) to below 1"),
        ({"refine_after": -0.1}, r"refine_after is -0.1"),
        ({"lambda_n": 0.0}, r"with lambda_n 0 no labels are refined"),
        ({"views": 3}, r"views is 3; give 1 or 2"),
        ({"selective_ratios": [0.3]}, r"selective_ratios has 1 .* 4 AUs"),
        ({"selective_ratios": [0.3, 2.0, 0.3, 0.3]}, r"selective_ratios .* AU12 is 2.0"),
        (
            {
                "aus": ("AU01", "AU12", "AU51"),
                "augmentation": {"flip": 0.5},
                "selective_ratios": [0.3] * 3,
            },
            r"a flip turns AU51 into AU52",
        ),
    ],
)
def test_values_out_of_range_are_refused(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        create("recot", **changes)
