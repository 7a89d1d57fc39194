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
        if self.broken == "first_step":
            raise ValueError("there is no compiler\nand more lines")
        return {"first_step_seconds": 7.0, "device": "none"}

    def steps(self, count):
        return count * self.seconds

    def predictions(self, count):
        return count * (5.0 - self.seconds)

    def fed_steps(self, count):
        return count * self.seconds * 2

    def peak_memory(self):
        return 3.0

    def close(self):
        if self.closed:
            Path(self.closed).touch()
