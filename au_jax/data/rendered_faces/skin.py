"""Paints a person: skin, lips, brows, eyes, beard and hair, on the vertices and on a texture.

What varies slowly is painted on the vertices; hairs, outlines and lines are drawn on the unwrapped
skin (`unwrapping`), which lies over it. Colours are linear RGB.
"""

import dataclasses

import cv2
import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import cKDTree

from au_jax.data.rendered_faces import rasterizer
from au_jax.data.rendered_faces.face_kit import FaceKit
from au_jax.data.rendered_faces.scene import Person
from au_jax.data.rendered_faces.unwrapping import (
    COLUMNS,
    ROWS,
    TEXEL,
    Skin,
    area,
    curve,
    hairs,
    line,
    skin_of,
)

EYE_CENTRE = (3.156, 3.614)  # x and y of the pupil of the mean head's left eye, cm
EYE_TEXELS, EYE_SIDE = 192, 3.0  # the eye's texture, and its side in cm
GUMS, TONGUE_DARK = (0.36, 0.10, 0.10), (0.16, 0.035, 0.032)
HAIR_RISES = 16  # rings of vertices over which hair rises from its edge
LASHES = (0.012, 0.007, 0.006)
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)


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
    colour, gloss, hair = _vertices(kit, person, rng)
    if person.hair_volume > 0:
        normals, _ = rasterizer.normals_and_cavity(shape, kit.triangles)
        shape = shape + normals * _hair_height(kit, person, hair, rng)[:, None]
    return Paint(
        person=person,
        shape=np.ascontiguousarray(shape, np.float32),
        colour=np.ascontiguousarray(np.maximum(colour, 0.002), np.float32),
        gloss=gloss.astype(np.float32),
        detail=detail,
        pores=pores,
        eye=_eye(person, rng),
    )


def ramp(x: ArrayLike, start: float, end: float) -> np.ndarray:
    """A smooth step from 0 at `start` to 1 at `end`."""
    t = np.clip((np.asarray(x) - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


def bell(x: ArrayLike, centre: float, width: float) -> np.ndarray:
    """A Gaussian, 1 at its centre."""
    return np.exp(-(((np.asarray(x) - centre) / width) ** 2))


def eye_texels(neutral: np.ndarray) -> np.ndarray:
    """Coordinates on the eye's texture of the eyeballs' vertices: float32 [K, 2], texels."""
    side = np.where(neutral[:, 0] > 0, 1, -1)
    across = neutral[:, 0] - side * EYE_CENTRE[0]
    texels = np.stack([across, EYE_CENTRE[1] - neutral[:, 1]], 1) / EYE_SIDE * EYE_TEXELS
    return (texels + EYE_TEXELS / 2).astype(np.float32)


def _waves(points: np.ndarray, frequency: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise in space, about -1 to 1; `frequency` in radians / cm."""
    directions = rng.normal(0, frequency, (5, 3)).astype(np.float32)
    phases = rng.uniform(0, 2 * np.pi, 5).astype(np.float32)
    return np.sin(points @ directions.T + phases).mean(-1)


def hair_share(person: Person, points: np.ndarray, wobble: np.ndarray | float) -> np.ndarray:
    """How much of the skin the scalp's hair covers, 0 to 1.

    Args:
      points: float [..., 3], cm, on the mean head. wobble: [...], cm, of the hairline's height.
    """
    x, y, z = np.abs(points[..., 0]), points[..., 1], points[..., 2]
    if person.hair_length == "bald":
        return np.zeros_like(x)
    middle = person.hairline - 2.4 * person.fringe * bell(x, 1.0, 4.5)
    front = middle + 0.5 * bell(x, 3.6, 1.6) - 0.02 * x * x - 1.8 * ramp(x, 4.8, 6.8)
    # Before the ear a sideburn; behind it hair down to the neck.
    side = 2.2 if person.hair_length == "short" else 0.5
    back = np.full_like(x, -3.0 if person.hair_length == "short" else -9.0)
    line_height = front + (side - front) * ramp(z, 5.2, 3.6)
    line_height = line_height + (back - line_height) * ramp(z, -1.0, -2.5)
    ear = (x > 6.9) & (y < 5.4) & (y > -3.5) & (z > -3.2) & (z < 4.2)
    # Hair that is combed back thins out towards its edge; a fringe ends in it.
    soft = 0.55 - 0.4 * person.fringe
    return np.where(ear, 0.0, ramp(y - line_height - wobble, -soft, soft))


def _hair_height(
    kit: FaceKit, person: Person, share: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """How far the hair stands off each vertex: float32 [V], cm, rising softly from its edge."""
    triangles = kit.triangles_of("face", "head")
    smooth = share.astype(np.float64)
    corners = triangles[:, [0, 1, 2]].ravel()
    others = triangles[:, [1, 2, 0]].ravel()
    neighbours = np.bincount(corners, minlength=len(share)) + np.bincount(
        others, minlength=len(share)
    )
    for _ in range(HAIR_RISES):
        total = np.bincount(corners, smooth[others], len(share))
        total += np.bincount(others, smooth[corners], len(share))
        smooth = np.where(neighbours > 0, total / np.maximum(neighbours, 1), 0)
    uneven = 1 + 0.3 * _waves(kit.neutral, 0.5, rng) + 0.15 * _waves(kit.neutral, 1.5, rng)
    height = ramp(smooth, 0.45, 1.05) * share * uneven * person.hair_volume
    # Combed back, hair rises slowly from the forehead; a fringe stands off it.
    above = ramp(kit.neutral[:, 1], person.hairline - 1.0, person.hairline + 3.0)
    if person.hair_length == "short":
        height *= 0.3 + 0.7 * ramp(kit.neutral[:, 1], 3.0, 10.0)
    height *= 1 - (1 - person.fringe) * (1 - above) * ramp(kit.neutral[:, 2], 1.0, 5.0)
    return np.maximum(height, 0).astype(np.float32)


def _vertices(
    kit: FaceKit, person: Person, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colour [V, 3] and gloss [V] of the vertices, and the share of hair [V]."""
    points = kit.neutral
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    front = kit.of("face") & (z > 3)
    skin = np.asarray(person.skin, np.float32)
    blotches = 1 + 0.07 * _waves(points, 0.25, rng) + 0.06 * _waves(points, 1.2, rng)
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

    hair = hair_share(person, points, 0.35 * _waves(points, 0.6, rng)) * kit.of("face", "head")
    uneven = 1 + 0.2 * _waves(points, 2.5, rng)
    mix(hair, np.asarray(person.hair, np.float32) * uneven[:, None])
    collar = -12.3 - 0.25 * np.minimum(z, 6) * (z > 0) + 0.10 * x
    mix(ramp(collar - y, -0.35, 0.35) * kit.of("face", "head"), person.clothes)

    gloss = np.where(kit.of("face"), 0.02 + 0.12 * person.shine, 0.02)
    gloss = gloss * (1 + 0.8 * nose + 0.5 * forehead + 0.4 * cheek)
    gloss = np.where(hair > 0.5, 0.05, gloss)
    gloss = np.where(collar > y, 0.0, gloss)
    for part, value, shine in (
        ("eye", (0.70, 0.66, 0.63), 0.9),
        ("teeth", person.teeth, 0.3),
        ("gums", GUMS, 0.2),
        ("socket", TONGUE_DARK, 0.05),
        ("lashes", LASHES, 0.0),
    ):
        colour[kit.of(part)] = np.asarray(value, np.float32)
        gloss[kit.of(part)] = shine
    return colour, gloss, hair


class _Layers:
    """Premultiplied RGBA on the texture, painted layer over layer."""

    def __init__(self) -> None:
        self.rgba = np.zeros((ROWS, COLUMNS, 4), np.float32)

    def over(self, share: np.ndarray, colour: object) -> None:
        """Lays a colour over what is there: share [ROWS, COLUMNS], 0 to 1."""
        rows, columns = np.flatnonzero(share.max(1) > 0.004), np.flatnonzero(share.max(0) > 0.004)
        if not len(rows):
            return
        window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        alpha = np.minimum(share[window], 1)[..., None].astype(np.float32)
        layer = np.concatenate([alpha * np.asarray(colour, np.float32), alpha], -1)
        self.rgba[window] = self.rgba[window] * (1 - alpha) + layer


def _detail(
    kit: FaceKit, skin: Skin, person: Person, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The texture over the skin and its fine relief."""
    layers = _Layers()
    noise = rng.standard_normal((ROWS, COLUMNS), np.float32)
    fine = cv2.GaussianBlur(noise, (0, 0), 1.3) * 4.5
    coarse = cv2.GaussianBlur(noise, (0, 0), 5.0) * 17
    x, y, z = np.moveaxis(skin.points, -1, 0)
    x, face = np.abs(x), (z > 3) & (y > -9)
    tone = np.asarray(person.skin, np.float32)

    # Pores and spots.
    layers.over(np.clip(0.05 * coarse + 0.05 * fine, 0, 0.2) * face, tone * 0.55)
    if person.freckles > 0.05:
        where = np.exp(-(((y - 1.2) / 2.6) ** 2)) * bell(x, 2.5, 3.2) * face
        layers.over(_spots(where, person.freckles, rng), tone * (0.55, 0.42, 0.35))
    if person.age > 0.3:
        where = 0.3 * face * (y > -7)
        layers.over(0.6 * _spots(where, person.age - 0.3, rng), tone * (0.6, 0.48, 0.42))

    marks = skin.texels[kit.landmarks]
    _lips(layers, marks, person, fine)
    _beard(layers, skin, marks, person, fine, rng)
    _lids(layers, marks, person)
    for heads_to_tails in (marks[[21, 20, 19, 18, 17]], marks[22:27]):
        _brow(layers, heads_to_tails, person, rng)
    _scalp(layers, skin, person, rng)
    pores = (0.0022 + 0.0025 * person.age) * (fine + 0.8 * coarse)
    lips = area(_outline(marks[48:60]), 0.1)
    creases = cv2.GaussianBlur(noise, (0, 0), sigmaX=1.5, sigmaY=6.0) * 9
    pores = pores * (1 - lips) + 0.006 * lips * creases
    return layers.rgba, pores + _lid_crease(marks, person)


def _spots(where: np.ndarray, density: float, rng: np.random.Generator) -> np.ndarray:
    drawn = np.zeros((ROWS, COLUMNS), np.float32)
    count = int(2500 * density)
    rows, columns = rng.integers(0, ROWS, count * 4), rng.integers(0, COLUMNS, count * 4)
    kept = rng.random(count * 4) < where[rows, columns]
    for row, column in zip(rows[kept].tolist(), columns[kept].tolist(), strict=True):
        radius = float(rng.gamma(2.0, 0.6)) + 0.6
        cv2.circle(drawn, (column, row), round(radius), float(rng.uniform(0.15, 0.55)), -1)
    return cv2.GaussianBlur(drawn, (0, 0), 0.9)


def _outline(marks: np.ndarray) -> np.ndarray:
    """A smooth closed outline through landmarks: [K, 2]."""
    wrapped = np.vstack([marks[-2:], marks, marks[:2]])
    return curve(wrapped, 160)[20:-20]


def _lips(layers: _Layers, marks: np.ndarray, person: Person, fine: np.ndarray) -> None:
    tone, red = np.asarray(person.skin, np.float32), np.asarray(person.lips, np.float32)
    share = area(_lip_outline(marks), 0.09)
    strength = 0.35 + 0.6 * person.lips_strength
    layers.over(share * strength * np.clip(0.9 + 0.08 * fine, 0, 1), red)
    # The lower lip catches light, the edge of the upper is darker.
    lower = line(
        curve(marks[[59, 58, 57, 56, 55]] * 0.55 + marks[[48, 67, 66, 65, 54]] * 0.45), 0.2
    )
    layers.over(0.18 * lower, np.minimum(red * 1.5 + 0.06, 1))
    upper = curve(marks[[48, 60, 61, 62, 63, 64, 54]])
    layers.over(0.28 * line(upper - np.array([0, 0.12 / TEXEL]), 0.16), red * 0.5)
    layers.over(0.9 * line(upper, 0.055, taper=False), tone * (0.16, 0.07, 0.07))
    for corner in (marks[48], marks[54]):
        spot = corner + np.array([[-2, 0], [2, 0]])
        layers.over(0.35 * line(spot, 0.14, taper=False), tone * (0.3, 0.16, 0.16))


def _lip_outline(marks: np.ndarray) -> np.ndarray:
    return _outline(marks[48:60])


def _lids(layers: _Layers, marks: np.ndarray, person: Person) -> None:
    tone = np.asarray(person.skin, np.float32)
    shadow = np.asarray(person.shadow, np.float32)
    for corner in (36, 42):
        upper = curve(marks[corner : corner + 4])
        lower = curve(marks[[corner + 3, corner + 4, corner + 5, corner]])
        middle = upper - np.array([0, 0.28 / TEXEL])
        layers.over(0.55 * person.make_up * line(middle, 0.24), shadow)
        # The lid's skin is thinner and redder than the face's.
        layers.over(0.16 * line(middle, 0.3), tone * (0.85, 0.6, 0.58))
        crease = upper - np.array([0, LID_CREASE / TEXEL])
        layers.over(0.35 * line(crease, 0.06), tone * (0.35, 0.22, 0.2))
        liner = 0.3 + 0.65 * person.make_up
        layers.over(liner * line(upper, 0.06, taper=False), (0.02, 0.012, 0.011))
        layers.over((0.14 + 0.4 * person.make_up) * line(lower, 0.05), (0.05, 0.025, 0.022))


LID_CREASE = 0.42  # cm: from the upper lid's edge to its crease, on the mean open eye


def _lid_crease(marks: np.ndarray, person: Person) -> np.ndarray:
    """The relief of the creases of the upper lids: float32 [ROWS, COLUMNS], cm."""
    height = np.zeros((ROWS, COLUMNS), np.float32)
    for corner in (36, 42):
        upper = curve(marks[corner : corner + 4])
        height -= 0.07 * line(upper - np.array([0, LID_CREASE / TEXEL]), 0.09)
        height += 0.05 * line(upper - np.array([0, (LID_CREASE + 0.22) / TEXEL]), 0.12)
        bag = curve(marks[[corner + 3, corner + 4, corner + 5, corner]]) + np.array(
            [0, 0.55 / TEXEL]
        )
        height += (0.03 + 0.10 * person.age) * line(bag, 0.24)
        height -= (0.02 + 0.07 * person.age) * line(bag + np.array([0, 0.45 / TEXEL]), 0.17)
    return height


def _brow(layers: _Layers, marks: np.ndarray, person: Person, rng: np.random.Generator) -> None:
    """A brow of single hairs: upright at its head, lying along it at its tail."""
    colour = np.asarray(person.brows, np.float32)
    middle = curve(marks, 60)
    along = np.gradient(middle, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    normal = np.stack([along[:, 1], -along[:, 0]], 1)
    normal *= np.where(normal[:, 1] > 0, -1, 1)[:, None]  # upwards: rows count down
    place = np.linspace(0, 1, len(middle))
    half = person.brow_thickness / TEXEL * (0.45 + 0.6 * ramp(place, 0, 0.25))
    half = half * (1 - 0.75 * ramp(place, 0.55, 1.0))
    outline = np.vstack([middle + normal * half[:, None], (middle - normal * half[:, None])[::-1]])
    soft = area(outline, 0.14)
    layers.over(0.5 * person.brow_strength * soft, colour)
    count = int(260 * (0.5 + person.brow_strength) * (0.6 + person.brow_thickness))
    for shade, strength in ((0.6, 0.9), (1.25, 0.7)):
        at = rng.beta(1.15, 1.2, count)
        index = np.minimum((at * len(middle)).astype(int), len(middle) - 1)
        offset = np.clip(rng.normal(0, 0.5, count), -1.15, 1.0)
        roots = middle[index] + normal[index] * (offset * half[index])[:, None]
        angle = np.deg2rad(74 - 66 * ramp(at, 0.0, 0.5) - 14 * ramp(at, 0.5, 1.0))
        angle = angle - 0.35 * offset + rng.normal(0, 0.14, count)  # upper hairs lie down
        length = rng.uniform(0.25, 0.5, count) * (0.6 + person.brow_thickness) / TEXEL
        reach = along[index] * np.cos(angle)[:, None] + normal[index] * np.sin(angle)[:, None]
        strengths = rng.uniform(0.45, 1.0, count)
        drawn = hairs(roots, roots + reach * length[:, None], strengths)
        layers.over(strength * person.brow_strength * drawn, colour * shade)


def _beard(
    layers: _Layers,
    skin: Skin,
    marks: np.ndarray,
    person: Person,
    fine: np.ndarray,
    rng: np.random.Generator,
) -> None:
    if max(person.beard, person.moustache, person.stubble) < 0.02:
        return
    x, y, z = np.abs(skin.points[..., 0]), skin.points[..., 1], skin.points[..., 2]
    away = 1 - area(_lip_outline(marks), 0.15)
    cheek = ramp(-y - 0.28 * np.maximum(x - 3, 0) * -1, 2.0, 3.4)
    jaw = np.maximum(cheek, ramp(x, 5.6, 6.4) * ramp(-y, -2.5, 0.0)) * (y > -9.5) * (z > 1.5)
    bare = 0.3 + 0.7 * ramp(np.hypot(x * 0.9, y + 3.4), 1.3, 2.4)  # thin below the lip's corners
    lip = bell(y + 0.1 * x, -1.95, 0.5) * (1 - ramp(x, 1.6, 3.0)) * (z > 8)
    chin = jaw * away * bare * ramp(y, -9.5, -8.0)
    lip = lip * away
    colour = np.asarray(person.hair, np.float32) * 0.8
    grain = np.clip(0.75 + 0.35 * fine, 0, 1)
    layers.over(0.45 * person.stubble * np.maximum(chin, lip) * grain, colour * 0.7)
    for where, density in ((chin, person.beard), (lip, person.moustache)):
        if density < 0.02:
            continue
        layers.over(0.75 * density * where * grain, colour)
        count = int(6000 * density)
        rows, columns = rng.integers(0, ROWS, count * 3), rng.integers(0, COLUMNS, count * 3)
        kept = rng.random(count * 3) < where[rows, columns]
        roots = np.stack([columns, rows], 1)[kept].astype(np.float64)
        sway = 0.3 * np.sign(roots[:, 0] - COLUMNS / 2) + rng.normal(0, 0.3, len(roots))
        tips = roots + np.stack([sway, np.ones(len(roots))], 1) * rng.uniform(
            5, 14, (len(roots), 1)
        )
        layers.over(density * hairs(roots, tips, rng.uniform(0.3, 0.9, len(roots))), colour * 0.6)


def _scalp(layers: _Layers, skin: Skin, person: Person, rng: np.random.Generator) -> None:
    """Hair on the head, in strands that run down, ragged at the hairline."""
    if person.hair_length == "bald":
        return
    strands = rng.standard_normal((ROWS // 30, COLUMNS), np.float32)
    soft = cv2.GaussianBlur(strands, (0, 0), sigmaX=1.2, sigmaY=0.5) * 2.0
    thin = cv2.resize(soft, (COLUMNS, ROWS), interpolation=cv2.INTER_CUBIC)
    locks = rng.standard_normal((2, COLUMNS // 12), np.float32)
    thick = cv2.resize(locks, (COLUMNS, ROWS), interpolation=cv2.INTER_CUBIC)
    wobble = 0.3 * thin + 0.3 * thick
    share = hair_share(person, skin.points, wobble).astype(np.float32)
    colour = np.asarray(person.hair, np.float32)
    layers.over(share, colour)
    layers.over(share * np.clip(0.3 * thin + 0.2 * thick, 0, 0.75), colour * 0.25)
    layers.over(share * np.clip(-0.2 * thin - 0.1 * thick, 0, 0.6), colour * 1.9 + 0.01)


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


def lash_opacity(kit: FaceKit) -> np.ndarray:
    """How opaque the lashes' vertices are: float32 [K], falling from the root to the tip."""
    lashes = kit.neutral[kit.of("lashes")]
    distance, _ = cKDTree(kit.neutral[kit.of("face")]).query(lashes)
    opacity = np.where(lashes[:, 1] < 3.2, 0.12, 0.55) * np.clip(1 - distance / 0.45, 0, 1)
    return opacity.astype(np.float32)
