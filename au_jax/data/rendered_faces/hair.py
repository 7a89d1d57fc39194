"""Hair of a person: scalp, brows, beard and lashes, on the vertices and on the unwrapped skin."""

import cv2
import numpy as np
from scipy.spatial import cKDTree

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
    hairs,
)

RISES = 16  # rings of vertices over which hair rises from its edge


def hair_share(person: Person, points: np.ndarray, wobble: np.ndarray | float) -> np.ndarray:
    """How much of the skin the scalp's hair covers, 0 to 1.

    Args:
      points: float [..., 3], cm, on the mean head. wobble: [...], cm, of the hairline's height.
    """
    x, y, z = np.abs(points[..., 0]), points[..., 1], points[..., 2]
    if person.hair_length == "bald":
        return np.zeros_like(x)
    middle = person.hairline - 2.4 * person.fringe * bell(x, 1.0, 4.5)
    # Receding corners, a peak in the middle, a side that is combed lower.
    rng = np.random.default_rng([person.seed, 2])
    corners, peak, slant = rng.uniform(0, 1.6), rng.uniform(0, 0.5), rng.normal(0, 0.07)
    front = middle + (1 - person.fringe) * corners * bell(x, 3.8, 1.7) - peak * bell(x, 0.0, 0.9)
    front = front + slant * points[..., 0] - 0.02 * x * x - 1.8 * ramp(x, 4.8, 6.8)
    # Before the ear a sideburn; behind it hair down to the neck.
    side = 2.2 if person.hair_length == "short" else 0.5
    back = np.full_like(x, -3.0 if person.hair_length == "short" else -9.0)
    line_height = front + (side - front) * ramp(z, 5.2, 3.6)
    line_height = line_height + (back - line_height) * ramp(z, -1.0, -2.5)
    ear = (x > 6.9) & (y < 5.4) & (y > -3.5) & (z > -3.2) & (z < 4.2)
    # Hair that is combed back thins out towards its edge; a fringe ends in it.
    soft = 0.55 - 0.4 * person.fringe
    return np.where(ear, 0.0, ramp(y - line_height - wobble, -soft, soft))


def hair_height(
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
    for _ in range(RISES):
        total = np.bincount(corners, smooth[others], len(share))
        total += np.bincount(others, smooth[corners], len(share))
        smooth = np.where(neighbours > 0, total / np.maximum(neighbours, 1), 0)
    uneven = 1 + 0.3 * waves(kit.neutral, 0.5, rng) + 0.15 * waves(kit.neutral, 1.5, rng)
    height = ramp(smooth, 0.45, 1.05) * share * uneven * person.hair_volume
    # Combed back, hair rises slowly from the forehead; a fringe stands off it.
    above = ramp(kit.neutral[:, 1], person.hairline - 1.0, person.hairline + 3.0)
    if person.hair_length == "short":
        height *= 0.3 + 0.7 * ramp(kit.neutral[:, 1], 3.0, 10.0)
    height *= 1 - (1 - person.fringe) * (1 - above) * ramp(kit.neutral[:, 2], 1.0, 5.0)
    return np.maximum(height, 0).astype(np.float32)


def brow(layers: Layers, marks: np.ndarray, person: Person, rng: np.random.Generator) -> None:
    """A brow of single hairs: upright at its head, lying along it at its tail.

    Args:
      marks: float32 [5, 2], its landmarks from its head to its tail, texels.
    """
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


def beard(
    layers: Layers,
    skin: Skin,
    marks: np.ndarray,
    person: Person,
    fine: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Stubble, beard and moustache.

    Args:
      marks: float32 [68, 2], the landmarks, texels. fine: float32 [ROWS, COLUMNS], noise.
    """
    if max(person.beard, person.moustache, person.stubble) < 0.02:
        return
    x, y, z = np.abs(skin.points[..., 0]), skin.points[..., 1], skin.points[..., 2]
    away = 1 - area(closed_curve(marks[48:60]), 0.15)
    cheek = ramp(-y + 0.28 * np.maximum(x - 3, 0), 2.0, 3.4)
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


def scalp(layers: Layers, skin: Skin, person: Person, rng: np.random.Generator) -> None:
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


def lash_opacity(kit: FaceKit) -> np.ndarray:
    """How opaque the densest lashes' vertices are: float32 [K], falling from root to tip."""
    lashes = kit.neutral[kit.of("lashes")]
    distance, _ = cKDTree(kit.neutral[kit.of("face")]).query(lashes)
    opacity = np.where(lashes[:, 1] < 3.2, 0.25, 1.0) * np.clip(1 - distance / 0.45, 0, 1)
    return opacity.astype(np.float32)
