"""ABAW3's loss in a training of one stream or several, against numpy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small import AUS, PIXELS, cross_entropy, make_batch, start, value_and_grads
from tiny import make_context

from au_jax import methods, sharding
from au_jax.errors import UserError
from au_jax.training.step import init_state, make_train_step

WEIGHTS = (1.0, 2.0, 6.0, 0.5)


@functools.cache
def make_method(streams=("clean", "noisy"), **options):
    context = make_context(AUS, augmentation={"image_size": PIXELS}, streams=streams)
    return methods.create("multi_label", context, options)


def constant(params, biases):
    """Parameters with which the head tells its bias whatever the image."""
    kernel = params["head_opt"]["kernel"]
    return {**params, "head_opt": {"kernel": 0 * kernel, "bias": np.asarray(biases, np.float32)}}


def by_hand(labels, logits, weights, smoothing, terms):
    """Eq. 6, or one of its terms, of the same logits [1, A] for every image."""
    known = labels >= 0
    targets = (1 - smoothing) * (labels == 1) + smoothing / 2
    entries = np.where(known, weights * cross_entropy(logits, targets), 0)
    images = [row.sum() / k.sum() for row, k in zip(entries, known, strict=True) if k.any()]
    by_term = {"bce": entries.sum() / known.sum(), "multi_label": np.mean(images)}
    return sum(by_term[term] for term in terms)


@pytest.mark.parametrize("streams", [("clean",), ("clean", "noisy")])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weights": WEIGHTS, "label_smoothing": 0.0},
        {"terms": ("bce",)},
        {"terms": ("multi_label",), "weights": WEIGHTS},
    ],
)
def test_a_loss_equals_numpy(streams, options):
    method, batch = make_method(streams, **options), make_batch()
    batch["clean"]["labels"][0] = -1
    params, batch_stats, state = start(method)
    biases = [0.5, -1.0, 2.0, 0.0]
    (value, (_, _, logs)), grads = value_and_grads(
        method, (constant(params, biases), batch_stats, state), batch
    )
    labels = np.concatenate([batch[stream]["labels"] for stream in streams])
    weights, smoothing = options.get("weights", (1.0,) * 4), options.get("label_smoothing", 0.1)
    terms = options.get("terms", ("bce", "multi_label"))
    loss = functools.partial(
        by_hand, labels, weights=np.array(weights), smoothing=smoothing, terms=terms
    )
    np.testing.assert_allclose(value, loss(np.array([biases])), rtol=1e-5)
    assert logs == {}
    for au, slope in enumerate(grads["head_opt"]["bias"].tolist()):
        step = 1e-5 * (np.arange(4) == au)
        numeric = (loss(np.array([biases + step])) - loss(np.array([biases - step]))) / 2e-5
        assert slope == pytest.approx(numeric, abs=1e-5)


def test_it_predicts_with_its_one_head():
    method = make_method()
    params, batch_stats, _ = start(method)
    assert params.keys() == {"backbone", "head_opt"}
    variables = {"params": constant(params, [1.0, 2.0, 3.0, 4.0]), "batch_stats": batch_stats}
    images = jnp.asarray(make_batch()["clean"]["image"])
    told = jax.jit(method.predict)(variables, images, jnp.zeros((8, 3)))
    np.testing.assert_allclose(told, [[1, 2, 3, 4]] * 8)
    assert method.aus == AUS
    assert method.unlabelled == ()


def test_one_and_eight_devices_agree():
    ends = []
    for devices in (1, 8):
        mesh, optimizer = sharding.make_mesh(devices), optax.sgd(0.05, momentum=0.9)
        method = make_method(weights=WEIGHTS)
        state = init_state(method, optimizer, 0, mesh)
        step = make_train_step(method, optimizer, mesh)
        for number in range(2):
            state, logs = step(state, sharding.put_batch(make_batch(number), mesh))
        ends.append(jax.device_get((state.params, state.batch_stats, logs)))
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=2e-5, rtol=1e-4), *ends)


def test_weights_of_other_aus_are_refused():
    with pytest.raises(UserError, match=r"has 3 weights for 4 AUs \(AU01, AU12, .*one for each"):
        make_method(weights=(1.0, 2.0, 3.0))


@pytest.mark.parametrize(
    ("terms", "message"),
    [(("mll",), "unknown term .*'mll'; known: bce, multi_label"), ((), "has no terms; give one")],
)
def test_wrong_terms_are_refused(terms, message):
    with pytest.raises(UserError, match=message):
        make_method(terms=terms)
