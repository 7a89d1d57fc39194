"""Folds of the skin that expressions and age draw: heights on the unwrapped skin."""

import functools

import cv2
import numpy as np

from au_jax.data.rendered_faces.face_kit import FaceKit
from au_jax.data.rendered_faces.scene import COLUMN, Person
from au_jax.data.rendered_faces.unwrapping import COLUMNS, ROWS, SIDE, TEXEL, curve, line, skin_of

# Fold -> (half the width in cm, depth in cm, curves of points (x, y) on the own left, in cm).
# The right side mirrors them. After the folds named in Ekman, Friesen and Hager, FACS Manual, 2002.
FOLDS: dict[str, tuple[float, float, list[list[tuple[float, float]]]]] = {
    "forehead, middle": (
        *(0.15, 0.10),
        [[(-0.2, y), (1.2, y + 0.07), (2.4, y + 0.3), (3.2, y + 0.5)] for y in (7.2, 8.1, 9.0)],
    ),
    "forehead, side": (
        *(0.15, 0.09),
        [[(1.8, y), (3.0, y + 0.35), (4.2, y + 0.5), (5.4, y + 0.25)] for y in (7.2, 8.1, 8.9)],
    ),
    "frown": (0.13, 0.14, [[(0.48, 4.6), (0.55, 5.4), (0.8, 6.5)], [(0.15, 5.2), (0.2, 6.0)]]),
    "nose root": (0.13, 0.09, [[(-0.2, 4.25), (0.5, 4.25), (1.0, 4.05)]]),
    "nose side": (
        *(0.10, 0.09),
        [[(0.2, y), (0.8, y + 0.15), (1.4, y + 0.5)] for y in (2.5, 3.1, 3.7)],
    ),
    "crow's feet": (
        *(0.12, 0.07),
        [
            [(5.0, 3.3), (5.5, 3.55), (6.0, 3.95)],
            [(5.0, 3.1), (5.6, 3.1), (6.2, 3.2)],
            [(4.9, 2.8), (5.4, 2.55), (5.9, 2.2)],
        ],
    ),
    "under the eye": (0.13, 0.09, [[(1.7, 2.5), (2.6, 1.9), (3.6, 1.8), (4.7, 2.3)]]),
    "lower lid": (0.09, 0.06, [[(2.0, 2.75), (2.8, 2.45), (3.7, 2.4), (4.5, 2.8)]]),
    "nasolabial": (0.20, 0.17, [[(1.5, 0.0), (2.3, -1.1), (3.1, -2.3), (3.5, -3.7)]]),
    "nasolabial, upper": (0.20, 0.14, [[(1.3, 0.4), (1.8, -0.4), (2.5, -1.5)]]),
    "corner, down": (0.14, 0.11, [[(2.7, -3.7), (3.1, -4.4), (3.2, -5.3)]]),
    "dimple": (0.15, 0.15, [[(3.0, -2.8), (3.15, -3.4), (3.0, -4.1)]]),
    "chin": (0.18, 0.12, [[(-0.2, -5.05), (0.7, -5.15), (1.4, -5.6)]]),
    "lips": (
        *(0.06, 0.04),
        [[(x, -1.6), (x * 1.05, -2.3)] for x in (0.4, 0.85, 1.3, 1.7)],
    ),
}
PEBBLES = 0.06  # cm: the relief of a chin that AU17 pushes up
# Which folds an AU draws, and how deep each is at full activation.
DRAWN: dict[int, dict[str, float]] = {
    1: {"forehead, middle": 1.0},
    2: {"forehead, side": 1.0, "forehead, middle": 0.2},
    4: {"frown": 1.0, "nose root": 0.6},
    6: {"crow's feet": 1.0, "under the eye": 1.0, "nasolabial": 0.2},
    7: {"lower lid": 1.0, "crow's feet": 0.3},
    9: {"nose side": 1.0, "nose root": 1.0, "nasolabial, upper": 0.8, "frown": 0.3},
    10: {"nasolabial, upper": 1.0, "nasolabial": 0.3},
    12: {"nasolabial": 1.0, "crow's feet": 0.15},
    14: {"dimple": 1.0},
    15: {"corner, down": 1.0},
    17: {"chin": 1.0, "pebbles": 1.0},
    18: {"lips": 0.8},
    20: {"nasolabial": 0.35},
    23: {"lips": 1.0},
    24: {"lips": 0.6, "chin": 0.4},
    28: {"chin": 0.5},
}
# How deep age alone draws them.
AGED = {
    **{"nasolabial": 0.35, "forehead, middle": 0.25, "forehead, side": 0.2, "frown": 0.2},
    **{"under the eye": 0.5, "crow's feet": 0.25, "corner, down": 0.35, "lips": 0.3},
}
YOUNG, OLD = 0.45, 1.15  # how much of their depth folds have on young and on old skin
BULGE = 0.45  # the ridges beside a fold, against its depth
MIDDLE = 0.4  # cm: from here outwards a side's fold has the side's own depth


@functools.lru_cache(maxsize=2)
def _maps(kit: FaceKit) -> dict[str, tuple[int, int, np.ndarray]]:
    """Each fold's relief (both sides), cut out: first row, first column, float32 [R, C] in cm."""
    skin = skin_of(kit)
    found = {}
    for name, (width, depth, curves) in FOLDS.items():
        groove = np.zeros((ROWS, COLUMNS), np.float32)
        for side in (1, -1):
            for points in curves:
                texels = skin.at(curve(np.array(points)) * (side, 1))
                groove = np.maximum(groove, line(texels, width))
        relief = BULGE * cv2.GaussianBlur(groove, (0, 0), 2.2 * width / TEXEL) * 2.4 - groove
        found[name] = _cut(depth * relief)
    noise = np.random.default_rng(0).normal(size=(ROWS, COLUMNS)).astype(np.float32)
    pebbles = cv2.GaussianBlur(noise, (0, 0), 0.16 / TEXEL)
    x, y, z = np.moveaxis(skin.points, -1, 0)
    chin = np.exp(-((x / 1.2) ** 2) - ((y + 6.2) / 0.8) ** 2) * (z > 8)
    found["pebbles"] = _cut(PEBBLES * chin * pebbles / pebbles.std())
    return found


def _cut(relief: np.ndarray) -> tuple[int, int, np.ndarray]:
    rows, columns = np.nonzero(np.abs(relief) > 1e-4)
    top, left = int(rows.min()), int(columns.min())
    part = relief[top : rows.max() + 1, left : columns.max() + 1]
    return top, left, np.ascontiguousarray(part, np.float32)


def relief(kit: FaceKit, person: Person, active: np.ndarray) -> np.ndarray:
    """The height of all folds of a person's face: float32 [ROWS, COLUMNS], cm, negative in folds.

    Args:
      active: [N, 2], how far each AU of `scene.NUMBERS` goes on the own right and left, see
        `expression.activation`.
    """
    skin_age = YOUNG + (OLD - YOUNG) * person.age
    depth = {name: np.full(2, AGED.get(name, 0.0) * person.age**1.5) for name in _maps(kit)}
    for number, folds in DRAWN.items():
        for name, share in folds.items():
            depth[name] = depth[name] + skin_age * share * active[COLUMN[number]]
    across = np.arange(COLUMNS) * TEXEL - SIDE
    own_left = np.clip(0.5 + across / (2 * MIDDLE), 0, 1).astype(np.float32)
    height = np.zeros((ROWS, COLUMNS), np.float32)
    for name, (top, left, part) in _maps(kit).items():
        right_depth, left_depth = depth[name].astype(np.float32)
        if max(right_depth, left_depth) < 0.02:
            continue
        share = own_left[left : left + part.shape[1]]
        height[top : top + part.shape[0], left : left + part.shape[1]] += part * (
            right_depth + (left_depth - right_depth) * share
        )
    return height
