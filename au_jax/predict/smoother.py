"""Smoothing over the frames of a video while they come in, with the windows of a selection."""

import collections
import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from au_jax.predict.frames import Origin


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the networks say of one face, or that an image has none.

    Attributes:
      origin: of the image.
      face: the number of the face, -1 where there is none; the rest then means nothing.
      box: float32 [4], left, top, width, height, pixels.
      confidence: 0 to 1, see `predict.confidence`. doubts: in words, "" for none.
      pose: float32 [3], pitch, yaw, roll, degrees; NaN unknown.
      logits: of each member float32 [A_m].
    """

    origin: Origin
    face: int
    box: np.ndarray
    confidence: float
    doubts: str
    pose: np.ndarray
    logits: Sequence[np.ndarray]


class Smoother:
    """Holds frames back by half of the longest window, and lets them go smoothed.

    A face's logits become the mean over the frames of a centred window in which the face has the
    same number. A window counts frames of the video, also where only some of them are read; at the
    ends of a track those that exist count, as in `ensemble.smoothing`.
    """

    def __init__(self, windows: Sequence[tuple[int, int]], state: dict[str, Any] | None = None):
        """Begins, or goes on with what `state` gave.

        Args:
          windows: for each member of the smoothing selection, which of an answer's logits are its
            own, and the frames of its window.
          state: of another one with the same windows.
        """
        self._windows = windows
        self._half = max(window for _, window in windows) // 2
        state = state or {"frames": [], "done": 0}
        self._frames = collections.deque([_from_json(a) for a in f] for f in state["frames"])
        self._done: int = state["done"]  # how many of the frames are let go already

    def state(self) -> dict[str, Any]:
        """All that a new one needs to go on, JSON-able."""
        return {"frames": [[_to_json(a) for a in f] for f in self._frames], "done": self._done}

    def push(self, frame: Sequence[Answer]) -> list[Answer]:
        """Takes the answers of the next image, at least one.

        Returns:
          The answers that are complete, each with one smoothed array of logits for every member of
          the smoothing selection.
        """
        origin = frame[0].origin
        ready = []
        if self._frames and self._frames[-1][0].origin.position != origin.position:
            ready = self.flush()
        self._frames.append(list(frame))
        if not origin.moving:
            return ready + self.flush()
        return ready + self._let_go(origin.frame - self._half)

    def flush(self) -> list[Answer]:
        """The answers that were still held back."""
        ready = self._let_go(self._frames[-1][0].origin.frame) if self._frames else []
        self._frames.clear()
        self._done = 0
        return ready

    def _let_go(self, last: int) -> list[Answer]:
        """The smoothed answers of the frames up to number `last`."""
        ready = []
        while self._done < len(self._frames):
            frame = self._frames[self._done]
            number = frame[0].origin.frame
            if number > last:
                break
            ready += [self._smoothed(answer) for answer in frame]
            self._done += 1
            while self._frames[0][0].origin.frame < number - self._half:
                self._frames.popleft()
                self._done -= 1
        return ready

    def _smoothed(self, answer: Answer) -> Answer:
        if answer.face < 0:
            return answer
        at = answer.origin.frame
        track = [a for frame in self._frames for a in frame if a.face == answer.face]
        logits = []
        for member, window in self._windows:
            near = [a.logits[member] for a in track if abs(a.origin.frame - at) <= window // 2]
            logits.append(np.asarray(np.mean(near, 0, np.float64), np.float32))
        return dataclasses.replace(answer, logits=logits)


def _to_json(answer: Answer) -> dict[str, Any]:
    """JSON has no NaN, for which null stands."""
    fields = dataclasses.asdict(answer)
    values = {"box": answer.box.tolist(), "pose": answer.pose.tolist()}
    finite = {name: [_or_null(v) for v in of_name] for name, of_name in values.items()}
    finite["logits"] = [logits.tolist() for logits in answer.logits]
    return fields | finite | {"confidence": _or_null(answer.confidence)}


def _or_null(value: float) -> float | None:
    return None if math.isnan(value) else value


def _from_json(fields: dict[str, Any]) -> Answer:
    confidence = fields["confidence"]
    values: dict[str, Any] = {"confidence": math.nan if confidence is None else confidence}
    values |= {name: np.array(fields[name], np.float32) for name in ("box", "pose")}
    logits = [np.array(values, np.float32) for values in fields["logits"]]
    return Answer(**fields | values | {"origin": Origin(**fields["origin"]), "logits": logits})
