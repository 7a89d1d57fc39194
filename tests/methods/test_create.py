"""Creating methods: the documented script, a method outside the package, cards, mistakes."""

import dataclasses
import inspect
import json
import sys
import textwrap

import jax
import numpy as np
import optax
import pytest
from small import AUS, OPTIONS
from tiny import make_context

from au_jax import methods, sharding
from au_jax.errors import UserError
from au_jax.methods import Context, StreamFacts
from au_jax.training.step import init_state, make_train_step


def test_the_script_in_the_documentation_trains(capsys):
    _, _, script = inspect.getdoc(methods).partition("folder:\n\n")
    script = textwrap.dedent(script).replace("ownnet1", "tiny")
    exec(compile(script, "script", "exec"), {})
    losses = [float(line) for line in capsys.readouterr().out.split()]
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    assert losses[0] != losses[1]


OUTSIDE = """
import jax
import jax.numpy as jnp

from au_jax import augment, losses
from au_jax.methods import Context, Method


def create(context: Context, *, scale: float, bias: bool = True) -> Method:
    net = context.network.build({"aus": len(context.aus)})
    side = context.image_size

    def init(key):
        variables = net.init(key, jnp.zeros((2, side, side, 3)), jnp.zeros((2, 3)), train=False)
        return variables["params"], variables["batch_stats"], {}

    def loss(params, batch_stats, method_state, batch, step, key):
        images = augment.center_crop(batch["opt"]["image"], side)
        logits, updated = net.apply(
            {"params": params, "batch_stats": batch_stats},
            images, batch["opt"]["pose"], train=True, mutable=["batch_stats"],
        )
        labels = batch["opt"]["labels"]
        value = scale * losses.selective_loss(logits["aus"], labels == 1, labels >= 0)
        return value, (updated["batch_stats"], method_state, {"step": step})

    def predict(variables, images, pose):
        return net.apply(variables, augment.center_crop(images, side), pose, train=False)["aus"]

    return Method(context.aus, init, loss, predict)
"""


@pytest.fixture
def outside(tmp_path, monkeypatch):
    (tmp_path / "my_method.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "my_method:create"
    sys.modules.pop("my_method", None)


def test_a_method_outside_the_package_trains(outside):
    method = methods.create(outside, make_context(AUS, streams=("opt",)), {"scale": 2.0})
    mesh, optimizer = sharding.make_mesh(1), optax.sgd(0.1)
    state = init_state(method, optimizer, 0, mesh)
    before = jax.device_get(state.params)
    step = make_train_step(method, optimizer, mesh)
    rng = np.random.default_rng(0)
    for number in range(2):
        batch = {
            "image": rng.integers(0, 256, (8, 32, 32, 3), np.uint8),
            "labels": rng.integers(-1, 2, (8, len(AUS)), np.int8),
            "pose": np.zeros((8, 3), np.float32),
        }
        state, logs = step(state, sharding.put_batch({"opt": batch}, mesh))
        assert logs["step"] == number
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), state.params, before)
    assert all(m > 0 for m in jax.tree.leaves(moved))


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("multi_task", {"lambda_m": [1.0, 2.0]}, r"lambda_m has 2 weights for clean; give"),
        ("nothing", {}, r"unknown method 'nothing'; known: multi_task, multi_view"),
        (
            "mixup",
            {"weight": 1.0},
            r"option of method mixup 'weight'; known: selective_ratios, con",
        ),
        ("mlct", {"handed_share": 0.1}, r"mlct lacks its options selective_ratios, handed_weight"),
        ("no_module:create", {}, r"method 'no_module:create': there is no module 'no_module'"),
        ("json:nothing", {}, r"method 'json:nothing': the module 'json' has no function 'nothing'"),
    ],
)
def test_mistakes_are_named(name, options, sentence):
    with pytest.raises(UserError, match=sentence):
        methods.create(name, make_context(AUS, streams=("clean",)), options)


@pytest.mark.parametrize("streams", [("clean",), ("opt",), ("clean", "noisy", "extra")])
@pytest.mark.parametrize("name", ["mixup", "recot", "mlcr", "distillation"])
def test_streams_that_a_method_does_not_learn_from_are_refused(name, streams):
    context = make_context(AUS, streams=streams)
    options = {"selective_ratios": (1.0,) * len(AUS), **OPTIONS[name]}
    with pytest.raises(
        UserError, match=f"streams clean, noisy, but its stage has {', '.join(streams)}; give it"
    ):
        methods.create(name, context, options)


def test_a_balance_of_another_number_of_aus_is_refused():
    context = make_context(AUS, streams=("A",))
    assert methods.create("multi_view", context, {"balance_alpha": (0.2,) * len(AUS)})
    with pytest.raises(UserError, match="balance_alpha has 1 numbers, but there are"):
        methods.create("multi_view", context, {"balance_alpha": (0.2,)})


def test_every_option_is_documented():
    for name, create in methods.METHODS.items():
        documented = inspect.getdoc(create)
        for option in inspect.signature(create).parameters:
            assert option == "context" or option in documented, (name, option)
    assert set(OPTIONS) < set(methods.METHODS)


def test_a_context_is_the_same_after_json():
    counts = {"positives": (1.5, 2.0), "negatives": (0.1, 3.0)}
    facts = StreamFacts(40, 8, "noisy", **counts, dependencies=((1.0, 0.5), (-0.25, 1.0)))
    context = make_context(AUS, augmentation={"flip": 0.5}, streams={"noisy": facts})
    again = Context.from_json(json.loads(json.dumps(dataclasses.asdict(context))))
    assert (again.aus, again.streams, again.augmentation, again.steps) == (
        context.aus,
        context.streams,
        context.augmentation,
        context.epochs * context.steps_per_epoch,
    )
    assert again.network.build({"aus": 2}).backbone == context.network.build({"aus": 2}).backbone
    assert json.dumps(dataclasses.asdict(again)) == json.dumps(dataclasses.asdict(context))
    assert make_context(AUS, streams={}, epochs=3, steps_per_epoch=10).steps_in(0.1) == 3
