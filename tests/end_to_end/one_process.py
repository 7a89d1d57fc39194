"""Trains tiny networks, one after another, as one of several processes (see test_processes.py).

python tests/end_to_end/one_process.py DATA_FOLDER RUN_FOLDER PORT PROCESSES PROCESS
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1]))

import jax
import optax
from tiny import make_context

from au_jax import aus, methods, sharding
from au_jax.data.pipeline import Stream
from au_jax.data.sources import open_source
from au_jax.methods import StreamFacts
from au_jax.run_dir import RunFolder
from au_jax.training.loop import Training, train

# Of each method: the split of each stream, its options, and for how many epochs it is trained.
TRAINED = {
    "multi_task": ({"opt": "opt-train"}, {"label_smoothing": 0.0}, 1),
    "moco": ({"faces": "opt-train"}, {"queue": 24}, 2),
    "recot": (
        {"clean": "opt-train", "noisy": "noisy"},
        {"selective_ratios": [0.0] * len(aus.EXPRESSION), "refine_after": 0.5},
        2,
    ),
}


def run(data, folder, name, splits, options, epochs):
    def source(split):
        return open_source(data, split, "closeup", 0.25, 0).aligned(aus.EXPRESSION)

    streams = {stream: Stream(source(split), 8) for stream, split in splits.items()}
    ones = (1.0,) * len(aus.EXPRESSION)
    method = methods.create(
        name,
        make_context(
            aus.EXPRESSION,
            augmentation={"flip": 0.5, "brightness": 0.5},
            streams={
                stream: StreamFacts(len(of.source), 8, positives=ones, negatives=ones)
                for stream, of in streams.items()
            },
            epochs=epochs,
        ),
        options,
    )
    rate = optax.constant_schedule(0.1)
    train(
        folder.stage(name),
        Training(
            method=method,
            optimizer=optax.sgd(rate),
            learning_rate=rate,
            streams=streams,
            validation={"opt-val": source("opt-val")} if method.aus else {},
            epochs=epochs,
            steps_per_epoch=4,
            seed=0,
            threads=1,
            score_batch=5,
        ),
        sharding.make_mesh(),
    )


if __name__ == "__main__":
    data, folder, port, processes, process = sys.argv[1:]
    if int(processes) > 1:
        jax.distributed.initialize(f"localhost:{port}", int(processes), int(process))
    for name, (splits, options, epochs) in TRAINED.items():
        run(Path(data), RunFolder(Path(folder)), name, splits, options, epochs)
