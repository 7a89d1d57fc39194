"""Methods for clean and noisy labels on a network that compiles fast, and their batches."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from tiny import make_context

from au_jax import methods
from au_jax.methods import StreamFacts

AUS = ("AU01", "AU12", "AU51", "AU52")
PIXELS, SHARES = 8, {"clean": 8, "noisy": 16}

OPTIONS = {
    "recot": {
        "views": 2,
        "lambda_n": 0.7,
        "lambda_cons": 2.0,
        "alpha": 1.0,
        "beta": 0.1,
        "gamma": 0.9,
        "mu": 0.3,
        "phi": 0.9,
        "refine_after": 1 / 3,
    },
    "supervised": {"views": 1},
    "bootstrapping": {"weight": 0.8, "hard": True},
    "mixup": {"concentration": 1.0},
    "distillation": {"soft_weight": 0.5},
    "noise_residual": {"noisy_weight": 0.5},
    "mean_teacher": {"decay": 0.999, "consistency_weight": 3.0, "ramp_up_share": 4 / 30},
    "deep_co_training": {
        "agreement_weight": 10.0,
        "difference_weight": 0.5,
        "epsilon": 0.02,
        "ramp_up_share": 4 / 30,
    },
    "mlcr": {"lambda_mv": 40.0, "lambda_cr": 100.0},
    "mlct": {"handed_share": 0.2, "handed_weight": 0.5},
}


def create(name, aus=AUS, augmentation=None, streams=SHARES, records=20, facts=None, **options):
    """The method called `name`; nothing is drawn at random unless the arguments say so.

    A training of 3 epochs of 10 steps; all known entries count. `facts` are further ones of each
    stream.
    """
    context = make_context(
        aus,
        augmentation={"image_size": PIXELS, **(augmentation or {})},
        network={"fields": {"padding": "torch"}},
        streams={
            stream: StreamFacts(records, SHARES.get(stream, 8), **(facts or {}))
            for stream in streams
        },
        epochs=3,
        steps_per_epoch=10,
    )
    return methods.create(
        name, context, {"selective_ratios": [0.0] * len(aus), **OPTIONS[name], **options}
    )


def make_batch(seed=0, pixels=PIXELS):
    rng = np.random.default_rng(seed)
    batch = {
        stream: {
            "image": rng.integers(0, 256, (share, pixels, pixels, 3), np.uint8),
            "labels": rng.integers(-1, 2, (share, len(AUS)), np.int8),
            "pose": np.zeros((share, 3), np.float32),
            "index": rng.permutation(20)[:share].astype(np.int32),
        }
        for stream, share in SHARES.items()
    }
    noisy = batch["noisy"]
    noisy["soft"] = rng.uniform(0, 1, noisy["labels"].shape).astype(np.float32)
    noisy["soft"][0], noisy["soft"][1] = -1, np.nan  # records that the teacher did not see
    noisy["true"] = rng.integers(-1, 2, noisy["labels"].shape, np.int8)
    return batch


def networks_of(method):
    """The `Networks` behind a method."""
    return method.predict.__self__


def start(method):
    """Random (params, batch_stats, method_state), without compiling an initialisation."""
    rng = np.random.default_rng(0)

    def fill(path, leaf):
        name = path[-1].key
        if name in ("scale", "var"):
            return rng.uniform(0.5, 1.5, leaf.shape).astype(leaf.dtype)
        if name == "kernel":
            spread = (2 / np.prod(leaf.shape[:-1])) ** 0.5
            return rng.normal(0, spread, leaf.shape).astype(leaf.dtype)
        if name in ("bias", "mean"):
            return rng.normal(0, 0.1, leaf.shape).astype(leaf.dtype)
        return np.zeros(leaf.shape, leaf.dtype)

    shapes = jax.eval_shape(method.init, jax.random.PRNGKey(0))
    return jax.tree_util.tree_map_with_path(fill, shapes)


def constant(params, **biases):
    """Parameters with which each head tells its bias whatever the image: {head: [views, A]}."""
    changed = {}
    for number, (view, tree) in enumerate(params.items()):
        changed[view] = dict(tree)
        for head, values in biases.items():
            layer = tree[f"output_{head}"]
            bias = np.asarray(values, np.float32)[number]
            changed[view][f"output_{head}"] = {"kernel": 0 * layer["kernel"], "bias": bias}
    return changed


def value_and_grads(method, variables, batch, key=1, step=0):
    """((loss, (batch_stats, method_state, logs)), gradient)."""
    return _gradient(method.loss)(*variables, batch, jnp.int32(step), jax.random.PRNGKey(key))


@functools.cache
def _gradient(loss):
    return jax.jit(jax.value_and_grad(loss, has_aux=True))


# ---- Plain numpy, in double precision ----


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def cross_entropy(x, target):
    """-(t log p + (1 - t) log(1 - p)) of one logit."""
    p = sigmoid(x)
    return -(target * np.log(p) + (1 - target) * np.log(1 - p))


def numeric_gradient(function, x):
    """Central differences of a scalar function of one array."""
    x = np.asarray(x, np.float64)
    gradient = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[place] = 1e-5
        gradient[place] = (function(x + step) - function(x - step)) / 2e-5
    return gradient
