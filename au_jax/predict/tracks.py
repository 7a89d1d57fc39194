"""Numbers for the faces of a video that stay the same from frame to frame, by overlap of boxes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from au_jax.faces.face import Face, overlap
from au_jax.predict.frames import Origin

# Ours: the least intersection over union of a face's boxes in two frames that follow each other.
_SAME = 0.3


class Tracks:
    """Numbers faces: a face goes on with the number of the box that it overlaps most.

    That is the box of the frame that was looked at before; a face that is not seen in one frame
    comes back under a new number. The faces of a photograph are numbered from 0, the largest first.
    """

    def __init__(self, state: dict[str, Any] | None = None):
        """Begins, or goes on with what `state` gave."""
        state = state or {"position": -1, "next": 0, "boxes": [], "numbers": []}
        self._position: int = state["position"]
        self._next: int = state["next"]
        self._boxes = np.array(state["boxes"], np.float32).reshape(-1, 4)
        self._numbers: list[int] = state["numbers"]

    def state(self) -> dict[str, Any]:
        """All that a new one needs to go on, JSON-able."""
        return {
            "position": self._position,
            "next": self._next,
            "boxes": self._boxes.tolist(),
            "numbers": self._numbers,
        }

    def numbers(self, origin: Origin, faces: Sequence[Face]) -> list[int]:
        """The numbers of the faces of the next image."""
        if not origin.moving or origin.position != self._position:
            self._position, self._next = origin.position, 0
            self._boxes, self._numbers = np.zeros((0, 4), np.float32), []
        boxes = np.array([face.box for face in faces], np.float32).reshape(-1, 4)
        shared = np.array([overlap(box, self._boxes) for box in boxes])
        numbers = [-1] * len(faces)
        # The pairs of new and old faces, those that overlap most first.
        for pair in np.argsort(-shared, axis=None, kind="stable"):
            new, old = divmod(int(pair), len(self._boxes))
            if shared[new, old] < _SAME:
                break
            if numbers[new] < 0 and self._numbers[old] not in numbers:
                numbers[new] = self._numbers[old]
        for new, number in enumerate(numbers):
            if number < 0:
                numbers[new] = self._next
                self._next += 1
        self._boxes, self._numbers = boxes, numbers
        return numbers
