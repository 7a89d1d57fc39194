"""Every method's training step in PyTorch against ours: losses, gradients, statistics, curves."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch_networks  # noqa: F401
from trainings import (
    RATIOS,
    SGD,
    begin,
    double_precision,
    in_double,
    make_batch,
    make_trainings,
)

from au_jax import sharding
from au_jax.compare.step import VARIANTS
from au_jax.training.optimizer import make_optimizer
from au_jax.training.step import TrainState, make_train_step

CONTRAST = {"queue": 6, "temperature": 0.3, "momentum": 0.75}
FACES = {"streams": ("faces",)}
CASES = {
    "multi_task": (
        "multi_task",
        {"damping": 0.5},
        {
            "streams": {"opt": "opt", "clean": "opt", "noisy": "second"},
            "network": {"pose_branch": True, "pose_std": (10.0, 20.0, 5.0)},
        },
    ),
    "multi_view": ("multi_view", {"balance_rule": "released"}, {}),
    "multi_view signed": ("multi_view", {"signed": True}, {}),
    "supervised": ("supervised", {**RATIOS, "views": 2}, {}),
    "recot": ("recot", {**RATIOS, "noisy_weight": 0.7, "refine_after": 0.5}, {}),
    "recot, one view": (
        "recot",
        {**RATIOS, "views": 1, "refine_after": 0.0, "consistency_weight": 0.0},
        {},
    ),
    "recot without noise": ("recot", {**RATIOS, "noisy_weight": 0.0, "refine_after": 0.0}, {}),
    "emoco": ("emoco", {**CONTRAST, "emotion_weight": 0.7}, FACES),
    "emoco, one queue": ("emoco", {**CONTRAST, "multi_queue": False, "emotions": ["sad"]}, FACES),
    "emoco of emotions": ("emoco", {"contrast": False}, FACES),
    "moco": ("moco", CONTRAST, FACES),
    "moco in groups": ("moco", {**CONTRAST, "bn": "split", "bn_groups": 2}, FACES),
    "face_identity": ("face_identity", {"scale": 16.0}, FACES),
    "face_identity, sampled": ("face_identity", {"sampled": 9, "margin": 0.3}, FACES),
    "expression": ("expression", {"label_smoothing": 0.2}, FACES),
    "multi_label": ("multi_label", {"weights": [1, 2, 6, 5]}, {}),
}


def of_case(case, **changes):
    """(method, PyTorch training, batch)."""
    name, options, arguments = CASES[case]
    streams = arguments.get("streams", ("clean", "noisy"))
    batch = make_batch(streams, soft=("noisy",) if name == "multi_task" else ())
    return *make_trainings(name, options, **{**arguments, **changes}), batch


def relative(theirs, ours, floor):
    """The norm of the difference over the norm, which counts as `floor` at least."""
    return np.linalg.norm(theirs - ours) / max(np.linalg.norm(ours), floor)


def assert_first_step_agrees(method, training, batch):
    """The loss to 1e-5, every gradient to 1e-4, BatchNorm's statistics to 1e-6, in float64."""
    key, step = jax.random.PRNGKey(3), jnp.int32(0)
    variables = in_double(begin(method))
    drawn = jax.jit(training.counterpart.draw)(variables[2], batch, step, key)
    (loss, (batch_stats, state, _)), grads = jax.jit(jax.value_and_grad(method.loss, has_aux=True))(
        *variables, batch, step, key
    )
    training.load(*variables)
    theirs = training.gradients(drawn)
    ours = training.counterpart.state(grads, {})
    after = training.counterpart.state(variables[0], batch_stats)
    ours = {name: np.asarray(array) for name, array in ours.items()}
    assert ours.keys() == theirs.keys()
    largest = max(np.linalg.norm(array) for array in ours.values())
    worst = {name: relative(theirs[name], array, 1e-6 * largest) for name, array in ours.items()}
    assert max(worst.values()) < 1e-4, worst
    for name, buffer in training.counterpart.module.state_dict().items():
        if "running" in name:
            np.testing.assert_allclose(buffer, after[name], rtol=1e-6, atol=1e-6, err_msg=name)
    training.load(*variables)
    np.testing.assert_allclose(training.step(drawn), loss, rtol=1e-5)
    return state


@pytest.mark.parametrize("case", CASES)
def test_the_first_step_agrees(case):
    with double_precision():
        method, training, batch = of_case(case, dtype=torch.float64)
        assert_first_step_agrees(method, training, batch)
