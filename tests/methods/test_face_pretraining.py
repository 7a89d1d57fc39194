"""Identity and emotion pretraining on a tiny network: losses against numpy, refusals."""

import functools
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small import start, value_and_grads
from tiny import make_context

from au_jax import aus, methods, sharding
from au_jax.data.pipeline import Stream
from au_jax.data.sources import open_source
from au_jax.errors import UserError
from au_jax.methods import StreamFacts
from au_jax.run_dir import StageFolder
from au_jax.training.checkpoint import Checkpoints
from au_jax.training.loop import Training, train
from au_jax.training.optimizer import make_optimizer
from au_jax.training.step import init_state, make_train_step

SIDE, BATCH, IDENTITIES = 16, 8, 12
HAPPY, SAD, ANGER = (aus.EMOTIONS.index(e) for e in ("happy", "sad", "anger"))
# Of 40 faces, 30 show one of three emotions.
FACES = tuple({HAPPY: 15, SAD: 5, ANGER: 10}.get(e, 0) for e in range(len(aus.EMOTIONS)))
CLASS_OF = {e: number for number, e in enumerate(sorted((HAPPY, SAD, ANGER)))}
FACTS = StreamFacts(40, BATCH, emotions=FACES, identities=IDENTITIES)


@functools.cache
def make_method(name, *, facts=FACTS, streams=("faces",), flip=0.0, pose=False, **options):
    context = make_context(
        (),
        network={"pose_branch": pose},
        augmentation={"image_size": SIDE, "flip": flip},
        streams=dict.fromkeys(streams, facts),
    )
    return methods.create(name, context, options)


def make_batch(seed=0):
    """Images of the input's size, so that an unaugmented image is the stored one."""
    rng = np.random.default_rng(seed)
    emotion, identity = rng.choice([HAPPY, SAD, ANGER, -1], BATCH), rng.permutation(IDENTITIES)
    emotion[:2], identity[2] = (-1, SAD), -1
    return {
        "faces": {
            "image": rng.integers(0, 256, (BATCH, SIDE, SIDE, 3), np.uint8),
            "labels": np.zeros((BATCH, 0), np.int8),
            "pose": np.zeros((BATCH, 3), np.float32),
            "emotion": emotion.astype(np.int8),
            "identity": identity[:BATCH].astype(np.int32),
            "index": rng.permutation(40)[:BATCH].astype(np.int32),
        }
    }


def real(params):
    """The class centres of `params`, or their gradients, without the padding behind them."""
    return np.float64(params["centres"]["kernel"][:IDENTITIES])


@functools.cache
def training_pass():
    net = make_context((), augmentation={"image_size": SIDE}, streams=("faces",)).network.build({})

    def apply(params, batch_stats, images):
        return net.apply(
            {"params": params, "batch_stats": batch_stats},
            images,
            train=True,
            mutable=["batch_stats"],
            method="pooled",
        )

    return jax.jit(apply)


def features_of(variables, batch):
    """The features float64 [B, D] of a batch that is not augmented, and new batch statistics."""
    images = batch["faces"]["image"].astype(np.float32) / 255
    of_net = variables[0]["net"], variables[1]["net"]
    features, updated = training_pass()(*of_net, images)
    return np.float64(features), updated["batch_stats"]


def arcface_by_hand(features, centres, identity, scale=64.0, margin=0.5):
    """(mean loss, share of nearest centres) over the faces of a known subject."""
    entries, hits = [], []
    for feature, label in zip(features, identity, strict=True):
        if label < 0:
            continue
        cosines = centres @ feature / np.linalg.norm(centres, axis=1) / np.linalg.norm(feature)
        hits.append(cosines.argmax() == label)
        angle = np.arccos(cosines[label])
        beyond = angle + margin > np.pi
        logits = scale * cosines
        true = np.cos(angle) - margin * np.sin(margin) if beyond else np.cos(angle + margin)
        logits[label] = scale * true
        entries.append(np.logaddexp.reduce(logits) - logits[label])
    return np.mean(entries), np.mean(hits)


def test_identity_equals_numpy():
    method, batch = make_method("face_identity"), make_batch()
    variables = start(method)
    (value, (batch_stats, state, logs)), grads = value_and_grads(method, variables, batch)
    features, net_stats = features_of(variables, batch)
    centres = real(variables[0])
    identity = batch["faces"]["identity"]
    assert (identity < 0).sum() == 1
    loss, accuracy = arcface_by_hand(features, centres, identity)
    np.testing.assert_allclose(value, loss, rtol=1e-4)
    np.testing.assert_allclose(logs["accuracy_identity"], accuracy, rtol=1e-6)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, atol=2e-6), batch_stats, {"net": net_stats}
    )
    assert state == {}
    direction = np.random.default_rng(4).normal(size=centres.shape)
    ahead, behind = (
        arcface_by_hand(features, centres + step * direction, identity)[0] for step in (1e-5, -1e-5)
    )
    slope = (real(grads) * direction).sum()
    np.testing.assert_allclose(slope, (ahead - behind) / 2e-5, rtol=1e-3)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(grads["net"]))


def test_the_options_of_identity_reach_its_loss():
    batch = make_batch()
    method = make_method("face_identity", scale=10.0, margin=0.2)
    variables = start(method)
    value, _ = jax.jit(method.loss)(*variables, batch, jnp.int32(0), jax.random.PRNGKey(1))
    features, _ = features_of(variables, batch)
    centres = real(variables[0])
    loss, _ = arcface_by_hand(features, centres, batch["faces"]["identity"], 10.0, 0.2)
    np.testing.assert_allclose(value, loss, rtol=1e-4)


def test_sampled_centres_alone_have_a_gradient():
    batch, whole = make_batch(), make_method("face_identity")
    variables = start(whole)
    (value, _), _ = value_and_grads(whole, variables, batch)
    sampled = make_method("face_identity", sampled=BATCH)
    moved = set()
    for key in range(4):
        (fewer, _), grads = value_and_grads(sampled, variables, batch, key=key)
        rows = np.flatnonzero(np.abs(grads["centres"]["kernel"]).max(1)).tolist()
        known = set(batch["faces"]["identity"].tolist()) - {-1}
        assert known <= set(rows)
        assert len(rows) <= BATCH
        assert fewer < value
        moved |= set(rows)
    assert len(moved) > BATCH - 1, "other centres are drawn in other steps"


def test_emotions_equal_numpy():
    batch = make_batch()
    for smoothing in (0.0, 0.3):
        method = make_method("expression", label_smoothing=smoothing)
        variables = start(method)
        (value, (_, _, logs)), grads = value_and_grads(method, variables, batch)
        features, _ = features_of(variables, batch)
        head = variables[0]["emotion"]
        logits = features @ np.float64(head["kernel"]) + head["bias"]
        probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        entries, hits, slopes = [], [], np.zeros((0, 3))
        for i, emotion in enumerate(batch["faces"]["emotion"].tolist()):
            if emotion < 0:
                continue
            target = np.full(3, smoothing / 3)
            target[CLASS_OF[emotion]] += 1 - smoothing
            entries.append(-(target * np.log(probabilities[i])).sum())
            hits.append(logits[i].argmax() == CLASS_OF[emotion])
            slopes = np.vstack([slopes, probabilities[i] - target])
        assert 0 < len(entries) < BATCH
        np.testing.assert_allclose(value, np.mean(entries), rtol=1e-5)
        np.testing.assert_allclose(logs["accuracy_emotion"], np.mean(hits), rtol=1e-6)
        np.testing.assert_allclose(grads["emotion"]["bias"], slopes.mean(0), atol=1e-5)


@pytest.mark.parametrize("name", ["face_identity", "expression"])
def test_a_batch_of_unknown_faces_teaches_nothing(name):
    method, batch = make_method(name), make_batch()
    for field in ("emotion", "identity"):
        batch["faces"][field] = np.full_like(batch["faces"][field], -1)
    (value, _), grads = value_and_grads(method, start(method), batch)
    assert value == 0
    assert all((np.asarray(leaf) == 0).all() for leaf in jax.tree.leaves(grads))


@pytest.mark.parametrize(
    ("name", "layer"), [("face_identity", "centres"), ("expression", "emotion")]
)
def test_the_parts_of_a_pretraining(name, layer):
    method = make_method(name, pose=True)
    params, batch_stats, state = jax.eval_shape(method.init, jax.random.PRNGKey(0))
    assert params.keys() == {"net", layer}
    # No head, no pose branch: what others start from is a backbone alone.
    assert params["net"].keys() == batch_stats["net"].keys() == {"backbone"}
    assert state == {}
    assert method.aus == ()
    assert method.unlabelled == ("faces",)
    assert method.identified == (("faces",) if name == "face_identity" else ())
    images, pose = jnp.zeros((3, SIDE, SIDE, 3), jnp.uint8), jnp.zeros((3, 3))
    assert method.predict({}, images, pose).shape == (3, 0)


def test_class_centres_begin_small_and_all_different():
    method = make_method("face_identity")
    kernel = jax.jit(method.init)(jax.random.key(0, impl="rbg"))[0]["centres"]["kernel"]
    assert kernel.shape == (64, 6)
    centres = kernel[:IDENTITIES]
    np.testing.assert_array_equal(kernel[IDENTITIES:], 0)
    assert 0.005 < centres.std() < 0.02
    assert len(np.unique(centres)) == centres.size


def test_notes_say_what_is_learned_and_how_many_are_left_out():
    assert make_method("face_identity").notes == ("learns to tell 12 subjects apart",)
    learned = ", ".join(aus.EMOTIONS[e] for e in CLASS_OF)
    assert make_method("expression").notes == (
        f"learns the emotions {learned}",
        "10 of 40 faces have no known emotion: they are left out of the loss",
    )
    facts = StreamFacts(40, BATCH, emotions=(5,) * 8)
    assert make_method("expression", facts=facts).notes == (
        f"learns the emotions {', '.join(aus.EMOTIONS)}",
    )


# ---- Centres that are sharded over the devices ----


def make_sgd(weight_decay=0.01):
    optimizer, rate = make_optimizer(
        name="sgd",
        learning_rate=0.05,
        momentum=0.9,
        weight_decay=weight_decay,
        schedule="constant",
        boundaries=(),
        factor=1.0,
        steps=6,
    )
    return optimizer, rate


def trained(method, devices, batches):
    """The states, as numpy arrays, before a training and after it, and its last logs."""
    mesh, (optimizer, _) = sharding.make_mesh(devices), make_sgd()
    state = init_state(method, optimizer, 0, mesh)
    before = jax.device_get(state)
    step = make_train_step(method, optimizer, mesh)
    for batch in batches:
        state, logs = step(state, sharding.put_batch(batch, mesh))
        kernel = state.params["centres"]["kernel"]
        assert kernel.addressable_shards[0].data.shape == (64 // devices, 6)
    assert step._cache_size() == 1
    return before, jax.device_get(state), jax.device_get(logs)


def assert_close(given, expected):
    """Within 1e-5 of each array's largest entry, or of 1."""

    def check(a, b):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * max(1, np.abs(b).max(initial=0)))

    jax.tree.map(check, given, expected)


@pytest.mark.parametrize("sampled", [0, 9])
def test_one_and_eight_devices_agree(sampled):
    # A steeper softmax makes differences of rounding grow from step to step.
    method = make_method("face_identity", flip=0.5, sampled=sampled, scale=16.0)
    batches = [make_batch(number) for number in range(4)]
    single, eight = (trained(method, devices, batches) for devices in (1, 8))
    jax.tree.map(np.testing.assert_array_equal, single[0], eight[0])
    assert_close(eight[1:], single[1:])
    moved = np.abs(real(single[1].params) - real(single[0].params)).max(1)
    assert (moved > 0).all()
    # Neither gradients nor decay move the padding.
    np.testing.assert_array_equal(eight[1].params["centres"]["kernel"][IDENTITIES:], 0)


@pytest.mark.parametrize("sampled", [0, 40])
def test_no_device_ever_holds_all_centres_or_all_logits(sampled):
    method = make_method(
        "face_identity", facts=StreamFacts(90, BATCH, identities=90), sampled=sampled
    )
    optimizer, _ = make_sgd()
    for devices in (1, 8):
        mesh = sharding.make_mesh(devices)
        state = jax.eval_shape(lambda mesh=mesh: init_state(method, optimizer, 0, mesh))
        text = (
            make_train_step(method, optimizer, mesh).lower(state, make_batch()).compile().as_text()
        )
        held = {"centres": "f32[128,6]", "logits": f"f32[{BATCH},{sampled or 128}]"}
        shares = {
            "centres": "f32[16,6]",
            "logits": f"f32[1,{sampled}]" if sampled else f"f32[{BATCH},16]",
        }
        expected, absent = (held, shares) if devices == 1 else (shares, held)
        assert all(shape in text for shape in expected.values()), devices
        assert not any(shape in text for shape in absent.values()), devices


def test_centres_decay_like_all_weights():
    batch = make_batch()
    batch["faces"]["identity"] = np.full(BATCH, -1, np.int32)
    before, after, _ = trained(make_method("face_identity"), 1, [batch])
    # Without a gradient, decay times rate is all that is taken away.
    np.testing.assert_allclose(real(after.params), real(before.params) * (1 - 0.01 * 0.05))


@pytest.fixture(scope="module")
def training(tiny_faces):
    """Epochs -> a training on faces of two known subjects in three."""
    source = open_source(tiny_faces, "opt-train", "wide", 0.25, 0).aligned(())
    identity = (np.arange(len(source)) % (IDENTITIES + 6)).astype(np.int32)
    identity[identity >= IDENTITIES] = -1
    optimizer, rate = make_sgd()
    return functools.partial(
        Training,
        method=make_method("face_identity", flip=0.5, sampled=9),
        optimizer=optimizer,
        learning_rate=rate,
        streams={"faces": Stream(source, BATCH, {"identity": identity})},
        validation={},
        steps_per_epoch=3,
        seed=0,
        threads=2,
        score_batch=8,
    )


def last_state(folder, training, mesh):
    like = init_state(training.method, training.optimizer, 0, mesh)
    with Checkpoints.of_states(folder.state) as states:
        return states.restore(states.numbers()[-1], like)


def test_a_resumed_training_ends_with_the_same_bits_and_goes_on_on_fewer_devices(
    training, tmp_path
):
    eight, two = sharding.make_mesh(8), sharding.make_mesh(2)
    straight, stopped, moved = (StageFolder(tmp_path / n) for n in ("straight", "stopped", "moved"))
    train(straight, training(epochs=2), eight)
    train(stopped, training(epochs=1), eight)
    shutil.copytree(stopped.path, moved.path)
    halves = [
        last_state(folder, training(epochs=2), mesh)
        for mesh, folder in ((eight, stopped), (two, moved))
    ]
    jax.tree.map(np.testing.assert_array_equal, *map(jax.device_get, halves))
    for half, rows in zip(halves, (8, 32), strict=True):
        momentum = half.opt_state[1][0].trace
        for tree in (half.params, momentum):
            assert tree["centres"]["kernel"].addressable_shards[0].data.shape == (rows, 6)
    train(stopped, training(epochs=2), eight)
    train(moved, training(epochs=2), two)
    ends = [
        jax.device_get(last_state(folder, training(epochs=2), eight))
        for folder in (straight, stopped, moved)
    ]
    jax.tree.map(np.testing.assert_array_equal, *ends[:2])
    assert_close(ends[2], ends[0])


def test_a_training_starts_from_given_centres(training, tmp_path):
    given = {}

    def begin(params, batch_stats):
        given.update(jax.tree.map(lambda a: a + 1, params))
        return given, batch_stats

    still = training(
        epochs=1,
        steps_per_epoch=1,
        optimizer=optax.sgd(0.0),
        start=begin,
    )
    folder, mesh = StageFolder(tmp_path / "started"), sharding.make_mesh(8)
    train(folder, still, mesh)
    end = last_state(folder, still, mesh)
    assert not end.params["centres"]["kernel"].sharding.is_fully_replicated
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(end.params), given)


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        (
            "face_identity",
            {"facts": StreamFacts(40, BATCH, identities=1)},
            r"stream 'faces' has faces of 1 named subjects, but method face_identity tells at "
            r"least two apart; name a split",
        ),
        (
            "face_identity",
            {"streams": ("a", "b")},
            r"face_identity learns from one stream, .* 2 \(",
        ),
        ("face_identity", {"sampled": 7}, r"7 sampled classes are too few .* from 8 to 12"),
        ("face_identity", {"sampled": 13}, r"or more than the 12 that there are"),
        (
            "expression",
            {"facts": StreamFacts(40, BATCH, emotions=(0,) * 8)},
            r"no face of stream 'faces' has a known emotion, which method expression learns from; "
            r"name a split of a data set that has them",
        ),
        ("expression", {"streams": ("a", "b")}, r"expression learns from one stream, .* \(a, b\)"),
    ],
)
def test_what_is_refused(name, arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        make_method(name, **arguments)
