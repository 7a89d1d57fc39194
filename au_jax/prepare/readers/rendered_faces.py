"""Rendered faces: no pictures lie on the disk, they are rendered from shapes as they are needed.

The shapes are those of a checkout of ICT-FaceKit (https://github.com/ICT-VGL/ICT-FaceKit). Splits:
`opt` and `test` with true labels, `noisy` with those of a detector that errs, and where they are
asked for `clips` and `clips_test`, the frames of short videos with true labels.
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from au_jax.data.datasets import Truth
from au_jax.data.made_splits import CLIP_SPLITS, MOST_FRAMES
from au_jax.data.rendered_faces import annotators, face_kit, settings
from au_jax.data.rendered_faces.conditions import conditions
from au_jax.data.rendered_faces.population import sample_scene
from au_jax.data.rendered_faces.scene import Scene
from au_jax.data.rendered_faces.settings import Settings
from au_jax.data.systematic_detector import CONDITIONS
from au_jax.prepare.readers import rows
from au_jax.prepare.readers.rows import RawSet, Row

NAME = "rendered_faces"
_DETECTED = "noisy"  # the split that the detector labels


def read(raw: Path, name: str = NAME, render: Mapping[str, str] | None = None) -> RawSet:
    """Opens the checkout of ICT-FaceKit in `raw`.

    Args:
      name: what the prepared data set is called.
      render: what to render, see `settings.parse`.

    Raises:
      UserError: `render` has an impossible field; the folder lacks files of the shapes.
    """
    asked = settings.parse(render or {})
    rows.folder(raw)
    return RawSet(
        name=name,
        aus=annotators.AUS,
        crops=("closeup", "wide"),
        files=tuple(face_kit.files(raw).values()),
        rows=lambda: _rows(asked),
        description=(
            f"{name}: faces that a program rendered from the shapes of ICT-FaceKit, with known "
            "AUs; they are no photographs of people."
        ),
        images=functools.partial(RenderedImages, raw.absolute(), asked),
        drawn=True,
        settings=dataclasses.asdict(asked),
        truth=lambda: _truth(name, asked),
    )


class RenderedImages:
    """The pictures of rows, rendered one after another."""

    def __init__(self, raw: Path, asked: Settings, work: Path):
        """Loads the shapes, which are read from the files in `raw` once and kept in `work`.

        Raises:
          UserError: files are missing or damaged, or Numba is not installed.
        """
        from au_jax.data.rendered_faces.picture import Studio  # needs Numba, which few have

        self._asked = asked
        self._studio = Studio(raw, work, asked.size)

    def read(self, row: Row) -> tuple[np.ndarray, bytes]:
        """The row's picture, uint8 [H, W, 3] RGB, and the bytes of its JPEG."""
        number = _number(row)
        return self._studio.take(_scene(self._asked, row.split, number), number)


def _rows(asked: Settings) -> Iterator[Row]:
    for split, numbers in asked.numbers().items():
        for place, number in enumerate(numbers):
            scene = _scene(asked, split, number)
            moving = split in CLIP_SPLITS
            if split == _DETECTED:
                labels = annotators.detected_labels(scene, asked.strength)
            else:
                labels = annotators.true_labels(scene)
            # A detector gives no intensities, and true ones would give its errors away.
            known = None if split == _DETECTED else tuple(annotators.intensity(scene).tolist())
            yield Row(
                split,
                file=split,
                line=place + 1,
                image=_image(split, number),
                labels=tuple(labels.tolist()),
                intensity=known,
                pose=annotators.angles(scene),
                emotion=scene.emotion,
                subject=scene.person.subject,
                video=scene.person.subject if moving else "",
                frame=number % MOST_FRAMES if moving else -1,
            )


def _image(split: str, number: int) -> str:
    """What stands for a picture's path, and names it in the record's key."""
    return f"{split}/{number:07d}"


def _number(row: Row) -> int:
    return int(row.image.rpartition("/")[2])


def _scene(asked: Settings, split: str, number: int) -> Scene:
    return sample_scene(asked.look_of(split), asked.seed, split, number)


def _truth(name: str, asked: Settings) -> dict[str, Truth]:
    """The true labels of the split that the detector labels, and what it erred by."""
    numbers = asked.numbers().get(_DETECTED)
    if not numbers:
        return {}
    scenes = [_scene(asked, _DETECTED, number) for number in numbers]
    truth = Truth(
        keys=np.array([rows.record_key(name, _image(_DETECTED, number)) for number in numbers]),
        aus=np.array(annotators.AUS),
        labels=np.stack([annotators.true_labels(scene) for scene in scenes]),
        conditions=np.array(CONDITIONS),
        held=np.stack([conditions(scene) for scene in scenes]).astype(np.float32),
    )
    return {_DETECTED: truth}
