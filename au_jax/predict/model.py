"""A finished run as Python sees it: predictions for photographs, videos, arrays and crops."""

import contextlib
import functools
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from au_jax import starter
from au_jax.ensemble.predictor import Prediction, Predictor, opened
from au_jax.errors import UserError, unknown
from au_jax.predict import frames, inputs
from au_jax.predict.answers import Answers, Row, Step, batch_of
from au_jax.predict.face_crops import FACES, FaceCrops, make_finders
from au_jax.predict.face_predictions import FacePredictions, from_rows
from au_jax.predict.frames import Frame, Unusable
from au_jax.predict.pipeline import in_threads
from au_jax.predict.run import batch_size, face_threads

Crops = np.ndarray | Mapping[str, np.ndarray]
Images = str | Path | Sequence[str | Path] | Sequence[np.ndarray] | Iterator[np.ndarray]


class Model(Predictor):
    """A predictor that also finds the faces of whole images and follows them through videos."""

    @overload
    def predict(self, images: Crops, pose: np.ndarray | None = None) -> Prediction: ...

    @overload
    def predict(
        self, images: Images, *, every: int = 1, faces: str = "largest"
    ) -> FacePredictions: ...

    def predict(
        self,
        images: Crops | Images,
        pose: np.ndarray | None = None,
        *,
        every: int = 1,
        faces: str = "largest",
    ) -> Prediction:
        """Predicts the AUs of all faces in images, or of prepared crops.

        Args:
          images: one of
            - a path, or a list of paths, of photographs, videos, folders, or patterns;
            - a whole image uint8 [H, W, 3], RGB, or a list of such images;
            - a generator of the frames of one video, each such an image: faces are followed and
              scores are smoothed where the selection smooths;
            - prepared crops, uint8 [N, H, W, 3] or {crop: such an array}, see `probabilities`.
          pose: of prepared crops only, float32 [N, 3], see `probabilities`.
          every: of a video the frames 0, every, 2 * every, ... are looked at.
          faces: "largest" or "all", of each image.

        Returns:
          A `FacePredictions`; for prepared crops a `Prediction`, with one entry for each.

        Raises:
          UserError: an input is not there, or the only one cannot be used; an array is of another
            kind; an argument is not one of these; the face models are not installed.
        """
        _check_every(every)
        if faces not in FACES:
            raise unknown("value of faces", faces, FACES)
        if isinstance(images, Mapping) or (isinstance(images, np.ndarray) and images.ndim != 3):
            return super().predict(images, pose)
        if pose is not None:
            raise UserError(
                "pose is of prepared crops alone; the poses of found faces are measured"
            )
        stream, batch = _opened(images, every)
        rows: list[Row] = []
        unusable: dict[str, str] = {}
        with contextlib.closing(self.steps(stream, batch, faces)) as steps:
            for step in steps:
                rows += step.rows
                unusable |= {item.origin.input: item.reason for item in step.unusable}
        if unusable and not rows:
            name, reason = next(iter(unusable.items()))
            raise UserError(f"{name}: {reason}; give a photograph or a video")
        return from_rows(rows, self.aus, unusable)

    def steps(
        self, images: Iterator[Frame | Unusable], batch: int, faces: str = "largest"
    ) -> Generator[Step]:
        """What a stream of images gives, `batch` of them at a time and in order.

        Args:
          images: see `frames.read`.
          batch: how many images go through the networks together.
          faces: "largest" or "all", of each image.

        Raises:
          UserError: the face models are not installed.
        """
        looking = self._looking(faces)
        seen = in_threads(images, looking.look, face_threads(), ahead=2 * batch)
        with contextlib.closing(seen):
            yield from Answers(self, batch).steps(seen, batch)

    @functools.cached_property
    def _lookers(self) -> dict[str, FaceCrops]:
        return {}  # made when they are asked for, and kept as long as this model

    def _looking(self, faces: str) -> FaceCrops:
        if faces not in self._lookers:
            finders = make_finders(self.crops, faces, face_threads())
            self._lookers[faces] = FaceCrops(self.crops, finders)
        return self._lookers[faces]


def _check_every(every: int) -> None:
    if not isinstance(every, int | np.integer) or isinstance(every, bool) or every < 1:
        raise UserError(f"every={every!r} is no whole number from 1; 1 looks at every frame")


def _opened(images: Any, every: int) -> tuple[Iterator[Frame | Unusable], int]:
    """The stream of the images, and how many go through the networks together."""
    if isinstance(images, np.ndarray):
        return frames.of_arrays([images], moving=False), 1
    if isinstance(images, str | Path):
        images = [images]
    if isinstance(images, Iterator):
        return frames.of_arrays(images, moving=True, every=every), batch_of(0)
    if not isinstance(images, Sequence) or isinstance(images, bytes | bytearray | memoryview):
        raise UserError(
            f"images are {type(images).__name__}; give a path, an array uint8 [height, width, 3], "
            "a list of either, a generator of the frames of a video, or prepared crops"
        )
    if not all(isinstance(image, str | Path) for image in images):
        return frames.of_arrays(images, moving=False), batch_of(len(images))
    entries, _ = inputs.resolve([str(path) for path in images])
    return frames.read(entries, every), batch_size(entries)


def load(run: str | Path, stage: str | None = None) -> Model:
    """Loads a run for prediction: `au_jax.load`, which documents the arguments.

    Raises:
      UserError: an argument is no path or no text; see `ensemble.predictor.opened` and `Predictor`.
    """
    if not isinstance(run, str | os.PathLike) or not str(run):
        raise UserError(f"{run!r} names no run; give the path of its folder")
    if stage is not None and not isinstance(stage, str):
        raise UserError(f"stage={stage!r} is no text; give the name of a stage, or leave it out")
    return Model(*opened(starter.folder_of(run), stage))
