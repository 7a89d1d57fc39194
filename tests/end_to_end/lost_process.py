"""One of two processes, of which the second is killed between two exchanges (test_processes.py).

The other learns of it by JAX's own means; the variables of the environment join the two.
"""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import jax

from au_jax import cli, sharding


def exchange_and_die() -> None:
    sharding.barrier("both are there")
    print("both are there", flush=True)
    if jax.process_index() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    sharding.barrier("one is gone")


if __name__ == "__main__":
    cli.start()
    cli.dispatch({"run": exchange_and_die}, "run")
