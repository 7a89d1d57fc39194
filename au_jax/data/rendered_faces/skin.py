"""Paints a person: skin, lips, brows, eyes, hair, and the folds that an expression draws."""

import dataclasses

from au_jax.data.rendered_faces.face_kit import FaceKit
from au_jax.data.rendered_faces.scene import Person


@dataclasses.dataclass(frozen=True)
class Paint:
    """A person's shape and colours, the same in all pictures: made once per person."""


def paint(kit: FaceKit, person: Person) -> Paint:
    """Makes a person's shape and colours; the caller keeps them for the person's next picture."""
    raise NotImplementedError
