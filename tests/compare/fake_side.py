"""A side of a comparison that computes nothing, in a module that a process imports at once."""

import dataclasses


@dataclasses.dataclass
class FakeSide:
    """A side whose step takes `seconds`."""

    seconds: float
    broken: str = ""

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
