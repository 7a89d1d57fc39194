"""The time from the end of a step to the next batch, by a clock that the test turns."""

import threading

import pytest

from au_jax.training.input_wait import InputWait


class Output:
    """The result of a step that ends when it is told to."""

    def __init__(self):
        self._end = threading.Event()

    def end(self):
        self._end.set()

    def block_until_ready(self):
        self._end.wait()


def test_only_time_without_a_running_step_counts():
    # Step 1 is given at 0 and ends at 3; step 2 is given at 5, 2 seconds later, and ends at 9;
    # step 3 was given at 6, while step 2 ran, and ends at 11.
    ends = iter([3.0, 9.0, 11.0])
    steps = [Output() for _ in range(3)]
    with InputWait(clock=lambda: next(ends)) as wait:
        for given, step in zip([0.0, 5.0, 6.0], steps, strict=True):
            wait.runs(given, step)
        for step in steps:
            step.end()
    assert wait.seconds == pytest.approx(2.0)
