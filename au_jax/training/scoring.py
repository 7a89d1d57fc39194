"""Scores: the logits of a network for every record of a source, once each, in order."""

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh

from au_jax import sharding
from au_jax.data.pipeline import ordered_batches
from au_jax.data.sources import Source
from au_jax.methods.base import Method, Variables
from au_jax.run_dir import Scores

# "No face found: all AUs absent" (Magdeburg, section 2): the sigmoid of this is 1e-13.
NO_FACE_LOGIT = -30.0

# (variables, images uint8 [B, H, W, 3], pose float32 [B, 3]) -> [B, ...]
Forward = Callable[[Variables, jax.Array, jax.Array], jax.Array]
Scorer = Callable[[Variables, Source], np.ndarray]


def make_pass(
    function: Forward,
    mesh: Mesh,
    batch: int,
    threads: int,
) -> Scorer:
    """Returns `run(variables, source) -> [N, ...]`, compiled on its first call.

    Args:
      function: what is run.
      mesh: the devices, over which each batch is split.
      batch: examples in each global batch, rounded up to a multiple of the devices. The last batch
        is padded and its padding dropped, so that results do not depend on it.
      threads: the number of threads that read and decode images.
    """
    devices = mesh.devices.size
    batch = -(-batch // devices) * devices
    split = sharding.sharded(mesh)
    # The variables stay where they are: a training method may have sharded some of them.
    compiled = jax.jit(function, in_shardings=(None, split, split), out_shardings=split)

    def run(variables: Variables, source: Source) -> np.ndarray:
        pending = []
        for rows in ordered_batches(
            source, batch, threads, jax.process_index(), jax.process_count()
        ):
            images, pose = sharding.put_batch((rows["image"], rows["pose"]), mesh)
            pending.append(compiled(variables, images, pose))
        return np.concatenate([sharding.gather(p) for p in pending])[: len(source)]

    return run


def make_scorer(method: Method, mesh: Mesh, batch: int, threads: int) -> Scorer:
    """Returns `score(variables, source) -> logits float32 [N, A]`, compiled on its first call.

    Records without a face get `NO_FACE_LOGIT` for every AU.

    Args:
      method: its `predict` gives the logits.
      mesh, batch, threads: see `make_pass`.
    """
    predict = make_pass(method.predict, mesh, batch, threads)

    def score(variables: Variables, source: Source) -> np.ndarray:
        logits = predict(variables, source)
        logits[~source.table.face] = NO_FACE_LOGIT
        return logits

    return score


def with_labels(logits: np.ndarray, source: Source, aus: tuple[str, ...]) -> Scores:
    """Joins logits with the labels and names of the records that they are of.

    Args:
      logits: float [N, A].
      source: the N records.
      aus: the A AUs of the logits.
    """
    table = source.aligned(aus).table
    return Scores(
        logits=logits.astype(np.float32),
        labels=table.labels,
        aus=np.array(aus, np.str_),
        keys=table.keys,
        subject=table.subject,
        video=table.video,
        frame=table.frame,
    )
