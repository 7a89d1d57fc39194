import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from au_jax import log
from au_jax.files import atomic_files
from au_jax.run_dir import RunFolder

HERE = Path(__file__).parent


def free_port():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return str(free.getsockname()[1])


def with_devices(count):
    """The environment of a process with so many devices; compiled steps are kept between runs."""
    return os.environ | {
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={count}",
        "JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.05",
    }


def train(data, folder, processes, devices):
    """The run folder of one_process.py's trainings by so many processes of so many devices."""
    environment, port = with_devices(devices), free_port()
    running = [
        subprocess.Popen(
            [
                *(sys.executable, HERE / "one_process.py"),
                *(data, folder, port, str(processes), str(process)),
            ],
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
    return RunFolder(folder)


@pytest.fixture(scope="module")
def one(tiny_faces, tmp_path_factory):
    """Trained by one process of eight devices."""
    return train(tiny_faces, tmp_path_factory.mktemp("one"), 1, 8)


@pytest.fixture(scope="module")
def two(tiny_faces, tmp_path_factory):
    """Trained by two processes of four devices each."""
    return train(tiny_faces, tmp_path_factory.mktemp("two"), 2, 4)


def test_two_processes_train_and_score_as_one_does(one, two):
    stages = [run.stage("multi_task") for run in (one, two)]
    expected, found = (log.read_metrics(stage.metrics)[0] for stage in stages)
    np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-5)
    a, b = (stage.read_scores("opt-val", 1) for stage in stages)
    np.testing.assert_array_equal(a.keys, b.keys)
    np.testing.assert_allclose(a.logits, b.logits, atol=1e-4)


@pytest.mark.parametrize("method", ["moco", "recot"])
def test_queues_and_label_tables_are_those_of_one_process(method, one, two):
    """Over the refinement of labels."""
    stages = [run.stage(method) for run in (one, two)]
    expected, found = (log.read_metrics(stage.metrics) for stage in stages)
    assert len(expected) == len(found) == 2
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-4)
    if method == "recot":
        tables = [atomic_files.read_arrays(stage.label_table("noisy", 2)) for stage in stages]
        a, b = (table["probabilities"] for table in tables)
        assert (a > 0).all()
        np.testing.assert_allclose(b, a, atol=1e-4)


def test_a_lost_process_ends_the_other_with_a_sentence():
    address = f"localhost:{free_port()}"
    running = [
        subprocess.Popen(
            [sys.executable, HERE / "lost_process.py"],
            env=with_devices(1)
            | {
                "JAX_COORDINATOR_ADDRESS": address,
                "JAX_NUM_PROCESSES": "2",
                "JAX_PROCESS_ID": str(process),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for process in range(2)
    ]
    (said, error), _ = (process.communicate(timeout=60) for process in running)
    assert "both are there" in said
    assert running[1].returncode == -signal.SIGKILL
    assert running[0].returncode == 1, error
    assert "error: another process is lost" in error.strip().splitlines()[-1]
    assert "give all hosts the same command again" in error
    assert "Traceback" not in error
