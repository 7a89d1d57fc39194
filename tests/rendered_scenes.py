"""A plain person and plain scenes of rendered faces, to change one thing at a time."""

import dataclasses

import numpy as np

from au_jax.data.rendered_faces.scene import (
    COLUMN,
    NUMBERS,
    Defects,
    Light,
    Person,
    Scene,
    View,
)

PERSON = Person(
    subject="p",
    seed=1,
    identity=np.zeros(60, np.float32),
    rest={},
    gain=np.ones(len(NUMBERS)),
    asymmetry=0.0,
    age=0.3,
    freckles=0.0,
    redness=0.2,
    shine=0.3,
    skin=np.array([0.6, 0.4, 0.3]),
    hair=np.array([0.05, 0.03, 0.02]),
    brows=np.array([0.04, 0.02, 0.02]),
    iris=np.array([0.1, 0.06, 0.03]),
    teeth=np.array([0.7, 0.65, 0.5]),
    lips=np.array([0.5, 0.2, 0.2]),
    lips_strength=0.5,
    brow_thickness=0.4,
    brow_strength=0.8,
    beard=0.0,
    moustache=0.0,
    stubble=0.0,
    lashes=0.5,
    make_up=0.0,
    shadow=np.array([0.2, 0.1, 0.2]),
    hair_length="short",
    hairline=10.0,
    hair_volume=0.5,
    fringe=0.0,
    glasses=None,
    clothes=np.array([0.1, 0.1, 0.4]),
)
LIGHT = Light(
    key=np.array([0.0, 0.6, 0.8]),
    key_colour=np.full(3, 0.7),
    fill=np.array([1.0, 0.0, 0.0]),
    fill_colour=np.full(3, 0.1),
    above=np.full(3, 0.4),
    below=np.full(3, 0.3),
    shadow=0.5,
    wrap=0.2,
    exposure=1.0,
    gamma=2.2,
)


def scene(
    aus: dict[int, float | tuple[float, float]],
    person: Person = PERSON,
    gaze: tuple[float, float] = (0.0, 0.0),
    pose: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Scene:
    """A scene in the middle of the picture.

    Args:
      aus: AU -> intensity, of both sides or of the person's own right and left.
      pose: pitch, yaw, roll in degrees.
    """
    intensity = np.zeros((len(NUMBERS), 2))
    for number, value in aus.items():
        intensity[COLUMN[number]] = value
    return Scene(
        person=person,
        intensity=intensity,
        gaze=np.array(gaze),
        view=View(*pose, centre=np.array([0.5, 0.5]), width=0.6, distance=80.0),
        light=LIGHT,
        defects=Defects(),
        backdrop="plain",
        occluder="none",
        emotion=-1,
        seed=1,
    )


def changed(**fields: object) -> Person:
    """The plain person with other fields."""
    return dataclasses.replace(PERSON, **fields)  # type: ignore[arg-type]
