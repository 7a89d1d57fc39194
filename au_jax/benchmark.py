"""How fast the parts of training are, side by side in one run: `--mode=benchmark`."""

import itertools
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
from jax.sharding import Mesh
from rich.console import Console
from rich.table import Table

from au_jax import log, sharding
from au_jax.stages.train import Training, run_epoch
from au_jax.train_step import init_state, make_train_step

_ROUNDS = 5  # the parts take turns, so that a busy moment of the machine meets them all


def measure(training: Training, mesh: Mesh, steps: int = 60) -> dict[str, float]:
    """Returns images/s of each part, compile seconds and peak memory in MiB.

    Args:
      steps: of each part in each of the 5 rounds; rates are medians over the rounds.

    Returns:
      {"input", "bare_decoding", "step", "loop", "together": images/s; "compile_seconds",
      "peak_memory_mib", "compilations": of the step}.
    """
    images = sum(s.share for s in training.streams.values())
    state = init_state(training.method, training.optimizer, training.seed, mesh)
    step = make_train_step(training.method, training.optimizer, mesh)
    in_memory = list(itertools.islice(training.batches(), 4))
    on_device = sharding.put_batch(in_memory[0], mesh)
    started = time.perf_counter()
    state, _ = jax.block_until_ready(step(state, on_device))
    compile_seconds = time.perf_counter() - started
    holder = {"state": state}

    def bare_steps() -> None:
        state = holder["state"]
        for _ in range(steps):
            state, logs = step(state, on_device)
        holder["state"], _ = jax.block_until_ready((state, logs))

    def loop(batches: Iterator[Any]) -> None:
        holder["state"], _ = run_epoch(step, holder["state"], batches, steps, mesh, bar)
        jax.block_until_ready(holder["state"])

    parts: dict[str, Callable[[], None]] = {
        "bare_decoding": lambda: _decode(training, steps),
        "input": lambda: _consume(training.batches(), steps),
        "step": bare_steps,
        "loop": lambda: loop(itertools.cycle(in_memory)),
        "together": lambda: loop(training.batches()),
    }
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    with log.progress("benchmark", 2 * steps * (_ROUNDS + 1), "step") as bar:
        for round_ in range(_ROUNDS + 1):  # the first warms up
            for name, part in parts.items():
                started = time.perf_counter()
                part()
                if round_:
                    seconds[name].append(time.perf_counter() - started)
    rates = {name: images * steps / statistics.median(s) for name, s in seconds.items()}
    return {
        **rates,
        "compile_seconds": compile_seconds,
        "peak_memory_mib": _peak_memory(mesh),
        "compilations": step._cache_size(),
    }


def _consume(batches: Iterator[Any], steps: int) -> None:
    for _ in range(steps):
        next(batches)


def _decode(training: Training, steps: int) -> None:
    """Reads and decodes the same records of the same files in plain threads, and no more."""
    rows = training.rows()
    work = [(name, batch) for i in range(steps) for name, batch in rows[i].items()]
    with ThreadPoolExecutor(training.threads) as pool:
        list(pool.map(lambda w: training.streams[w[0]].source.images(w[1]), work))


def _peak_memory(mesh: Mesh) -> float:
    """MiB: of the first device where it tells, else of this process."""
    statistics_ = mesh.devices.flat[0].memory_stats()
    if statistics_ and "peak_bytes_in_use" in statistics_:
        return statistics_["peak_bytes_in_use"] / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def show(figures: dict[str, float], mesh: Mesh, title: str) -> None:
    """Prints the figures of `measure` as a table."""
    table = Table("part", "images/s", "ratio", title=f"{title}, on {sharding.describe(mesh)}")
    rows = [
        ("reading and decoding in plain threads", "bare_decoding", None),
        ("input alone (Grain)", "input", "bare_decoding"),
        ("the jitted step alone", "step", None),
        ("the loop on batches in memory", "loop", "step"),
        ("the loop with its input", "together", "step"),
    ]
    for text, name, base in rows:
        ratio = f"{figures[name] / figures[base]:.2f} of {base}" if base else ""
        table.add_row(text, f"{figures[name]:.0f}", ratio)
    Console().print(table)
    log.say(
        f"compilation and first step {figures['compile_seconds']:.1f} s; peak memory "
        f"{figures['peak_memory_mib']:.0f} MiB; the step was compiled "
        f"{figures['compilations']:.0f} time(s)"
    )
