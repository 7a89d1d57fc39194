"""Training speed: how fast the parts of a step are, side by side in one run."""

import dataclasses
import itertools
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
from jax.sharding import Mesh
from rich.console import Console
from rich.table import Table

from au_jax import log, sharding
from au_jax.data.pipeline import ordered_batches
from au_jax.training.loop import Training, run_epoch
from au_jax.training.step import TrainState, init_state, make_train_step

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
    # A short training ends before as many steps as are measured.
    epochs = max(training.epochs, -(-steps // training.steps_per_epoch))
    training = dataclasses.replace(training, epochs=epochs)
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
        holder["state"], *_ = run_epoch(step, holder["state"], batches, steps, mesh, bar)
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


def measure_steps(
    trainings: Mapping[str, Training], mesh: Mesh, steps: int = 15
) -> dict[str, dict[str, float]]:
    """Times the jitted train step of several stages, in turns.

    Args:
      steps: of each stage in each of the 5 rounds.

    Returns:
      {stage: {"images_per_second", and where its method works at the end of an epoch
      "end_of_epoch", the time of that over the time of plain scoring of the same records}}.
    """
    runs = {name: _Steps(training, mesh) for name, training in trainings.items()}
    figures = {}
    for name, seconds in _in_turns(runs, steps).items():
        training = trainings[name]
        images = sum(s.share for s in training.streams.values())
        figures[name] = {"images_per_second": images / seconds}
        if training.method.end_of_epoch is not None:
            figures[name]["end_of_epoch"] = _end_of_epoch(training, runs[name].state, mesh)
    return figures


def measure_scaling(training: Training, mesh: Mesh, steps: int = 15) -> dict[int, float]:
    """Times one batch's step, shared out over 1, 2, 4... of the devices of `mesh`, in turns.

    Args:
      steps: of each number of devices in each of the 5 rounds.

    Returns:
      {devices: seconds per step}, for the numbers that divide every stream's share.
    """
    shares = [stream.share for stream in training.streams.values()]
    counts = [2**n for n in range(mesh.devices.size.bit_length()) if 2**n <= mesh.devices.size]
    fitting = [count for count in counts if all(share % count == 0 for share in shares)]
    return _in_turns({n: _Steps(training, sharding.make_mesh(n)) for n in fitting}, steps)


class _Steps:
    """Train steps on one batch that lies on the devices of a mesh."""

    def __init__(self, training: Training, mesh: Mesh):
        self.state = init_state(training.method, training.optimizer, training.seed, mesh)
        self._step = make_train_step(training.method, training.optimizer, mesh)
        self._batch = sharding.put_batch(next(training.batches()), mesh)

    def __call__(self, steps: int) -> None:
        for _ in range(steps):
            self.state, logs = self._step(self.state, self._batch)
        jax.block_until_ready((self.state, logs))


def _in_turns(runs: Mapping[Any, _Steps], steps: int) -> dict[Any, float]:
    """Median seconds per step of each run over the rounds."""
    seconds: dict[Any, list[float]] = {name: [] for name in runs}
    with log.progress("steps", len(runs) * (_ROUNDS + 1), "round") as bar:
        for round_ in range(_ROUNDS + 1):  # the first warms up
            for name, run in runs.items():
                started = time.perf_counter()
                run(steps)
                if round_:
                    seconds[name].append(time.perf_counter() - started)
                bar.update()
    return {name: statistics.median(taken) / steps for name, taken in seconds.items()}


def _end_of_epoch(training: Training, state: TrainState, mesh: Mesh) -> float:
    """Time of the method's end of an epoch over that of scoring the same records in memory."""
    streams: list[str] = []
    kept: dict[str, list[Any]] = {}

    def passes(stream: str) -> list[Any]:
        if stream not in kept:
            streams.append(stream)
            records = training.streams[stream].source
            batches = ordered_batches(records, training.score_batch, training.threads)
            kept[stream] = [sharding.put_batch(b, mesh) for b in itertools.islice(batches, 8)]
        return kept[stream]

    method = training.method
    assert method.end_of_epoch is not None
    variables = method.kept(state.params, state.batch_stats, state.method_state)
    predict = jax.jit(method.predict)
    seconds: tuple[list[float], list[float]] = ([], [])
    for round_ in range(_ROUNDS + 1):
        started = time.perf_counter()
        jax.block_until_ready(method.end_of_epoch(state, passes).method_state)
        middle = time.perf_counter()
        for stream in streams:
            for batch in kept[stream]:
                logits = predict(variables, batch["image"], batch["pose"])
        jax.block_until_ready(logits)
        if round_:
            seconds[0].append(middle - started)
            seconds[1].append(time.perf_counter() - middle)
    return statistics.median(seconds[0]) / statistics.median(seconds[1])


def show_steps(figures: Mapping[str, Mapping[str, float]]) -> None:
    """Prints the figures of `measure_steps` as a table."""
    first = next(iter(figures.values()))["images_per_second"]
    table = Table(
        "stage",
        "images/s",
        "time per image, of the first's",
        "end of epoch, of plain scoring",
        title="the jitted step alone, in turns",
    )
    for name, own in figures.items():
        rate, end = own["images_per_second"], own.get("end_of_epoch")
        table.add_row(name, f"{rate:.0f}", f"{first / rate:.2f}", f"{end:.2f}" if end else "")
    Console().print(table)


def show_scaling(seconds: Mapping[int, float], mesh: Mesh) -> None:
    """Prints the figures of `measure_scaling` as a table."""
    fake = mesh.devices.flat[0].platform == "cpu"
    note = "; they are the same cores, so that what is added is overhead" if fake else ""
    table = Table(
        "devices",
        "ms a step",
        "added to one device's, ms",
        title=f"one batch shared out over devices{note}",
    )
    for count, of_step in seconds.items():
        added = (of_step - seconds[1]) * 1e3
        table.add_row(str(count), f"{of_step * 1e3:.1f}", f"{added:+.1f}")
    Console().print(table)


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
