"""A side of a comparison that computes nothing, in a module that a process imports at once."""

import dataclasses
from pathlib import Path


@dataclasses.dataclass
class FakeSide:
    """A side whose step takes `seconds`, and that writes the file `closed`, if any, at its end."""

    seconds: float
    broken: str = ""
    closed: str = ""

    def first_step(self):
        self._may_fail("first_step")
        return {"first_step_seconds": 7.0, "device": "none"}

    def _may_fail(self, part):
        if self.broken == part:
            raise ValueError("there is no compiler\nand more lines")

    def steps(self, count):
        self._may_fail("steps")
        return count * self.seconds

    def predictions(self, count):
        self._may_fail("predictions")
        return count * (5.0 - self.seconds)

    def fed_steps(self, count):
        return count * self.seconds * 2

    def peak_memory(self):
        return 3.0

    def close(self):
        if self.closed:
            Path(self.closed).touch()
