"""Paints a person: skin, lips, lids, eyes and (see `hair`) hair, on vertices and on a texture.

What varies slowly is painted on the vertices; hairs, outlines and lines are drawn on the unwrapped
skin (`unwrapping`), which lies over it. Colours are linear RGB.
"""

import dataclasses

import cv2
import numpy as np

from au_jax.data.rendered_faces import hair, rasterizer
from au_jax.data.rendered_faces.face_kit import FaceKit
from au_jax.data.rendered_faces.falloff import bell, ramp, waves
from au_jax.data.rendered_faces.scene import Person
from au_jax.data.rendered_faces.unwrapping import (
    COLUMNS,
    ROWS,
    TEXEL,
    Layers,
    Skin,
    area,
    closed_curve,
    curve,
    line,
    raised,
    skin_of,
)

EYE_CENTRE = (3.156, 3.614)  # x and y of the pupil of the mean head's left eye, cm
EYE_TEXELS, EYE_SIDE = 192, 3.0  # the eye's texture, and its side in cm
GUMS, SOCKET = (0.36, 0.10, 0.10), (0.16, 0.035, 0.032)
LID_CREASE = 0.42  # cm: from the upper lid's edge to its crease, on the mean open eye
LASHES = (0.012, 0.007, 0.006)


@dataclasses.dataclass(frozen=True)
class Paint:
    """A person's shape and colours, the same in all pictures: made once per person.

    Attributes:
      person: whose they are.
      shape: float32 [V, 3], cm, the face at rest before `person.rest`, hair included.
      colour: float32 [V, 3]. gloss: float32 [V].
      detail: float32 [ROWS, COLUMNS, 4], premultiplied RGBA, over the skin's colour.
      pores: float32 [ROWS, COLUMNS], cm, the skin's fine relief.
      eye: float32 [EYE_TEXELS, EYE_TEXELS, 4], premultiplied RGBA, over the eyeball.
    """

    person: Person
    shape: np.ndarray
    colour: np.ndarray
    gloss: np.ndarray
    detail: np.ndarray
    pores: np.ndarray
    eye: np.ndarray


def paint(kit: FaceKit, person: Person) -> Paint:
    """Makes a person's shape and colours; the caller keeps them for the person's next picture."""
    rng = np.random.default_rng([person.seed, 1])
    skin = skin_of(kit)
    detail, pores = _detail(kit, skin, person, rng)
    shape = kit.neutral + np.tensordot(person.identity.astype(np.float32), kit.identity, 1)
    colour, gloss, share = _vertices(kit, person, rng)
    if person.hair_volume > 0:
        normals, _ = rasterizer.normals_and_cavity(shape, kit.triangles)
        shape = shape + normals * hair.hair_height(kit, person, share, rng)[:, None]
    return Paint(
        person=person,
        shape=np.ascontiguousarray(shape, np.float32),
        colour=np.ascontiguousarray(np.maximum(colour, 0.002), np.float32),
        gloss=gloss.astype(np.float32),
        detail=detail,
        pores=pores,
        eye=_eye(person, rng),
    )


def eye_texels(neutral: np.ndarray) -> np.ndarray:
    """Coordinates on the eye's texture of the eyeballs' vertices: float32 [K, 2], texels."""
    side = np.where(neutral[:, 0] > 0, 1, -1)
    across = neutral[:, 0] - side * EYE_CENTRE[0]
    texels = np.stack([across, EYE_CENTRE[1] - neutral[:, 1]], 1) / EYE_SIDE * EYE_TEXELS
    return (texels + EYE_TEXELS / 2).astype(np.float32)


def _vertices(
    kit: FaceKit, person: Person, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colour [V, 3] and gloss [V] of the vertices, and the share of hair [V]."""
    points = kit.neutral
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    front = kit.of("face") & (z > 3)
    skin = np.asarray(person.skin, np.float32)
    blotches = 1 + 0.07 * waves(points, 0.25, rng) + 0.06 * waves(points, 1.2, rng)
    colour = skin * blotches[:, None]

    def mix(share: np.ndarray, target: object) -> None:
        nonlocal colour
        share = np.clip(share, 0, 1)[:, None]
        colour = colour + share * (np.asarray(target, np.float32) - colour)

    cheek = bell(x, 4.3, 2.2) * bell(y, -0.6, 1.8) * front
    nose = bell(x, 0.0, 1.3) * bell(y, 0.2, 1.2) * front
    socket = bell(x, 3.1, 1.9) * bell(y, 3.2, 1.3) * front
    bag = bell(x, 3.0, 1.3) * bell(y, 2.2, 0.5) * front
    ear = (x > 7.2) & (z < 4) & (z > -2.5) & (y < 5.5) & (y > -2.5)
    chin = bell(x, 0.0, 1.5) * bell(y, -6.2, 1.0) * front
    redness = 0.12 + 0.5 * person.redness
    mix(redness * cheek, skin * (1.05, 0.68, 0.65))
    mix(0.8 * redness * nose, skin * (1.02, 0.70, 0.68))
    mix(0.5 * redness * (chin + ear), skin * (1.02, 0.75, 0.72))
    mix(0.3 * socket, skin * (0.74, 0.63, 0.63))
    mix((0.12 + 0.4 * person.age) * bag, skin * (0.68, 0.57, 0.6))
    forehead = bell(x, 0.0, 4.0) * bell(y, 8.0, 1.8) * front
    mix(0.25 * forehead, skin * (1.04, 1.02, 0.92))

    hairy = hair.hair_share(person, points, 0.35 * waves(points, 0.6, rng)) * kit.of("face", "head")
    uneven = 1 + 0.2 * waves(points, 2.5, rng)
    mix(hairy, np.asarray(person.hair, np.float32) * uneven[:, None])
    collar = -12.3 - 0.25 * np.minimum(z, 6) * (z > 0) + 0.10 * x
    mix(ramp(collar - y, -0.35, 0.35) * kit.of("face", "head"), person.clothes)

    gloss = np.where(kit.of("face"), 0.02 + 0.12 * person.shine, 0.02)
    gloss = gloss * (1 + 0.8 * nose + 0.5 * forehead + 0.4 * cheek)
    gloss = np.where(hairy > 0.5, 0.05, gloss)
    gloss = np.where(collar > y, 0.0, gloss)
    for part, value, shine in (
        ("eye", (0.70, 0.66, 0.63), 0.9),
        ("teeth", person.teeth, 0.3),
        ("gums", GUMS, 0.2),
        ("socket", SOCKET, 0.05),
        ("lashes", LASHES, 0.0),
    ):
        colour[kit.of(part)] = np.asarray(value, np.float32)
        gloss[kit.of(part)] = shine
    return colour, gloss, hairy


def _detail(
    kit: FaceKit, skin: Skin, person: Person, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The texture over the skin and its fine relief."""
    layers = Layers()
    noise = rng.standard_normal((ROWS, COLUMNS), np.float32)
    fine = cv2.GaussianBlur(noise, (0, 0), 1.3) * 4.5
    coarse = cv2.GaussianBlur(noise, (0, 0), 5.0) * 17
    x, y, z = np.moveaxis(skin.points, -1, 0)
    x, face = np.abs(x), (z > 3) & (y > -9)
    tone = np.asarray(person.skin, np.float32)

    # Pores and spots.
    layers.over(np.clip(0.05 * coarse + 0.05 * fine, 0, 0.2) * face, tone * 0.55)
    if person.freckles > 0.05:
        where = bell(y, 1.2, 2.6) * bell(x, 2.5, 3.2) * face
        layers.over(_spots(where, person.freckles, rng), tone * (0.55, 0.42, 0.35))
    if person.age > 0.3:
        where = 0.3 * face * (y > -7)
        layers.over(0.6 * _spots(where, person.age - 0.3, rng), tone * (0.6, 0.48, 0.42))

    marks = skin.texels[kit.landmarks]
    _lips(layers, marks, person, fine)
    hair.beard(layers, skin, marks, person, fine, rng)
    _lids(layers, marks, person)
    for heads_to_tails in (marks[[21, 20, 19, 18, 17]], marks[22:27]):
        hair.brow(layers, heads_to_tails, person, rng)
    hair.scalp(layers, skin, person, rng)
    pores = (0.0022 + 0.0025 * person.age) * (fine + 0.8 * coarse)
    lips = area(closed_curve(marks[48:60]), 0.1)
    creases = cv2.GaussianBlur(noise, (0, 0), sigmaX=1.5, sigmaY=6.0) * 9
    pores = pores * (1 - lips) + 0.006 * lips * creases
    # Beyond the texture's sides its last column goes on round the head: it has to be clear.
    sides = np.minimum(np.arange(COLUMNS), np.arange(COLUMNS)[::-1]) * TEXEL
    fade = ramp(sides, 0, 1.5).astype(np.float32)
    relief = (pores + _lid_crease(marks, person)) * fade
    return layers.rgba * fade[:, None], relief.astype(np.float32)


def _spots(where: np.ndarray, density: float, rng: np.random.Generator) -> np.ndarray:
    drawn = np.zeros((ROWS, COLUMNS), np.float32)
    count = int(2500 * density)
    rows, columns = rng.integers(0, ROWS, count * 4), rng.integers(0, COLUMNS, count * 4)
    kept = rng.random(count * 4) < where[rows, columns]
    for row, column in zip(rows[kept].tolist(), columns[kept].tolist(), strict=True):
        radius = float(rng.gamma(2.0, 0.6)) + 0.6
        cv2.circle(drawn, (column, row), round(radius), float(rng.uniform(0.15, 0.55)), -1)
    return cv2.GaussianBlur(drawn, (0, 0), 0.9)


def _lips(layers: Layers, marks: np.ndarray, person: Person, fine: np.ndarray) -> None:
    tone, red = np.asarray(person.skin, np.float32), np.asarray(person.lips, np.float32)
    share = area(closed_curve(marks[48:60]), 0.09)
    strength = 0.35 + 0.6 * person.lips_strength
    layers.over(share * strength * np.clip(0.9 + 0.08 * fine, 0, 1), red)
    # The lower lip catches light, the edge of the upper is darker.
    lower = line(
        curve(marks[[59, 58, 57, 56, 55]] * 0.55 + marks[[48, 67, 66, 65, 54]] * 0.45), 0.2
    )
    layers.over(0.18 * lower, np.minimum(red * 1.5 + 0.06, 1))
    upper = curve(marks[[48, 60, 61, 62, 63, 64, 54]])
    layers.over(0.28 * line(raised(upper, 0.12), 0.16), red * 0.5)
    layers.over(0.9 * line(upper, 0.055, taper=False), tone * (0.16, 0.07, 0.07))
    for corner in (marks[48], marks[54]):
        spot = corner + np.array([[-2, 0], [2, 0]])
        layers.over(0.35 * line(spot, 0.14, taper=False), tone * (0.3, 0.16, 0.16))


def _lids(layers: Layers, marks: np.ndarray, person: Person) -> None:
    tone = np.asarray(person.skin, np.float32)
    shadow = np.asarray(person.shadow, np.float32)
    for corner in (36, 42):
        upper = curve(marks[corner : corner + 4])
        lower = curve(marks[[corner + 3, corner + 4, corner + 5, corner]])
        middle = raised(upper, 0.28)
        layers.over(0.55 * person.make_up * line(middle, 0.24), shadow)
        # The lid's skin is thinner and redder than the face's.
        layers.over(0.16 * line(middle, 0.3), tone * (0.85, 0.6, 0.58))
        crease = raised(upper, LID_CREASE)
        layers.over(0.35 * line(crease, 0.06), tone * (0.35, 0.22, 0.2))
        liner = 0.3 + 0.65 * person.make_up
        layers.over(liner * line(upper, 0.06, taper=False), (0.02, 0.012, 0.011))
        layers.over((0.14 + 0.4 * person.make_up) * line(lower, 0.05), (0.05, 0.025, 0.022))


def _lid_crease(marks: np.ndarray, person: Person) -> np.ndarray:
    """The relief of the creases of the upper lids: float32 [ROWS, COLUMNS], cm."""
    height = np.zeros((ROWS, COLUMNS), np.float32)
    for corner in (36, 42):
        upper = curve(marks[corner : corner + 4])
        height -= 0.07 * line(raised(upper, LID_CREASE), 0.09)
        height += 0.05 * line(raised(upper, (LID_CREASE + 0.22)), 0.12)
        bag = raised(curve(marks[[corner + 3, corner + 4, corner + 5, corner]]), -0.55)
        height += (0.03 + 0.10 * person.age) * line(bag, 0.24)
        height -= (0.02 + 0.07 * person.age) * line(raised(bag, -0.45), 0.17)
    return height


def _eye(person: Person, rng: np.random.Generator) -> np.ndarray:
    """Iris, pupil and veins: float32 [EYE_TEXELS, EYE_TEXELS, 4], premultiplied RGBA."""
    step = EYE_SIDE / EYE_TEXELS
    grid = (np.arange(EYE_TEXELS) - EYE_TEXELS / 2) * step
    radius = np.hypot(grid[None], grid[:, None])
    angle = np.arctan2(grid[:, None], grid[None])
    iris, pupil = rng.uniform(0.54, 0.62), rng.uniform(0.17, 0.27)
    fibres = np.interp(angle, np.linspace(-np.pi, np.pi, 90), rng.normal(0, 1, 90))
    colour = np.asarray(person.iris)[None, None] * (1 + 0.25 * fibres[..., None])
    # Darker at its rim, brighter below, where the light falls through.
    colour = colour * (0.65 + 0.7 * ramp(radius, pupil, iris - 0.12))[..., None]
    colour = colour * (1 + 0.35 * ramp(grid, -0.1, 0.5)[:, None, None])
    colour = colour * (1 - 0.7 * ramp(radius, iris - 0.13, iris))[..., None]
    colour = colour * (1 - 0.98 * ramp(radius, pupil + 0.03, pupil - 0.02))[..., None]
    inside = ramp(radius, iris + 0.03, iris - 0.04)[..., None]
    rgba = np.concatenate([np.maximum(colour, 0.002), np.ones_like(inside)], -1) * inside
    veins = (0.35 * ramp(np.abs(grid), 0.6, 1.3)[None] * (1 - inside[..., 0]))[..., None]
    red = np.concatenate([veins * np.array([0.55, 0.28, 0.25]), veins], -1)
    return np.ascontiguousarray(rgba + red * (1 - rgba[..., 3:]), np.float32)
