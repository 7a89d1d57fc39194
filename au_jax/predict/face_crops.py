"""The faces of an image, and the crops of them that the networks read."""

import dataclasses
import queue
from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np

from au_jax.data.crop_jpeg import as_stored
from au_jax.errors import unknown
from au_jax.faces.align import cut
from au_jax.faces.face import Face
from au_jax.predict.frames import Frame, Origin, Unusable

FACES = ("largest", "all")
Finder = Callable[[np.ndarray], Sequence[Face]]


@dataclasses.dataclass(frozen=True)
class Looked:
    """What was seen in an image, which itself is not kept.

    Attributes:
      origin: of the image.
      faces: the largest first.
      crops: {crop: uint8 [side, side, 3]} of each face.
    """

    origin: Origin
    faces: Sequence[Face]
    crops: Sequence[Mapping[str, np.ndarray]]


class FaceCrops:
    """Finds faces and cuts them out, as `--mode=prepare` does; threads may share it."""

    def __init__(self, sides: Mapping[str, int], finders: Sequence[Finder]):
        """Takes what looks for faces.

        Args:
          sides: {crop: side in pixels} that the networks read.
          finders: as many as threads may look at once, as none is to be shared.
        """
        self._sides = sides
        self._idle: queue.SimpleQueue[Finder] = queue.SimpleQueue()
        for finder in finders:
            self._idle.put(finder)

    def look(self, frame: Frame | Unusable) -> Looked | Unusable:
        """Finds the faces of an image and cuts their crops; waits for an idle finder."""
        if isinstance(frame, Unusable):
            return frame
        finder = self._idle.get()
        try:
            faces = finder(frame.image)
        finally:
            self._idle.put(finder)
        crops = [self._cut(frame.image, face) for face in faces]
        return Looked(frame.origin, faces, crops)

    def _cut(self, image: np.ndarray, face: Face) -> dict[str, np.ndarray]:
        """The crops, through the JPEG that a prepared data set keeps of them."""
        return {
            crop: cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
            if crop == "as_is"
            else as_stored(cut(image, face, crop), side)
            for crop, side in self._sides.items()
        }


def make_finders(sides: Mapping[str, int], faces: str, count: int) -> list[Finder]:
    """What looks for faces, `count` times.

    Args:
      sides: the crops that are needed; where that is `as_is` alone, the whole image stands for a
        face and nothing is looked for.
      faces: "largest" or "all".

    Raises:
      UserError: `faces` is neither, or the face models are not installed.
    """
    if faces not in FACES:
        raise unknown("value of --faces", faces, FACES)
    if set(sides) == {"as_is"}:
        return [_whole] * count
    from au_jax.faces.mediapipe import MediaPipe

    models = [MediaPipe() for _ in range(count)]
    return [m.find_all for m in models] if faces == "all" else [_largest(m.find) for m in models]


def _largest(find: Callable[[np.ndarray], tuple[Face | None, int]]) -> Finder:
    def finder(image: np.ndarray) -> list[Face]:
        face, _ = find(image)
        return [] if face is None else [face]

    return finder


def _whole(image: np.ndarray) -> list[Face]:
    """The whole image in the place of a face, of unknown pose."""
    height, width = image.shape[:2]
    box = np.array([0, 0, width, height], np.float32)
    return [Face(box, 1.0, np.full((68, 2), np.nan, np.float32), np.full(3, np.nan, np.float32))]
