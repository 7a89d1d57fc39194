"""The checks of a lowered step hold for the steps of all methods, and each finds its own fault."""

import dataclasses
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import jaxtyping
import optax
import pytest
from tiny import make_context

from au_jax import aus, methods, models, sharding
from au_jax.benchmark import dry, lowered_checks
from au_jax.data.pipeline import batch_shapes
from au_jax.methods import StreamFacts
from au_jax.models import Features
from au_jax.models.layers import global_mean
from au_jax.training.step import init_state, make_train_step

AUS = ("AU01", "AU12", "AU51", "AU52")
RATIOS = {"selective_ratios": [0.5] * 4}
CONTRAST = {"queue": 16}
OPTIONS = {
    "recot": {**RATIOS, "lambda_n": 0.7, "refine_after": 0.5},
    "supervised": RATIOS,
    "bootstrapping": {**RATIOS, "weight": 0.8, "hard": True},
    "mixup": {**RATIOS, "concentration": 1.0},
    "distillation": {**RATIOS, "soft_weight": 0.5},
    "noise_residual": {**RATIOS, "noisy_weight": 0.5},
    "mean_teacher": {**RATIOS, "consistency_weight": 3.0},
    "deep_co_training": {
        **RATIOS,
        "agreement_weight": 10.0,
        "difference_weight": 0.5,
        "epsilon": 0.02,
    },
    "mlcr": {**RATIOS, "lambda_mv": 40.0, "lambda_cr": 100.0},
    "mlct": {**RATIOS, "handed_share": 0.2, "handed_weight": 0.5},
    "emoco": CONTRAST,
    "moco": {**CONTRAST, "bn": "split", "bn_groups": 2},
    "face_identity": {"sampled": 9},
}
ONE_STREAM = ("emoco", "moco", "face_identity", "expression")
OPTIMIZER = optax.adam(1e-3)


def make_training(name, network=None):
    """A method with all augmentations in bfloat16, and the shapes of its batch."""
    streams = ("faces",) if name in ONE_STREAM else ("clean", "noisy")
    facts = StreamFacts(
        32,
        8,
        positives=(5.0,) * 4,
        negatives=(11.0,) * 4,
        emotions=(4,) * len(aus.EMOTIONS),
        identities=20,
    )
    often = {"flip": 0.5, "hue": 0.5, "blur": 0.5, "downsample": 0.5, "resized_crop": 0.5}
    context = make_context(
        AUS,
        network={"precision": "bfloat16", **(network or {})},
        augmentation=often,
        streams=dict.fromkeys(streams, facts),
    )
    fields = {"identity": ((8,), jnp.int32), **batch_shapes(8, 40, 4, soft=True)}
    batch = {
        stream: {field: jax.ShapeDtypeStruct(*shape) for field, shape in fields.items()}
        for stream in streams
    }
    return methods.create(name, context, OPTIONS.get(name, {})), batch


def faults(method, batch, step=None):
    """{platform: the sentences of all checks} of a method's step, or of `step` on the CPU alone."""
    mesh = sharding.make_mesh(1)
    state = jax.eval_shape(lambda: init_state(method, OPTIMIZER, 0, mesh))
    if step is None:
        traced = dry.trace(method, OPTIMIZER, batch, mesh, state)
    else:
        traced = dict.fromkeys(("cpu", "cuda"), step.trace(state, batch))
    return {
        platform: lowered_checks.problems(text, "bfloat16", dry.donated_names(state))
        for platform, text in dry.texts(traced)
    }


NONE: dict[str, list[str]] = {platform: [] for platform in dry.PLATFORMS}


@pytest.mark.parametrize("name", methods.METHODS)
def test_every_step_lowers_well_on_every_platform(name):
    assert faults(*make_training(name)) == NONE


BACKBONES = (
    ("iresnet18", {"pyramid": True, "context": True, "coordinate_attention": True}),
    ("resnet18", {}),
)


@pytest.mark.parametrize(("backbone", "fields"), BACKBONES)
def test_every_kind_of_backbone_computes_in_half(backbone, fields):
    assert faults(*make_training("multi_label", {"backbone": backbone, "fields": fields})) == NONE


# ---- Steps with a fault ----


def with_loss(change):
    """A training whose loss is put through `change`."""
    method, batch = make_training("multi_label")

    def loss(*arguments):
        value, others = method.loss(*arguments)
        return change(value), others

    return dataclasses.replace(method, loss=loss), batch


def test_float64_is_found():
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        with jax.enable_x64(True):
            sentences = faults(*with_loss(lambda value: value + jnp.float64(1e-9)))
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
    assert all("computes in float64" in of_platform[0] for of_platform in sentences.values())


def test_a_call_of_the_host_is_found():
    method, batch = make_training("multi_label")
    mesh = sharding.make_mesh(1)
    state = jax.eval_shape(lambda: init_state(method, OPTIMIZER, 0, mesh))

    def step(state, batch):
        jax.debug.callback(lambda number: None, state.step)
        return state, batch["clean"]["index"]

    lowered = jax.jit(step, donate_argnums=0).trace(state, batch).lower()
    (sentence,) = lowered_checks.problems(lowered.as_text(debug_info=True), "bfloat16", [])
    assert sentence.startswith("custom_call in ")
    assert sentence.endswith(" talks to the host")


def test_a_state_that_is_not_donated_is_found():
    method, batch = make_training("multi_label")
    donating = make_train_step(method, OPTIMIZER, sharding.make_mesh(1))
    for (sentence,) in faults(method, batch, jax.jit(donating.__wrapped__)).values():
        assert sentence.startswith("state.step is copied, as its donation is not taken (")


class Faulty(models.Backbone):
    """Two convolutions, the second of which has `fault`."""

    fault: str = ""

    @nn.compact
    def __call__(self, images, train):
        dtype = self.style.dtype
        x = nn.Conv(6, (3, 3), dtype=dtype, name="conv1")(images)
        if self.fault == "transposed":
            x = nn.relu(x.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
        wide = jnp.float32 if self.fault == "wide" else dtype
        x = nn.Conv(6, (3, 3), dtype=wide, name="conv2")(x)
        if self.fault == "dense":
            x = nn.Dense(6, dtype=jnp.float32)(x)
        return Features((x,), global_mean(x))


@pytest.mark.parametrize(
    ("fault", "sentences"),
    [
        ("", []),
        ("wide", [r"convolution in .*/conv2/conv_general_dilated does not compute in bfloat16"]),
        ("dense", [r"dot_general in .*/Dense_0/dot_general does not compute in bfloat16"]),
        ("transposed", [r"transpose in .*/backbone/transpose moves the channels of images"]),
    ],
)
def test_a_faulty_layer_is_named(fault, sentences, monkeypatch):
    monkeypatch.setitem(models.BACKBONES, "faulty", (Faulty, {"fault": fault}))
    network = {"backbone": "faulty"}
    for found in faults(*make_training("multi_label", network)).values():
        assert len(found) == len(sentences)
        assert all(re.match(p, s) for p, s in zip(sentences, found, strict=True))
