"""Predictions of one picture or video, from which a page is drawn for any thresholds."""

import collections
import csv
import dataclasses
import io
from collections.abc import Sequence

import cv2
import numpy as np

from au_jax.metrics import decide
from au_jax.predict import rows as table
from au_jax.predict.answers import Row
from au_jax.predict.frames import Frame, Origin


@dataclasses.dataclass(frozen=True)
class Image:
    """A picture or a frame as a page shows it.

    Attributes:
      origin: where it comes from.
      width, height: pixels, in which boxes of faces are measured.
      jpeg: the contents of a JPEG file, which may be smaller than that.
    """

    origin: Origin
    width: int
    height: int
    jpeg: bytes

    @classmethod
    def of(cls, frame: Frame, side: int) -> "Image":
        """The frame, its longer side made `side` pixels where it has more."""
        height, width = frame.image.shape[:2]
        scale = min(1, side / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)
        jpeg = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR))[1].tobytes()
        return cls(frame.origin, width, height, jpeg)


@dataclasses.dataclass(frozen=True)
class Seen:
    """What was found, whatever the thresholds are.

    Attributes:
      name: the file's.
      aus: names [A].
      images: the picture, or the frames that were looked at, at least one.
      rows: of each image, at least one, as `predict.answers` gives them.
      every: the distance of two frames; 1 for a picture.
      remark: a sentence on what is amiss with the file; "" for nothing.
    """

    name: str
    aus: tuple[str, ...]
    images: Sequence[Image]
    rows: Sequence[Sequence[Row]]
    every: int
    remark: str

    @property
    def moving(self) -> bool:
        """Whether it is a video."""
        return self.images[0].origin.moving

    @property
    def faces(self) -> dict[int, int]:
        """{number: images that show it} of every face, the one most often seen first."""
        seen = collections.Counter(
            row.answer.face for image in self.rows for row in image if row.answer.face >= 0
        )
        # Equally many: by number, which in a picture is by size.
        return dict(sorted(seen.items(), key=lambda item: (-item[1], item[0])))

    def row(self, image: int, face: int) -> Row | None:
        """What is known of a face in an image; None where it is not seen there."""
        found = (row for row in self.rows[image] if row.answer.face == face >= 0)
        return next(found, None)

    def curves(self, face: int) -> np.ndarray:
        """The probabilities of a face in all images, float32 [images, A], NaN where not seen."""
        unseen = np.full(len(self.aus), np.nan, np.float32)
        found = [self.row(image, face) for image in range(len(self.images))]
        return np.stack([unseen if row is None else row.probabilities for row in found])

    def csv(self, thresholds: Sequence[float]) -> str:
        """The table that `--mode=predict` writes, with the decisions at these thresholds [A]."""
        decided = (
            dataclasses.replace(row, decisions=decide(row.probabilities, np.array(thresholds)))
            for image in self.rows
            for row in image
        )
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(table.columns(self.aus))
        writer.writerows(map(table.cells, decided))
        return text.getvalue()
