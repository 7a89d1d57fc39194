"""PyTorch's optimisers and schedules make our updates of the same gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from torch import nn

from au_jax.compare.counterpart import linear_state
from au_jax.compare.optimizer import make
from au_jax.errors import UserError
from au_jax.training.optimizer import make_optimizer

STEPS = 5
SETTINGS = {
    "name": "sgd",
    "learning_rate": 0.1,
    "momentum": 0.9,
    "weight_decay": 0.05,
    "schedule": "constant",
    "boundaries": (0.4, 0.7),
    "factor": 0.1,
    "steps": STEPS,
}


class Net(nn.Module):
    """A convolution, a BatchNorm, a PReLU and a dense layer, of which nothing is computed."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, bias=False)
        self.norm = nn.BatchNorm2d(3)
        self.prelu = nn.PReLU(3)
        self.dense = nn.Linear(3, 4)


SHAPES = {
    "conv": {"kernel": (3, 3, 2, 3)},
    "norm": {"scale": (3,), "bias": (3,)},
    "prelu": {"slope": (3,)},
    "dense": {"kernel": (3, 4), "bias": (4,)},
}


def random_tree(seed):
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda shape: rng.normal(size=shape).astype(np.float32),
        SHAPES,
        is_leaf=lambda x: isinstance(x, tuple),
    )


def in_torch(tree):
    return {
        "conv.weight": np.asarray(tree["conv"]["kernel"]).transpose(3, 2, 0, 1),
        "norm.weight": tree["norm"]["scale"],
        "norm.bias": tree["norm"]["bias"],
        "prelu.weight": tree["prelu"]["slope"],
        **linear_state("dense", tree["dense"]),
    }


@pytest.mark.parametrize("schedule", ["constant", "steps", "cosine"])
@pytest.mark.parametrize(
    ("name", "momentum", "learning_rate"),
    # Optax corrects Adam's bias in float32, which costs 1e-5 of each update.
    [("sgd", 0.9, 0.1), ("sgd", 0.0, 0.1), ("adam", 0.9, 0.01)],
)
def test_five_updates_agree(name, momentum, learning_rate, schedule):
    changes = {"name": name, "momentum": momentum, "learning_rate": learning_rate}
    settings = {**SETTINGS, **changes, "schedule": schedule}
    module, params = Net(), random_tree(0)
    for parameter, array in in_torch(params).items():
        module.get_parameter(parameter).data = torch.tensor(np.asarray(array))
    theirs, scheduler = make(module, **settings)
    ours, rate = make_optimizer(**settings)
    state = ours.init(params)
    for step in range(STEPS):
        np.testing.assert_allclose(scheduler.get_last_lr(), [rate(step)] * 2, rtol=1e-6)
        gradient = random_tree(step + 1)
        for parameter, array in in_torch(gradient).items():
            module.get_parameter(parameter).grad = torch.tensor(np.asarray(array))
        theirs.step()
        scheduler.step()
        updates, state = ours.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    for parameter, array in in_torch(params).items():
        value = module.get_parameter(parameter).detach()
        np.testing.assert_allclose(value, array, rtol=1e-6, atol=1e-6, err_msg=parameter)


def test_weights_decay_and_nothing_else_does():
    module, params = Net(), random_tree(0)
    for parameter, array in in_torch(params).items():
        module.get_parameter(parameter).data = torch.tensor(np.asarray(array))
        module.get_parameter(parameter).grad = torch.zeros_like(module.get_parameter(parameter))
    optimizer, _ = make(module, **SETTINGS)
    optimizer.step()
    for parameter, array in in_torch(params).items():
        left = 1 - 0.1 * 0.05 if parameter in ("conv.weight", "dense.weight") else 1.0
        np.testing.assert_allclose(
            module.get_parameter(parameter).detach(), left * np.asarray(array), rtol=1e-6
        )


def test_boundaries_that_fall_together_count_once():
    """As they do in our schedule."""
    settings = {**SETTINGS, "schedule": "steps", "boundaries": (0.4, 0.41)}
    optimizer, scheduler = make(Net(), **settings)
    _, rate = make_optimizer(**settings)
    for step in range(STEPS):
        np.testing.assert_allclose(scheduler.get_last_lr()[0], rate(jnp.int32(step)), rtol=1e-6)
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": "lion"}, r"unknown optimizer\.name 'lion'; known: sgd, adam"),
        ({"schedule": "linear"}, r"optimizer\.schedule 'linear'; known: steps, cosine, constant"),
    ],
)
def test_mistakes_are_named(change, sentence):
    with pytest.raises(UserError, match=sentence):
        make(Net(), **{**SETTINGS, **change})
