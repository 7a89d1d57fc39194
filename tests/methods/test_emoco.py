"""EmoCo and MoCo on a tiny network: whole steps against numpy, their options, what they refuse."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small import start
from tiny import make_context

from au_jax import aus, log, methods, sharding
from au_jax.data.pipeline import Stream
from au_jax.data.sources import open_source
from au_jax.errors import UserError
from au_jax.methods import StreamFacts
from au_jax.methods.momentum_contrast import FEATURES, ProjectedNet
from au_jax.run_dir import StageFolder
from au_jax.training.checkpoint import Checkpoints
from au_jax.training.loop import Training, train
from au_jax.training.step import init_state, make_train_step

SIDE, BATCH, SLOTS = 16, 8, 6
HAPPY, SAD, ANGER = (aus.EMOTIONS.index(e) for e in ("happy", "sad", "anger"))
# Of 40 faces, 30 show one of three emotions.
FACES = tuple({HAPPY: 15, SAD: 5, ANGER: 10}.get(e, 0) for e in range(len(aus.EMOTIONS)))
OPTIONS = {"queue": SLOTS, "temperature": 0.3, "momentum": 0.75}


@functools.cache
def make_method(name="emoco", *, counts=FACES, streams=("faces",), flip=0.0, **options):
    context = make_context(
        (),
        augmentation={"image_size": SIDE, "flip": flip},
        streams=dict.fromkeys(streams, StreamFacts(40, BATCH, emotions=counts)),
    )
    return methods.create(name, context, OPTIONS | options)


def make_batch(seed=0, emotion=None):
    """Images of the input's size, so that an unaugmented view is the image itself."""
    rng = np.random.default_rng(seed)
    drawn = rng.choice([HAPPY, SAD, ANGER, -1], BATCH)
    drawn[:3] = -1, ANGER, HAPPY
    return {
        "faces": {
            "image": rng.integers(0, 256, (BATCH, SIDE, SIDE, 3), np.uint8),
            "labels": np.zeros((BATCH, 0), np.int8),
            "pose": np.zeros((BATCH, 3), np.float32),
            "emotion": np.asarray(drawn if emotion is None else emotion, np.int8),
            "index": rng.permutation(40)[:BATCH].astype(np.int32),
        }
    }


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def begun(method, seed=0):
    """Random variables, full queues that hold examples of the batch, too."""
    params, batch_stats, state = start(method)
    if "queues" in state:
        rng = np.random.default_rng(seed)
        shape = state["queues"]["index"].shape
        queues = {
            "keys": unit(rng.normal(size=(*shape, FEATURES))).astype(np.float32),
            "index": rng.integers(-1, 40, shape).astype(np.int32),
            "next": rng.integers(0, SLOTS, shape[0]).astype(np.int32),
        }
        rng = np.random.default_rng(seed + 1)
        other = jax.tree.map(
            lambda x: x + rng.normal(0, 0.05, x.shape).astype(np.float32), state["params"]
        )
        state = {**state, "params": other, "queues": queues}
    return params, batch_stats, state


@functools.cache
def compiled(method, gradient):
    return jax.jit(jax.value_and_grad(method.loss, has_aux=True) if gradient else method.loss)


def run(method, variables, batch, key=3):
    """(loss, batch_stats, method_state, logs)."""
    step = compiled(method, False)
    value, updated = step(*variables, batch, jnp.int32(0), jax.random.PRNGKey(key))
    return value, *updated


def gradient(method, variables, batch):
    step = compiled(method, True)
    return step(*variables, batch, jnp.int32(0), jax.random.PRNGKey(3))[1]


@functools.cache
def training_pass():
    context = make_context((), augmentation={"image_size": SIDE}, streams=("faces",))
    net = ProjectedNet(context.network.build({"projector": 2048}))

    def apply(params, batch_stats, images):
        variables = {"params": params, "batch_stats": batch_stats}
        embeddings, updated = net.apply(variables, images, train=True, mutable=["batch_stats"])
        return embeddings, updated["batch_stats"]

    return jax.jit(apply)


def by_hand(variables, batch, *, normalized, emotion_weight, classes):
    """The loss, what it consists of, and the method's next state but for the queues, in numpy.

    Args:
      classes: {code of an emotion: its class}; of MoCo a single one for every code.
    """
    params, batch_stats, state = variables
    faces = batch["faces"]
    images = faces["image"].astype(np.float32) / 255
    q, net_stats = training_pass()(params["encoder"], batch_stats["encoder"], images)
    m = OPTIONS["momentum"]
    key_params = jax.tree.map(
        lambda k, q: (m * np.float64(k) + (1 - m) * q).astype(np.float32),
        state["params"],
        params["encoder"],
    )
    k, key_stats = training_pass()(key_params, state["batch_stats"], images)
    q, k = np.float64(q), np.float64(k)
    label = [classes.get(e, -1) for e in faces["emotion"].tolist()]
    emotion, contrast, hits, told = [], [], [], []
    kernel = np.float64(params["emotion"]["kernel"]) if "emotion" in params else None
    for i, c in enumerate(label):
        if c < 0:
            continue
        if emotion_weight:
            scores = q[i] @ kernel
            emotion.append(np.log(np.exp(scores).sum()) - scores[c])
            told.append(scores.argmax() == c)
        place = (lambda v, c=c: unit(v - unit(kernel[:, c]))) if normalized else lambda v: v
        queues = state["queues"]
        number = c if len(queues["keys"]) > 1 else 0
        near = place(q[i]) @ place(k[i]) / OPTIONS["temperature"]
        far = [
            place(q[i]) @ place(np.float64(key)) / OPTIONS["temperature"]
            for key, owner in zip(queues["keys"][number], queues["index"][number], strict=True)
            if owner not in (-1, faces["index"][i])
        ]
        contrast.append(np.log(np.exp([near, *far]).sum()) - near)
        hits.append(near > max(far))
    logs = {"loss_contrast": np.mean(contrast), "accuracy_contrast": np.mean(hits)}
    if emotion_weight:
        logs |= {"loss_emotion": np.mean(emotion), "accuracy_emotion": np.mean(told)}
    value = emotion_weight * logs.get("loss_emotion", 0) + logs["loss_contrast"]
    return value, logs, {"encoder": net_stats}, key_params, key_stats, k, label


def assert_close(given, expected, atol=2e-6):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=atol), given, expected)


THREE = {HAPPY: 0, SAD: 1, ANGER: 2}
STEPS = {
    "emoco": ("emoco", {"emotion_weight": 0.7}, THREE),
    "one queue": ("emoco", {"emotion_weight": 0.7, "multi_queue": False}, THREE),
    "contrast alone": ("emoco", {"emotion_weight": 0.0}, THREE),
    "not centred": ("emoco", {"emotion_weight": 0.7, "intra_class_normalization": False}, THREE),
    "two emotions": ("emoco", {"emotion_weight": 0.7, "emotions": ("anger", "happy")}, None),
    "moco": ("moco", {}, dict.fromkeys(range(-1, 8), 0)),
}


@pytest.mark.parametrize("kind", STEPS)
def test_a_whole_step_equals_numpy(kind):
    name, options, classes = STEPS[kind]
    method, batch = make_method(name, **options), make_batch()
    variables = begun(method)
    normalized = name == "emoco" and options.get("intra_class_normalization", True)
    value, batch_stats, state, logs = run(method, variables, batch)
    expected, of_logs, net_stats, key_params, key_stats, keys, label = by_hand(
        variables,
        batch,
        normalized=normalized,
        emotion_weight=options.get("emotion_weight", 0),
        # In the order of the vocabulary, however the option spells them.
        classes=classes or {HAPPY: 0, ANGER: 1},
    )
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert logs.keys() == of_logs.keys()
    assert_close(logs, of_logs, 1e-5)
    assert_close(batch_stats, net_stats)
    assert_close(state["params"], key_params)
    assert_close(state["batch_stats"], key_stats)
    moved = jax.tree.map(
        lambda a, b: np.abs(a - b).max(), state["batch_stats"], net_stats["encoder"]
    )
    assert max(jax.tree.leaves(moved)) > 1e-3, "the key encoder keeps its own statistics"
    before, after = variables[2]["queues"], state["queues"]
    slots = [list(of) for of in zip(before["keys"], before["index"], strict=True)]
    following = before["next"].tolist()
    for i, c in enumerate(label):
        if c >= 0:
            queue = c if len(slots) > 1 else 0
            slots[queue][0][following[queue]] = keys[i]
            slots[queue][1][following[queue]] = batch["faces"]["index"][i]
            following[queue] = (following[queue] + 1) % SLOTS
    assert after["next"].tolist() == following
    np.testing.assert_array_equal(after["index"], [index for _, index in slots])
    np.testing.assert_allclose(after["keys"], [of_keys for of_keys, _ in slots], atol=2e-6)


def test_a_gradient_leaves_out_the_key_encoder():
    """It is that of the loss with constant keys, along one direction, by differences."""
    method, batch = make_method(emotion_weight=0.0, momentum=0.0), make_batch()
    variables = begun(method)
    grads = gradient(method, variables, batch)
    assert not grads["emotion"]["kernel"].any(), "prototypes learn from L_emo alone"
    rng, head = np.random.default_rng(5), "output"
    direction = rng.normal(size=(FEATURES,)).astype(np.float32)
    bias = variables[0]["encoder"][head]["bias"]

    # With momentum 1 the key encoder stays what it is: the one that momentum 0 would make it.
    still = make_method(emotion_weight=0.0, momentum=1.0)
    state = {**variables[2], "params": variables[0]["encoder"]}

    def value(step):
        layer = {**variables[0]["encoder"][head], "bias": bias + step * direction}
        params = {**variables[0], "encoder": {**variables[0]["encoder"], head: layer}}
        return run(still, (params, variables[1], state), batch)[0]

    numeric = (value(1e-2) - value(-1e-2)) / 2e-2
    assert abs(numeric) > 1e-3
    np.testing.assert_allclose(grads["encoder"][head]["bias"] @ direction, numeric, rtol=2e-2)


def test_moco_is_emoco_of_one_class_without_centring():
    moco = make_method("moco")
    plain = {"emotion_weight": 0.0, "intra_class_normalization": False}
    one = make_method(**plain, multi_queue=False)
    single = make_method(**plain, counts=tuple(40 * (e == SAD) for e in range(8)))
    variables = begun(moco)
    assert jax.tree.structure(variables) == jax.tree.structure(begun(one))
    mixed, sad = make_batch(emotion=[HAPPY, SAD] * 4), make_batch(emotion=[SAD] * BATCH)
    unknown = make_batch(emotion=[-1] * BATCH)
    expected = run(moco, variables, unknown)
    for method, batch in ((one, mixed), (single, sad)):
        jax.tree.map(np.testing.assert_array_equal, run(method, variables, batch), expected)


def test_the_weight_scales_the_emotion_loss_alone():
    batch = make_batch()
    variables = begun(make_method())
    (half, *_, logs), (whole, *_) = (
        run(make_method(emotion_weight=weight), variables, batch) for weight in (0.5, 2.0)
    )
    assert logs["loss_emotion"] > 0.1
    np.testing.assert_allclose(whole - half, 1.5 * logs["loss_emotion"], rtol=1e-5)
    np.testing.assert_allclose(half, 0.5 * logs["loss_emotion"] + logs["loss_contrast"], rtol=1e-6)


def test_without_contrast_it_is_a_classifier_without_state():
    method, batch = make_method(contrast=False, emotion_weight=0.5), make_batch()
    variables = begun(method)
    assert variables[2] == {}
    value, batch_stats, state, logs = run(method, variables, batch)
    assert state == {}
    assert logs.keys() == {"loss_emotion", "accuracy_emotion"}
    _, stats_of_both, _, of_both = run(make_method(), begun(make_method()), batch)
    np.testing.assert_allclose(value, 0.5 * of_both["loss_emotion"], rtol=1e-6)
    assert_close(batch_stats, stats_of_both)


def test_a_batch_without_known_emotions_teaches_nothing():
    method = make_method()
    variables = begun(method)
    batch = make_batch(emotion=[-1] * BATCH)
    value, _, state, logs = run(method, variables, batch)
    assert value == 0
    grads = gradient(method, variables, batch)
    assert not any(leaf.any() for leaf in jax.tree.leaves((grads, logs)))
    jax.tree.map(np.testing.assert_array_equal, state["queues"], variables[2]["queues"])


def test_split_statistics_change_the_step():
    batch, variables = make_batch(), begun(make_method())
    whole, parts, same = (
        run(make_method(**options), variables, batch)
        for options in ({}, {"bn": "split", "bn_groups": 4}, {"bn": "split", "bn_groups": 1})
    )
    jax.tree.map(np.testing.assert_array_equal, whole, same)
    assert abs(whole[0] - parts[0]) > 1e-4
    other, *_ = run(make_method(bn="split", bn_groups=4), variables, batch, key=4)
    assert other != parts[0], "other keys share the parts"


def test_the_two_views_of_a_face_differ():
    method = make_method("moco", flip=0.5, momentum=1.0)
    params, batch_stats, state = begun(method)
    state = {**state, "params": params["encoder"], "batch_stats": batch_stats["encoder"]}
    _, stats, state, _ = run(method, (params, batch_stats, state), make_batch())
    gap = jax.tree.map(lambda a, b: np.abs(a - b).max(), stats["encoder"], state["batch_stats"])
    assert max(jax.tree.leaves(gap)) > 1e-4


@pytest.mark.parametrize("name", ["emoco", "moco"])
def test_the_key_encoder_begins_as_a_copy(name):
    method = make_method(name)
    params, batch_stats, state = jax.jit(method.init)(jax.random.key(0, impl="rbg"))
    assert (state["queues"]["index"] == -1).all()
    assert state["queues"]["keys"].shape == (3 if name == "emoco" else 1, SLOTS, FEATURES)
    assert params.keys() == ({"encoder", "emotion"} if name == "emoco" else {"encoder"})
    other = jax.tree.map(lambda x: x + 1, (params, batch_stats))
    restarted = method.started(*other, {**state, "queues": None})
    for (of_params, of_stats), of_keys in (((params, batch_stats), state), (other, restarted)):
        jax.tree.map(np.testing.assert_array_equal, of_keys["params"], of_params["encoder"])
        jax.tree.map(np.testing.assert_array_equal, of_keys["batch_stats"], of_stats["encoder"])
    jax.tree.map(np.testing.assert_array_equal, restarted["queues"], state["queues"])
    pairs = zip(
        jax.tree.leaves(restarted["params"]), jax.tree.leaves(other[0]["encoder"]), strict=True
    )
    assert not any(copy is leaf for copy, leaf in pairs), "a donated state holds no array twice"


def test_it_tells_no_aus():
    method = make_method()
    assert method.aus == ()
    assert method.unlabelled == ("faces",)
    images, pose = jnp.zeros((3, SIDE, SIDE, 3), jnp.uint8), jnp.zeros((3, 3))
    assert method.predict({}, images, pose).shape == (3, 0)


def test_notes_say_what_is_learned_and_how_many_are_left_out():
    assert make_method().notes == (
        "learns from the emotions happy, sad, anger",
        "10 of 40 faces have no known emotion of these: they are left out of both losses and of "
        "every queue",
    )
    chosen = make_method(emotions=("anger", "happy")).notes
    assert chosen[0] == "learns from the emotions happy, anger"
    assert chosen[1].startswith("15 of 40 faces have no known emotion of these")
    assert make_method(counts=(5,) * 8).notes == (
        f"learns from the emotions {', '.join(aus.EMOTIONS)}",
    )
    assert make_method("moco").notes == ()


# ---- Whole trainings ----


def trained(devices, steps=4, **options):
    mesh = sharding.make_mesh(devices)
    method, optimizer = make_method(**options), optax.sgd(0.05, momentum=0.9)
    state = init_state(method, optimizer, 0, mesh)
    step = make_train_step(method, optimizer, mesh)
    for number in range(steps):
        state, logs = step(state, sharding.put_batch(make_batch(number), mesh))
    assert step._cache_size() == 1
    return jax.device_get((state.params, state.batch_stats, state.method_state, logs))


@pytest.mark.parametrize("options", [{}, {"name": "moco", "bn": "split", "bn_groups": 4}])
def test_one_and_eight_devices_agree(options):
    options = {"flip": 0.5, **options}
    single, eight = (trained(devices, **options) for devices in (1, 8))
    assert (single[2]["queues"]["index"] >= 0).sum() >= SLOTS
    np.testing.assert_array_equal(single[2]["queues"]["index"], eight[2]["queues"]["index"])
    assert_close(eight, single, 1e-6)


def test_a_resumed_training_ends_with_the_same_bits(tiny_faces, tmp_path):
    source = open_source(tiny_faces, "opt-train", "wide", 0.25, 0).aligned(())
    emotion = source.table.emotion
    counts = tuple(int((emotion == e).sum()) for e in range(8))
    method = make_method(flip=0.5, counts=counts)
    rate = optax.constant_schedule(0.05)
    training = functools.partial(
        Training,
        method=method,
        optimizer=optax.sgd(rate, momentum=0.9),
        learning_rate=rate,
        streams={"faces": Stream(source, BATCH)},
        validation={},
        steps_per_epoch=3,
        seed=0,
        threads=2,
        score_batch=8,
    )
    mesh = sharding.make_mesh(1)
    straight, stopped = StageFolder(tmp_path / "straight"), StageFolder(tmp_path / "stopped")
    train(straight, training(epochs=2), mesh)
    train(stopped, training(epochs=1), mesh)
    train(stopped, training(epochs=2), mesh)
    like = init_state(method, training(epochs=2).optimizer, 0, mesh)
    states = []
    for folder in (straight, stopped):
        with Checkpoints.of_states(folder.state) as checkpoints:
            states.append(jax.device_get(checkpoints.restore(6, like)))
            middle = checkpoints.restore(3, like)
        assert folder.epochs() == [1, 2]
        assert folder.scored_splits() == []
    jax.tree.map(np.testing.assert_array_equal, *states)
    end = states[0].method_state
    assert (end["queues"]["index"] != middle.method_state["queues"]["index"]).any()
    moved = jax.tree.map(
        lambda a, b: np.abs(a - b).max(), end["params"], states[0].params["encoder"]
    )
    assert max(jax.tree.leaves(moved)) > 0
    lines = [log.read_metrics(folder.metrics) for folder in (straight, stopped)]
    assert [line["loss_contrast"] for line in lines[0]] == [
        line["loss_contrast"] for line in lines[1]
    ]


# ---- What is refused ----


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {"counts": (0,) * 8},
            r"stream 'faces' has a known emotion, which method emoco learns from; .*method moco",
        ),
        ({"counts": ()}, r"no face of stream 'faces' has a known emotion"),
        (
            {"emotions": ("fear",)},
            r"unknown emotion of stream 'faces' 'fear'.* happy, sad, anger",
        ),
        ({"emotions": ("happy", "bored")}, r"unknown emotion of stream 'faces' 'bored'"),
        ({"contrast": False, "emotion_weight": 0.0}, r"neither contrast nor an emotion_weight"),
        ({"streams": ("a", "b")}, r"learns from one stream, but there are 2 \(a, b\); give one"),
        ({"bn": "split", "bn_groups": 3}, r"8 examples cannot be split into bn_groups=3"),
        ({"bn": "split", "bn_groups": 0}, r"8 examples cannot be split into bn_groups=0"),
        ({"bn": "shuffle"}, r"unknown bn 'shuffle'.* sync, split"),
        (
            {"name": "moco", "streams": ("a", "b")},
            r"learns from one stream, but there are 2 \(a, b\); give one",
        ),
    ],
)
def test_what_is_refused(arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        make_method(**arguments)
