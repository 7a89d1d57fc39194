"""Input bottleneck: the time for which the devices wait for their next batch."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import jax


class InputWait:
    """Measures the time from the end of each step to the moment at which the next is given.

    Steps end while the loop waits for a batch, so that a thread beside it waits for their ends.

    Attributes:
      seconds: the sum so far; whole once the `with` block has ended.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter):
        self.seconds = 0.0
        self._clock = clock
        self._ended: float | None = None
        self._watch = ThreadPoolExecutor(1)

    def given(self) -> float:
        """The time at which a step is about to be given, which `runs` is told."""
        return self._clock()

    def runs(self, given: float, output: jax.Array) -> None:
        """A step has been given at the time `given`; `output` is one of its results."""
        self._watch.submit(self._follow, given, output)

    def _follow(self, given: float, output: jax.Array) -> None:
        if self._ended is not None:
            self.seconds += max(0.0, given - self._ended)
        output.block_until_ready()
        self._ended = self._clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.shutdown()
