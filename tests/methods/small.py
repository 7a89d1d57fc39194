"""Methods for clean and noisy labels on a network that compiles fast, and their batches."""

import functools

import jax
import numpy as np

from au_jax import methods

AUS = ("AU01", "AU12", "AU51", "AU52")
PIXELS, SHARES = 8, {"clean": 8, "noisy": 16}

SPECS = {
    "recot": {
        "views": 2,
        "noisy_weight": 0.7,
        "consistency_weight": 2.0,
        "alpha": 1.0,
        "beta": 0.1,
        "gamma": 0.9,
        "mu": 0.3,
        "phi": 0.9,
        "refine_from": 1,
        "epochs": 3,
        "noisy_records": 20,
    },
    "supervised": {"views": 1, "streams": ["clean", "noisy"]},
    "bootstrapping": {"weight": 0.8, "hard": True},
    "mixup": {"concentration": 1.0},
    "distillation": {"soft_weight": 0.5},
    "noise_residual": {"noisy_weight": 0.5},
    "mean_teacher": {"decay": 0.999, "consistency_weight": 3.0, "ramp_up_steps": 4},
    "deep_co_training": {
        "agreement_weight": 10.0,
        "difference_weight": 0.5,
        "epsilon": 0.02,
        "ramp_up_steps": 4,
    },
    "mlcr": {"multi_view_weight": 10.0, "co_regularization_weight": 25.0},
    "mlct": {"handed_share": 0.2, "handed_weight": 0.5},
}


def create(name, **changes):
    """The method called `name`; nothing is drawn at random unless `changes` say so."""
    spec = {
        "aus": AUS,
        "network": {"backbone": "tiny", "fields": {"padding": "torch"}},
        "image_size": PIXELS,
        "augmentation": {},
        "selective_ratios": [0.0] * len(AUS),  # all known entries count
        **SPECS[name],
    }
    return methods.create(name, **(spec | changes))


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


def value_and_grads(method, variables, batch, key=1):
    """((loss, (batch_stats, method_state, logs)), gradient)."""
    return _gradient(method.loss)(*variables, batch, jax.random.PRNGKey(key))


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
