"""A picture of the population from beginning to end: scene, backdrop, face, things, camera."""

from pathlib import Path

import numpy as np

from au_jax.data.rendered_faces import backdrops, camera, face_kit, face_render, skin
from au_jax.data.rendered_faces.occluders import Head, cover
from au_jax.data.rendered_faces.scene import Person, Scene

_SUPERSAMPLING = 2
_HAIR_TURNS = 0.6  # the share of the head's turn that long hair takes part in


class Studio:
    """Takes pictures of scenes, one after another; a person is painted once for all in a row."""

    def __init__(self, raw: Path, cache: Path, size: int):
        """Loads the shapes.

        Args:
          raw, cache: see `face_kit.load`.
          size: side of the pictures, pixels.
        """
        self._kit = face_kit.load(raw, cache)
        self._size = size
        self._painted: tuple[str, skin.Paint] | None = None

    def take(self, scene: Scene, number: int) -> tuple[np.ndarray, bytes]:
        """The picture of a scene: uint8 [size, size, 3] RGB, and the bytes of its JPEG file.

        Args:
          number: of the picture in its split; the frames of a clip differ by their noise.
        """
        size, side = self._size, self._size * _SUPERSAMPLING
        hair = face_render.rotation(scene.view, _HAIR_TURNS)
        behind = backdrops.backdrop(scene, side, hair)
        rendered = face_render.render(
            self._kit, self._paint(scene.person), scene, behind, size, _SUPERSAMPLING
        )
        head = Head(
            landmarks=rendered.landmarks * _SUPERSAMPLING,
            near=rendered.vertices[self._kit.landmarks, 2],
            rotation=rendered.rotation,
            scale=rendered.scale * _SUPERSAMPLING,
            depth=rendered.depth,
        )
        light = cover(rendered.image, scene, head)
        noise = np.random.default_rng([scene.seed, 2, number])
        return camera.photograph(light, size, scene.light, scene.defects, noise)

    def _paint(self, person: Person) -> skin.Paint:
        if self._painted is None or self._painted[0] != person.subject:
            self._painted = (person.subject, skin.paint(self._kit, person))
        return self._painted[1]
