"""Runs `launch.py` with the given flags and kills its process without warning at a chosen moment.

    python tests/end_to_end/killed_run.py MOMENT:COUNT FLAGS...

MOMENT is step (before a batch goes to the device), save (a checkpoint is being written), or replace
(a file is written and about to get its name); COUNT says which one.
"""

import os
import runpy
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from au_jax import sharding  # noqa: E402
from au_jax.files import atomic_files  # noqa: E402
from au_jax.training.checkpoint import Checkpoints  # noqa: E402

moment, count = sys.argv[1].split(":")
left = int(count)


def strike() -> None:
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


def before(function):
    def patched(*args, **kwargs):
        strike()
        return function(*args, **kwargs)

    return patched


def after(function):
    def patched(*args, **kwargs):
        result = function(*args, **kwargs)
        strike()
        return result

    return patched


if moment == "step":
    sharding.put_batch = before(sharding.put_batch)
elif moment == "save":
    Checkpoints.save = after(Checkpoints.save)  # the writing goes on in the background
elif moment == "replace":
    atomic_files.os = type("os", (), {**vars(os), "replace": staticmethod(before(os.replace))})
else:
    raise SystemExit(f"unknown moment {moment}")

sys.argv = [str(ROOT / "launch.py"), *sys.argv[2:]]
runpy.run_path(sys.argv[0], run_name="__main__")
