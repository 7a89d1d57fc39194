import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import make_context

from au_jax import aus, log, methods, models, sharding
from au_jax.data.pipeline import Stream
from au_jax.data.sources import open_source
from au_jax.errors import UserError
from au_jax.methods import StreamFacts
from au_jax.models import Features
from au_jax.models.layers import Conv, global_mean
from au_jax.run_dir import StageFolder
from au_jax.training import finite, memory, model_card
from au_jax.training.loop import Training, train
from au_jax.training.start import continue_from

AUS = aus.POSE


def make_method(backbone, **network):
    streams = {
        head: StreamFacts(16, 8, head, positives=(1.0,) * len(AUS), negatives=(1.0,) * len(AUS))
        for head in ("opt", "noisy")
    }
    network = {"backbone": backbone, **network}
    context = make_context(AUS, network=network, augmentation={"flip": 0.5}, streams=streams)
    return methods.create("multi_task", context, {"label_smoothing": 0.0})


@pytest.fixture(scope="module")
def training(tiny_faces):
    def source(split):
        return open_source(tiny_faces, split, "wide", 0.25, 0).aligned(AUS)

    rate = optax.constant_schedule(0.1)
    return Training(
        method=make_method("tiny"),
        optimizer=optax.sgd(rate),
        learning_rate=rate,
        streams={"opt": Stream(source("opt-train"), 8), "noisy": Stream(source("noisy"), 8)},
        validation={"opt-val": source("opt-val"), "test": source("test")},
        epochs=2,
        steps_per_epoch=3,
        seed=0,
        threads=2,
        score_batch=7,
    )


@pytest.fixture(scope="module")
def mesh():
    return sharding.make_mesh(1)


def test_kept_models_give_the_kept_scores(training, mesh, tmp_path):
    folder = StageFolder(tmp_path / "stage")
    train(folder, training, mesh)
    source = training.validation["test"]
    for epoch in (1, 2):
        kept = folder.read_scores("test", epoch)
        variables = model_card.restore(folder, training.method, epoch, mesh)
        logits = jax.jit(training.method.predict)(
            variables, source.images(np.arange(len(source))), source.table.pose
        )
        np.testing.assert_allclose(kept.logits, logits, atol=1e-4)
        np.testing.assert_array_equal(kept.keys, source.table.keys)
        np.testing.assert_array_equal(kept.labels, source.table.labels)
    assert np.abs(folder.read_scores("test", 1).logits - kept.logits).max() > 1e-3
    lines = log.read_metrics(folder.metrics)
    assert [line["step"] for line in lines] == [3, 6]
    assert {"loss", "learning_rate", "images_per_second", "opt-val/accuracy"} <= lines[0].keys()
    with pytest.raises(UserError, match=r"no checkpoint of epoch 9 \(kept: 1, 2\)"):
        model_card.restore(folder, training.method, 9, mesh)


def test_scores_do_not_depend_on_the_batch_or_the_devices(training, tmp_path, mesh):
    short = dataclasses.replace(training, epochs=1)

    def scores(name, mesh, **changes):
        folder = StageFolder(tmp_path / name)
        train(folder, dataclasses.replace(short, **changes), mesh)
        return folder.read_scores("test", 1).logits

    reference = scores("a", mesh)
    np.testing.assert_array_equal(reference, scores("b", mesh, threads=1))
    # On some processors another batch rounds otherwise.
    np.testing.assert_allclose(reference, scores("d", mesh, score_batch=24), atol=1e-6)
    np.testing.assert_allclose(reference, scores("c", sharding.make_mesh(4)), atol=1e-4)


def test_no_face_means_all_absent(training, mesh, tmp_path):
    source = training.validation["test"]
    table = dataclasses.replace(source.table, face=np.arange(len(source)) != 5)
    faceless = {"test": dataclasses.replace(source, table=table)}
    folder = StageFolder(tmp_path / "stage")
    train(folder, dataclasses.replace(training, epochs=1, validation=faceless), mesh)
    logits = folder.read_scores("test", 1).logits
    assert (logits[5] < -20).all()
    assert (logits[4] > -20).all()


def test_end_of_epoch_passes_over_every_record_in_order(training, mesh, tmp_path):
    records = len(training.streams["noisy"].source)

    def init(key):
        params, batch_stats, _ = training.method.init(key)
        return params, batch_stats, jnp.zeros(records, jnp.int32)

    def end_of_epoch(state, passes):
        seen = state.method_state
        for batch in passes("noisy"):
            seen = seen.at[batch["index"]].add(batch["valid"].astype(jnp.int32))
        return dataclasses.replace(state, method_state=seen)

    def kept(params, batch_stats, method_state):
        return {"params": params, "batch_stats": batch_stats, "seen": method_state}

    method = dataclasses.replace(
        training.method,
        init=init,
        end_of_epoch=end_of_epoch,
        kept=kept,
        predict=lambda v, *inputs: training.method.predict(
            {"params": v["params"], "batch_stats": v["batch_stats"]}, *inputs
        ),
    )
    folder = StageFolder(tmp_path / "stage")
    train(folder, dataclasses.replace(training, method=method), mesh)
    for epoch in (1, 2):
        variables = model_card.restore(folder, method, epoch, mesh)
        np.testing.assert_array_equal(variables["seen"], np.full(records, epoch))


def test_weights_that_are_not_finite_stop_the_training_while_the_loss_is(training, mesh, tmp_path):
    broken = dataclasses.replace(training, optimizer=optax.sgd(float("inf")), steps_per_epoch=6)
    sentence = (
        r"the parameters are not finite \(the loss reads \d\.\d+\) after step 1; lower "
        r"--config\.stages\.stage\.optimizer\.learning_rate, or look for broken labels or images"
    )
    with pytest.raises(UserError, match=sentence):
        train(StageFolder(tmp_path / "stage.fold2"), broken, mesh)


def test_what_cannot_be_the_learning_rates_fault_is_said(training, mesh, tmp_path):
    """With an epsilon of NaN the loss read 0.692 on a CPU, and the run ended with a score."""
    broken = make_method("tiny", fields={"bn_epsilon": float("nan")})
    sentence = r"not finite \(the loss reads .*\) after step 1; no update was made before, .* or "
    with pytest.raises(UserError, match=rf"{sentence}raise --config.stages.stage.model.bn_epsilon"):
        train(StageFolder(tmp_path / "stage"), dataclasses.replace(training, method=broken), mesh)


FINE, NAN = {"a": jnp.ones(3)}, {"a": jnp.ones(3), "b": {"c": jnp.array([1.0, jnp.nan])}}


@pytest.mark.parametrize(
    ("batch_stats", "loss", "norm", "params", "wrong"),
    [
        (NAN, 1.0, 1.0, NAN, "the batch statistics are not finite (the loss reads 1.0000) after"),
        (NAN, jnp.inf, 1.0, NAN, "the batch statistics are not finite (the loss reads inf) after"),
        ({}, jnp.nan, 1.0, NAN, "the loss is nan after"),
        (FINE, 1.0, jnp.inf, NAN, "the gradient is not finite (the loss reads 1.0000) after"),
        (FINE, 1.0, 1.0, NAN, "the parameters are not finite (the loss reads 1.0000) after"),
    ],
)
def test_what_went_wrong_first_is_named(batch_stats, loss, norm, params, wrong):
    told = finite.finite(batch_stats, jnp.float32(loss), jnp.float32(norm), params)
    with pytest.raises(UserError) as stopped:
        finite.check(np.asarray(told), float(loss), 7, "--config.")
    assert str(stopped.value).startswith(f"{wrong} step 7; lower --config.optimizer.learning_rate")


def test_finite_numbers_pass():
    told = finite.finite({}, jnp.float32(1), jnp.float32(1), FINE)
    finite.check(np.asarray(told), 1.0, 1, "--config.")


def test_a_batch_of_scoring_that_cannot_fit_is_refused_before_the_first_step(
    training, mesh, tmp_path, monkeypatch
):
    monkeypatch.setattr(memory, "free_memory", lambda mesh: 100 * 2**20)
    large = dataclasses.replace(training, score_batch=2000)
    # The first layer of the tiny network: 32 x 32 x 3 and 16 x 16 x 6 floats of 4 bytes.
    needed = 1.5 * 2000 * 4 * (32 * 32 * 3 + 16 * 16 * 6) / 2**20
    sentence = rf"stages\.stage\.train\.score_batch is 2000, .* about {needed:.0f} MiB .* at most "
    train(StageFolder(tmp_path / "fits"), dataclasses.replace(large, epochs=1), mesh)
    monkeypatch.setattr(memory, "free_memory", lambda mesh: 2**20)
    folder = StageFolder(tmp_path / "stage")
    with pytest.raises(UserError, match=rf"{sentence}9$"):
        train(folder, large, mesh)
    assert not folder.metrics.exists()


def test_started_weights_reach_every_part_of_the_state(training, mesh, tmp_path):
    """A mean teacher's averaged copy, too, begins with the weights that a training starts from."""
    options = {"decay": 0.9, "consistency_weight": 1.0, "selective_ratios": [0.3] * len(AUS)}
    context = make_context(AUS, streams=("clean", "noisy"))
    method = methods.create("mean_teacher", context, options)
    streams = {
        "clean": training.streams["opt"],
        "noisy": training.streams["noisy"],
    }
    given = {}

    def start(params, batch_stats):
        given["params"] = jax.tree.map(lambda x: np.full_like(x, 0.25), params)
        return given["params"], batch_stats

    still = dataclasses.replace(
        training,
        method=method,
        streams=streams,
        optimizer=optax.sgd(0.0),
        epochs=1,
        steps_per_epoch=1,
        start=start,
    )
    folder = StageFolder(tmp_path / "started")
    train(folder, still, mesh)
    kept = model_card.restore_all(folder, method, [1], mesh)[0]
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(kept["params"]), given["params"])


def test_further_columns_of_a_stream_are_in_its_batches(training):
    source = training.streams["opt"].source
    soft = np.arange(len(source) * 2, dtype=np.float32).reshape(-1, 2)
    streams = {"opt": Stream(source, 8, {"soft": soft})}
    batch = next(dataclasses.replace(training, streams=streams).batches())["opt"]
    np.testing.assert_array_equal(batch["soft"], soft[batch["index"]])


class Plain(models.Backbone):
    """One convolution, no BatchNorm."""

    @nn.compact
    def __call__(self, images, train):
        x = nn.relu(Conv(6, 3, 2, bias=True, style=self.style, name="conv1")(images))
        return Features((x,), global_mean(x))


RATIOS = {"selective_ratios": [0.3] * len(AUS)}
CO_TRAINED = {
    "mean_teacher": {"decay": 0.9, "consistency_weight": 1.0, **RATIOS},
    "mlcr": {"lambda_mv": 1.0, "lambda_cr": 1.0, **RATIOS},
}


@pytest.mark.parametrize("name", ["multi_task", "multi_view", *CO_TRAINED])
def test_a_network_without_batch_norm_trains_and_goes_on(
    name, training, mesh, tmp_path, monkeypatch
):
    monkeypatch.setitem(models.BACKBONES, "plain", (Plain, {}))
    options = CO_TRAINED.get(name, {})
    facts = StreamFacts(
        *(16, 8),
        positives=(1.0,) * len(AUS),
        negatives=(1.0,) * len(AUS),
        dependencies=tuple(map(tuple, (np.eye(len(AUS)) / 2 + 0.5).tolist())),
    )
    context = make_context(
        AUS, network={"backbone": "plain"}, streams={"clean": facts, "noisy": facts}
    )
    method = methods.create(name, context, options)
    streams = {"clean": training.streams["opt"], "noisy": training.streams["noisy"]}
    plain = dataclasses.replace(training, method=method, streams=streams)
    straight, stopped = StageFolder(tmp_path / "straight"), StageFolder(tmp_path / "stopped")
    train(straight, plain, mesh)
    train(stopped, dataclasses.replace(plain, epochs=1), mesh)
    train(stopped, plain, mesh)
    for epoch in (1, 2):
        scores = [folder.read_scores("test", epoch).logits for folder in (straight, stopped)]
        np.testing.assert_array_equal(*scores)
    card = model_card.ModelCard(name, options, context, "wide", 40, "synthetic_faces")
    card.write(stopped)
    params, batch_stats, method_state = method.init(jax.random.PRNGKey(0))
    kept = method.kept(params, batch_stats, method_state)
    begin = functools.partial(continue_from, stopped, 0, mesh, context.network, context.aus)
    continued = begin(kept["params"], kept["batch_stats"])
    assert jax.tree.structure(continued) == jax.tree.structure((kept["params"], batch_stats))
    assert not jax.tree.leaves(batch_stats)
