import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np

from au_jax import log
from au_jax.run_dir import StageFolder

SCRIPT = Path(__file__).parent / "one_process.py"


def train(data, folder, processes, devices):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "XLA_FLAGS": flags}
    running = [
        subprocess.Popen(
            [sys.executable, SCRIPT, data, folder, port, str(processes), str(process)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for process in range(processes)
    ]
    for process in running:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    return StageFolder(folder)


def test_two_processes_train_and_score_as_one_does(tiny_faces, tmp_path):
    one = train(tiny_faces, tmp_path / "one", processes=1, devices=2)
    two = train(tiny_faces, tmp_path / "two", processes=2, devices=1)
    expected, found = (log.read_metrics(stage.metrics)[0] for stage in (one, two))
    np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-5)
    a, b = (stage.read_scores("opt-val", 1) for stage in (one, two))
    np.testing.assert_array_equal(a.keys, b.keys)
    np.testing.assert_allclose(a.logits, b.logits, atol=1e-4)
