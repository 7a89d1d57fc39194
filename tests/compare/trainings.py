"""Short trainings of every method on a small OwnNet, and the same training in PyTorch."""

import contextlib

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import torch
from tiny import make_context

from au_jax import aus, methods
from au_jax.compare import methods as counterparts
from au_jax.compare.step import VARIANTS, TorchTraining
from au_jax.export.pytorch import networks
from au_jax.methods import StreamFacts

SIDE, SHARE, RECORDS = 32, 8, 40
AUS = ("AU01", "AU12", "AU51", "AU52")
HAPPY, SAD, ANGER = (aus.EMOTIONS.index(e) for e in ("happy", "sad", "anger"))
FACTS = {
    "positives": (5.0, 9.0, 0.0, 20.0),
    "negatives": (30.0, 11.0, 3.0, 10.0),
    "dependencies": (
        (1.0, -0.4, 0.0, 0.3),
        (-0.1, 1.0, 0.0, 0.2),
        (0.0, 0.0, 1.0, 0.0),
        (0.9, 0.6, 0.0, 1.0),
    ),
    "emotions": tuple(10 * (e in (HAPPY, SAD, ANGER)) for e in range(len(aus.EMOTIONS))),
    "identities": 12,
}
RATIOS = {"selective_ratios": [0.3, 0.8, 0.0, 0.5]}
SGD = {
    "name": "sgd",
    "learning_rate": 0.01,
    "momentum": 0.9,
    "weight_decay": 1e-3,
    "schedule": "steps",
    "boundaries": (0.5, 0.75),
    "factor": 0.1,
    "steps": 20,
}


def make_trainings(name, options, streams=("clean", "noisy"), dtype=torch.float32, **context):
    """A method and its PyTorch training.

    Args:
      streams: their names, or {name: the head that it trains}.
      context: changed arguments of `make_context`, and `settings` and `variant` of the training.
    """
    settings, variant = context.pop("settings", SGD), context.pop("variant", VARIANTS["eager"])
    heads = streams if isinstance(streams, dict) else dict.fromkeys(streams, "opt")
    precision = str(dtype).removeprefix("torch.")
    context = make_context(
        AUS,
        network={"backbone": "ownnet1", "precision": precision, **context.pop("network", {})},
        augmentation={"image_size": SIDE, "flip": 0.5, **context.pop("augmentation", {})},
        streams={s: StreamFacts(RECORDS, SHARE, head=head, **FACTS) for s, head in heads.items()},
        **{"epochs": 4, **context},
    )
    method = methods.create(name, context, options)
    counterpart = counterparts.create(name, context, options)
    networks.biased_batch_norm(counterpart.module)
    return method, TorchTraining(counterpart, settings, variant, dtype=dtype)


def make_batch(streams, seed=0, soft=()):
    """A batch with every field that a method may read; `soft` names streams of soft labels."""
    rng = np.random.default_rng(seed)
    batch = {}
    for stream in streams:
        pose = rng.normal(0, 20, (SHARE, 3)).astype(np.float32)
        pose[1] = np.nan
        identity = rng.permutation(FACTS["identities"])[:SHARE]
        identity[2] = -1
        batch[stream] = {
            "image": rng.integers(0, 256, (SHARE, SIDE + 8, SIDE + 8, 3), np.uint8),
            "labels": rng.integers(-1, 2, (SHARE, len(AUS)), np.int8),
            "pose": pose,
            "index": rng.permutation(RECORDS)[:SHARE].astype(np.int32),
            "emotion": rng.choice([HAPPY, SAD, ANGER, -1], SHARE).astype(np.int8),
            "identity": identity.astype(np.int32),
        }
        if stream in soft:
            probabilities = rng.uniform(0, 1, (SHARE, len(AUS))).astype(np.float32)
            probabilities[0, 1:3] = -1, np.nan
            batch[stream]["soft"] = probabilities
    return batch


def begin(method, seed=0):
    """Random (params, batch_stats, method_state), without compiling an initialisation."""
    rng = np.random.default_rng(seed)

    def fill(path, leaf):
        name, shape = path[-1].key, leaf.shape
        if name in ("scale", "var"):
            values = rng.uniform(0.5, 1.5, shape)
        elif name == "kernel":
            values = rng.normal(0, (2 / np.prod(shape[:-1])) ** 0.5, shape)
        elif name == "keys":
            values = rng.normal(0, 1, shape)
            values /= np.linalg.norm(values, axis=-1, keepdims=True)
        elif name == "index":
            values = rng.integers(-1, RECORDS, shape)
        elif name == "next":
            values = rng.integers(0, 3, shape)
        elif name == "fusion":
            values = rng.uniform(0, 1, shape)
        elif name == "finished":
            values = 2
        else:
            values = rng.normal(0, 0.1, shape)
        whole = jnp.issubdtype(leaf.dtype, jnp.integer)
        return jnp.asarray(values, leaf.dtype if whole else jnp.float32)

    shapes = jax.eval_shape(method.init, jax.random.PRNGKey(0))
    return jax.tree_util.tree_map_with_path(fill, shapes)


@contextlib.contextmanager
def double_precision():
    """JAX with 64 bits; the shapes and dtypes that annotations promise are those without."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        with jax.enable_x64(True):
            yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def in_double(tree):
    """The tree with its floating point arrays in float64."""
    return jax.tree.map(
        lambda x: x if jnp.issubdtype(x.dtype, jnp.integer) else x.astype(jnp.float64), tree
    )
