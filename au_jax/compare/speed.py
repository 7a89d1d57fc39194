"""Training speed of JAX beside PyTorch: alternating rounds of processes on one machine.

Each side has a process for itself, so that its start, its peak memory and its threads are its own.
Only one of them works at a time; they take turns, so that whatever else the machine does meets them
all, and the ratio of two rates is taken within each round.
"""

import contextlib
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any, Protocol

import numpy as np

from au_jax import log
from au_jax.errors import UserError

JAX = "jax"
# What starts each side's framework and finds its devices.
_STARTS = {
    JAX: "import jax; jax.devices()",
    "torch": "import torch; torch.cuda.is_available()",
}
_STARTED = 3  # times
_DRAWS = 2000  # of the bootstrap

Rounds = Mapping[str, Sequence[float]]


class Side(Protocol):
    """What is timed; every call ends when the device has done the work."""

    def first_step(self) -> dict[str, Any]:
        """Makes the network and does a first step.

        Returns:
          {"first_step_seconds", "device": its name}.
        """
        ...

    def steps(self, count: int) -> float:
        """Seconds of `count` steps on one batch that lies on the device, not augmented."""
        ...

    def predictions(self, count: int) -> float:
        """Seconds of `count` times predicting the AUs of the images of one batch on the device."""
        ...

    def fed_steps(self, count: int) -> float:
        """Seconds of `count` steps with input: reading, decoding, augmentation and transfer."""
        ...

    def peak_memory(self) -> float:
        """MiB: of the device where it tells, else what the process's peak has grown by."""
        ...

    def close(self) -> None:
        """Ends what reads its input; nothing is asked of the side afterwards."""
        ...


class SideFailed(Exception):
    """A side could not do what it was told; the text says why."""


class _Remote:
    """A side in a process of its own."""

    def __init__(self, make: Callable[[], Side], environment: Mapping[str, str], cpus: int):
        ours, theirs = multiprocessing.Pipe()
        self._connection = ours
        spawn = multiprocessing.get_context("spawn")
        self._process = spawn.Process(target=_serve, args=(theirs, make, environment, cpus))
        self._process.start()
        theirs.close()

    def ask(self, what: str, *arguments: Any) -> Any:
        """Calls a method of the side and returns what it returns.

        Raises:
          SideFailed: it raised an error, or its process ended.
        """
        try:
            self._connection.send((what, arguments))
            done, answer = self._connection.recv()
        except (EOFError, OSError) as error:
            self._process.join()
            code = self._process.exitcode
            raise SideFailed(f"its process ended with code {code}") from error
        if not done:
            raise SideFailed(answer)
        return answer

    def stop(self) -> None:
        """Ends the process."""
        with contextlib.suppress(OSError):
            self._connection.send(None)
        self._process.join(20)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()


def _serve(
    connection: Connection,
    make: Callable[[], Side],
    environment: Mapping[str, str],
    cpus: int,
) -> None:
    """The process of a side: does what it is told until it is told nothing, or its parent ends."""
    os.environ.update(environment)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cpus])
    side = None
    while True:
        try:
            command = connection.recv()
        except EOFError:
            command = None
        if command is None:
            break
        what, arguments = command
        try:
            side = side or make()
            answer = True, getattr(side, what)(*arguments)
        except Exception as error:  # Whatever a compiler may raise is the reason that is told.
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            answer = False, f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}"
        connection.send(answer)
    if side is not None:
        side.close()


def measure(
    makers: Mapping[str, Callable[[], Side]],
    *,
    images_per_step: int,
    images_per_prediction: int,
    comparable: Collection[str],
    rounds: int,
    steps: int,
    threads: int,
) -> dict[str, Any]:
    """Times both sides of a training.

    Args:
      makers: what makes each side, "jax" and the variants of PyTorch; it is called in the side's
        own process.
      images_per_step: of each side.
      images_per_prediction: 0 for a training that predicts no AUs.
      comparable: the variants in JAX's precision, of which the fastest is the one compared with.
      rounds: how often the sides take turns; one more before them is not counted.
      steps: of each side in a round.
      threads: cores that each side may use.

    Returns:
      {"start_up": {"jax", "torch"}: seconds until a new interpreter has imported the framework and
      found its devices; "sides": {side: {"first_step_seconds", "compile_seconds", "device",
      "on_device", "predicting" or None, and of those compared "with_input" and
      "peak_memory_mib"}}; "failed": {variant: why}; "compared": the fastest of the comparable
      variants in training; "compared_predicting": in prediction, or None; "ratio": {variant:
      {"on_device", "predicting" or None, "with_input" or None}}: of JAX's rate to the variant's,
      see `ratio`; "rounds", "steps"}. A rate is {"rounds": images/s of each round, "median",
      "low", "high"}.

    Raises:
      UserError: no variant of PyTorch works.
      SideFailed: JAX's side fails.
    """
    environment = {
        "OMP_NUM_THREADS": str(threads),
        # Both sides share an accelerator, and compile as if for the first time.
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",
    }
    figures: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    turns = len(makers) * (2 * rounds + 3) + 2 * (rounds + 1)
    with contextlib.ExitStack() as closing:
        bar = closing.enter_context(log.progress("speed", turns, "turn"))
        remotes: dict[str, _Remote] = {}
        for name, make in makers.items():
            remote = _Remote(make, environment, threads)
            closing.callback(remote.stop)
            try:
                figures[name] = remote.ask("first_step")
                remote.ask("steps", 1)
                remotes[name] = remote
            except SideFailed as error:
                if name == JAX:
                    raise
                failed[name] = str(error)
                remote.stop()
            bar.update()
        on_device = _take_turns(remotes, "steps", rounds, steps, failed, bar)
        if list(remotes) == [JAX]:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
            raise UserError(f"no variant of PyTorch can train here ({reasons}); name another")
        predicting: Rounds = {}
        if images_per_prediction:
            predicting = _take_turns(remotes, "predictions", rounds, steps, failed, bar)
        # One that failed in predicting is compared with nothing more.
        working = {name: seconds for name, seconds in on_device.items() if name in remotes}
        compared = _fastest(working if len(working) > 1 else on_device, comparable)
        for name in set(remotes) - {JAX, compared}:
            remotes.pop(name).stop()
        with_input = _take_turns(remotes, "fed_steps", rounds, steps, failed, bar)
        images = images_per_step * steps
        figures = {name: figures[name] for name in on_device}  # others failed after a first step
        for name, seconds in on_device.items():
            figures[name]["on_device"] = _rate(images, seconds)
            compile_seconds = figures[name]["first_step_seconds"] - min(seconds) / steps
            figures[name]["compile_seconds"] = max(0.0, compile_seconds)
            figures[name]["predicting"] = None
        for name, of_rounds in predicting.items():
            figures[name]["predicting"] = _rate(images_per_prediction * steps, of_rounds)
        for name, seconds in with_input.items():
            figures[name]["with_input"] = _rate(images, seconds)
            figures[name]["peak_memory_mib"] = remotes[name].ask("peak_memory")
    return {
        "start_up": _start_up(environment),
        "sides": figures,
        "failed": failed,
        "compared": compared,
        "compared_predicting": _fastest(predicting, comparable) if len(predicting) > 1 else None,
        "ratio": {
            name: {
                what: ratio(seconds[JAX], seconds[name]) if name in seconds else None
                for what, seconds in (
                    ("on_device", on_device),
                    ("predicting", predicting),
                    ("with_input", with_input),
                )
            }
            for name in on_device
            if name != JAX
        },
        "rounds": rounds,
        "steps": steps,
    }


def _take_turns(
    remotes: dict[str, _Remote],
    what: str,
    rounds: int,
    steps: int,
    failed: dict[str, str],
    bar: Any,
) -> dict[str, list[float]]:
    """Seconds of each side in each round; the first round, which warms up, is left out.

    A variant that fails is taken out of `remotes`, and told in `failed`.
    """
    seconds: dict[str, list[float]] = {name: [] for name in remotes}
    for round_ in range(rounds + 1):
        for name in list(remotes):
            try:
                taken = remotes[name].ask(what, steps if round_ else 1)
            except SideFailed as error:
                if name == JAX:
                    raise
                failed[name] = str(error)
                remotes.pop(name).stop()
                del seconds[name]
                continue
            if round_:
                seconds[name].append(taken)
            bar.update()
    return seconds


def _fastest(seconds: Rounds, comparable: Collection[str]) -> str:
    """The variant of PyTorch with the least median time, among the comparable where any works."""
    variants = [name for name in seconds if name != JAX]
    alike = [name for name in variants if name in comparable]
    return min(alike or variants, key=lambda name: statistics.median(seconds[name]))


def _rate(images: int, seconds: Sequence[float]) -> dict[str, Any]:
    rates = [images / s for s in seconds]
    return {
        "rounds": rates,
        "median": statistics.median(rates),
        "low": min(rates),
        "high": max(rates),
    }


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """The ratio of JAX's rate to PyTorch's: the median over rounds, and its 95 % interval.

    The interval is the percentile bootstrap over the rounds (Efron 1979); with few rounds it can be
    no wider than from the lowest to the highest of them.

    Args:
      ours, theirs: seconds of each side in each round, for the same work.
    """
    ratios = np.array(theirs) / np.array(ours)
    draws = np.random.default_rng(0).integers(0, len(ratios), (_DRAWS, len(ratios)))
    low, high = np.percentile(np.median(ratios[draws], 1), (2.5, 97.5))
    return {"median": float(np.median(ratios)), "low": float(low), "high": float(high)}


def _start_up(environment: Mapping[str, str]) -> dict[str, float]:
    """Median seconds of a new interpreter until it has its framework and devices, in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in _STARTS}
    for _ in range(_STARTED):
        for name, program in _STARTS.items():
            started = time.perf_counter()
            subprocess.run(
                [sys.executable, "-c", program],
                env={**os.environ, **environment},
                check=True,
                capture_output=True,
            )
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(taken) for name, taken in seconds.items()}
