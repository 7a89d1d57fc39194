"""Memory and work from shapes alone: the step of the real training, and figures by hand."""

import dataclasses
import importlib

import jax
import numpy as np
import optax
import pytest
from tiny import make_context

from au_jax import methods, sharding
from au_jax.benchmark import collectives, dry
from au_jax.data.pipeline import batch_shapes
from au_jax.experiment.recipe import Recipe
from au_jax.run_dir import RunFolder
from au_jax.training.step import init_state


@pytest.mark.parametrize(
    ("config_name", "variant", "stage_name"),
    [
        ("emoco", "default", "emoco"),
        ("noisy_student", "default", "student"),
        ("recot", "table", "kd"),
    ],
)
def test_an_outline_is_the_training_without_its_data(
    config_name, variant, stage_name, tiny_faces, data_dir, tmp_path
):
    config = importlib.import_module(f"configs.{config_name}").get_config(variant)
    config.data.synthetic.update(size=40, opt=48, noisy=40, test=24, seed=3)
    config.data.size = 40
    config.model.image_size = 32
    config.model.backbone = "tiny"
    recipe = Recipe(config, RunFolder(tmp_path), data_dir)
    stage = recipe.stage(stage_name)
    streams = {n: {**s, "labels": "", "soft": False} for n, s in stage.streams.items()}
    stage = dataclasses.replace(stage, streams=streams, start="")
    training, _ = stage.prepare(recipe.context(stage_name))
    outline = stage.outline(crop_size=40)
    batch = {
        name: {field: value for field, value in fields.items() if field != "true"}
        for name, fields in next(training.batches()).items()
    }
    shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), batch)
    assert shapes == outline.batch

    def parameters(method):
        return jax.eval_shape(method.init, jax.random.PRNGKey(0))[0]

    assert parameters(outline.method) == parameters(training.method)


def test_figures_of_a_step_by_hand():
    context = make_context(("AU01", "AU12"), streams=("opt",))
    method = methods.create("multi_task", context, {})
    optimizer, mesh = optax.sgd(0.1, momentum=0.9), sharding.make_mesh(1)
    batch = {
        "opt": {
            field: jax.ShapeDtypeStruct(*shape)
            for field, shape in batch_shapes(8, 40, 2, soft=False).items()
        }
    }
    figures = dry.measure(method, optimizer, batch, mesh, "float32")
    state = init_state(method, optimizer, 0, mesh)
    # 3x3 convolutions 3-6 and 6-6, scales and biases of 6, a head of 6 x 2 and its bias.
    assert figures["parameters"] == 27 * 6 + 9 * 36 + 4 * 6 + 12 + 2
    of_part = figures["bytes"]

    def nbytes(*trees):
        return sum(a.nbytes for a in jax.tree.leaves(trees))

    assert of_part["network"] == nbytes(state.params, state.batch_stats)
    assert of_part["optimizer"] == nbytes(state.opt_state) == nbytes(state.params)
    assert of_part["method"] == 0
    assert figures["images"] == 8
    assert of_part["batch"] == 8 * (40 * 40 * 3 + 2 + 12 + 1 + 4)
    multiplications = 8 * 16 * 16 * (27 * 6 + 9 * 36)
    assert figures["flops"] > 2 * multiplications
    assert of_part["temporary"] > 8 * 32 * 32 * 3 * np.dtype(np.float32).itemsize


def test_a_device_has_its_share_of_sharded_centres():
    facts = methods.StreamFacts(16, 8, identities=1000)
    context = make_context((), streams={"faces": facts})
    method, optimizer = methods.create("face_identity", context, {}), optax.sgd(0.1, momentum=0.9)
    batch = {
        "faces": {
            "image": jax.ShapeDtypeStruct((8, 40, 40, 3), np.uint8),
            "identity": jax.ShapeDtypeStruct((8,), np.int32),
        }
    }
    one, eight = (
        dry.measure(method, optimizer, batch, sharding.make_mesh(devices), "float32")
        for devices in (1, 8)
    )
    # 1000 centres of 6 numbers are padded to 1024; their momentum is as large.
    saved = (1024 - 128) * 6 * 4
    for part in ("network", "optimizer"):
        assert one["bytes"][part] - eight["bytes"][part] == saved
    assert one["parameters"] == eight["parameters"]
    assert (one["images"], eight["images"]) == (8, 1)
    assert eight["bytes"]["temporary"] < one["bytes"]["temporary"] / 2
    # Of the two kernels' gradients, together or not; the centres' stay where their shards are.
    assert eight["collectives"]["gradient_groups"] in (1, 2)
    assert dry.verdict(eight)[0] == "lowers for cpu, cuda, tpu: checks hold"


KERNELS = ((3, 3, 3, 6), (3, 3, 6, 6), (6, 2))
ONE_GROUP = (
    "  %a = (f32[3,3,3,6]{3,2,1,0}, f32[3,3,6,6]{3,2,1,0}, f32[2,6]{1,0}) all-reduce(%x, %y)"
)
STATISTICS = "  %b = f32[1,1,6]{2,1,0} all-reduce(%z), channel_id=1"


@pytest.mark.parametrize(
    ("more", "sentences"),
    [
        ("", []),
        (
            "  %c = f32[9,36]{1,0} all-reduce(%w)",
            ["2 arrays of 324 elements are summed over the devices, but 1 parameters have as many"],
        ),
        (
            "  %c = f32[6,2]{1,0} all-gather(%w), dimensions={0}",
            ["an array as large as a parameter, 12 elements, is gathered"],
        ),
    ],
)
def test_what_devices_exchange(more, sentences):
    found = collectives.collectives("\n".join((ONE_GROUP, STATISTICS, more)))
    assert collectives.problems(found, KERNELS) == sentences
    summary = collectives.summary(found[:2], KERNELS)
    size = 4 * (27 * 6 + 9 * 36 + 12 + 6)
    assert summary == {"all-reduce": {"count": 2, "bytes": size}, "gradient_groups": 1}
