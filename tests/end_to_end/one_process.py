"""Trains a tiny network for one epoch as one of several processes (see test_processes.py).

python tests/end_to_end/one_process.py DATA_FOLDER STAGE_FOLDER PORT PROCESSES PROCESS
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
from au_jax.run_dir import StageFolder
from au_jax.training.loop import Training, train

if __name__ == "__main__":
    data, folder, port, processes, process = sys.argv[1:]
    if int(processes) > 1:
        jax.distributed.initialize(f"localhost:{port}", int(processes), int(process))

    def source(split):
        return open_source(Path(data), split, "closeup", 0.25, 0).aligned(aus.EXPRESSION)

    method = methods.create(
        "multi_task",
        make_context(
            aus.EXPRESSION, augmentation={"flip": 0.5, "brightness": 0.5}, streams=("opt",)
        ),
        {"label_smoothing": 0.0},
    )
    rate = optax.constant_schedule(0.1)
    train(
        StageFolder(Path(folder)),
        Training(
            method=method,
            optimizer=optax.sgd(rate),
            learning_rate=rate,
            streams={"opt": Stream(source("opt-train"), 8)},
            validation={"opt-val": source("opt-val")},
            epochs=1,
            steps_per_epoch=4,
            seed=0,
            threads=1,
            score_batch=5,
        ),
        sharding.make_mesh(),
    )
