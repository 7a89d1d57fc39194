"""The skin laid flat: a texture round the head, on which hairs, lines and folds are drawn.

A point of the mean head has texture coordinates by its angle around an upright axis and by its
height, so that a centimetre on the front of the face is about a centimetre on the texture.
"""

import functools

import cv2
import numpy as np
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import cKDTree

from au_jax.data.rendered_faces.face_kit import FaceKit

TEXEL = 0.04  # cm
RADIUS, AXIS = 9.0, 2.0  # cm: of the cylinder, and its axis' z
SIDE, TOP, BOTTOM = 15.0, 15.0, -12.0  # cm: the texture's edges
ROWS, COLUMNS = round((TOP - BOTTOM) / TEXEL), round(2 * SIDE / TEXEL)
FRONT = 3.0  # z in cm: the front of the face
COARSE = 9  # texels: what varies slowly is computed at every ninth


def unwrap(points: np.ndarray) -> np.ndarray:
    """Texture coordinates: float32 [K, 2], texels across (to the own left) and along (down).

    Args:
      points: [K, 3], cm, on the mean head.
    """
    x, y, z = np.asarray(points, np.float64).T
    across = (RADIUS * np.arctan2(x, z - AXIS) + SIDE) / TEXEL
    return np.stack([across, (TOP - y) / TEXEL], 1).astype(np.float32)


class Skin:
    """Where the mean head's skin lies on the texture.

    Attributes:
      texels: float32 [V, 2], of each vertex.
      points: float32 [ROWS, COLUMNS, 3], the skin's x, y, z (cm) at each texel, smoothed.
    """

    def __init__(self, kit: FaceKit):
        self._front = kit.neutral[kit.of("face") & (kit.neutral[:, 2] > FRONT)]
        self._tree = cKDTree(self._front[:, :2])
        self.texels = unwrap(kit.neutral)
        skin = kit.of("face", "head")
        rows = np.arange(0, ROWS + COARSE, COARSE)
        columns = np.arange(0, COLUMNS + COARSE, COARSE)
        grid = np.stack(np.meshgrid(columns, rows), -1)
        # The outermost of the skin's layers: eyelids and lips fold inwards.
        radius = np.hypot(kit.neutral[skin, 0], kit.neutral[skin, 2] - AXIS)
        coarse = LinearNDInterpolator(self.texels[skin], radius, fill_value=8.0)(grid)
        radius = cv2.resize(coarse.astype(np.float32)[: len(rows), : len(columns)], (COLUMNS, ROWS))
        angle = (np.arange(COLUMNS) * TEXEL - SIDE) / RADIUS
        self.points = np.stack(
            [
                radius * np.sin(angle),
                np.broadcast_to((TOP - np.arange(ROWS) * TEXEL)[:, None], radius.shape),
                AXIS + radius * np.cos(angle),
            ],
            -1,
        ).astype(np.float32)

    def at(self, xy: np.ndarray) -> np.ndarray:
        """Texture coordinates of points of the face seen from the front.

        Args:
          xy: [K, 2], cm.

        Returns:
          float32 [K, 2], texels.
        """
        xy = np.asarray(xy, np.float64)
        distances, near = self._tree.query(xy, k=3)
        share = 1 / (distances + 1e-3)
        z = (self._front[near, 2] * share).sum(1) / share.sum(1)
        return unwrap(np.column_stack([xy, z]))


@functools.lru_cache(maxsize=2)
def skin_of(kit: FaceKit) -> Skin:
    """The skin of a kit, computed once in a process."""
    return Skin(kit)


def curve(points: np.ndarray, count: int = 40) -> np.ndarray:
    """A smooth curve through points: [count, D], by Catmull and Rom's cubics."""
    p = np.asarray(points, np.float64)
    p = np.vstack([2 * p[0] - p[1], p, 2 * p[-1] - p[-2]])
    t = np.linspace(0, len(p) - 3 - 1e-9, count)
    i = t.astype(int)
    t = (t - i)[:, None]
    a, b, c, d = p[i], p[i + 1], p[i + 2], p[i + 3]
    return 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    )


def closed_curve(marks: np.ndarray) -> np.ndarray:
    """A smooth closed outline through landmarks: [K, 2]."""
    wrapped = np.vstack([marks[-2:], marks, marks[:2]])
    return curve(wrapped, 160)[20:-20]


def raised(texels: np.ndarray, height: float) -> np.ndarray:
    """The curve moved up the face by a height in cm."""
    return texels - np.array([0, height / TEXEL])


def line(texels: np.ndarray, width: float, taper: bool = True) -> np.ndarray:
    """A soft line on the texture: float32 [ROWS, COLUMNS], about 1 along its middle.

    Args:
      texels: [K, 2], a curve. width: standard deviation of its cross section, cm.
      taper: whether it fades towards its ends.
    """
    drawn = np.zeros((ROWS, COLUMNS), np.float32)
    places = np.linspace(0, 1, len(texels) - 1)
    strengths = np.sin(np.pi * (0.06 + 0.88 * places)) ** 0.7 if taper else np.ones(len(places))
    for a, b, strength in zip(texels[:-1], texels[1:], strengths, strict=True):
        cv2.line(drawn, _pixel(a), _pixel(b), float(strength), 2)
    sigma = width / TEXEL
    _soften(drawn, texels, sigma)
    drawn /= np.float32(min(2.0 / (np.sqrt(2 * np.pi) * sigma), 1.0))
    return drawn


def area(texels: np.ndarray, softness: float) -> np.ndarray:
    """A filled outline on the texture, float32 [ROWS, COLUMNS] from 0 to 1, its edge soft by cm."""
    drawn = np.zeros((ROWS, COLUMNS), np.float32)
    cv2.fillPoly(drawn, [np.rint(texels).astype(np.int32)], 1.0)
    _soften(drawn, texels, softness / TEXEL)
    return drawn


def hairs(roots: np.ndarray, tips: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """Hairs on the texture: float32 [ROWS, COLUMNS], 0 to 1.

    Args:
      roots, tips: [K, 2], texels. strengths: [K], 0 to 1.
    """
    drawn = np.zeros((ROWS, COLUMNS), np.uint8)
    ends = np.rint(np.stack([roots, tips], 1) * 8).astype(np.int32)
    for (root, tip), strength in zip(ends, strengths, strict=True):
        cv2.line(drawn, root.tolist(), tip.tolist(), int(255 * strength), 1, cv2.LINE_AA, 3)
    return drawn.astype(np.float32) / 255


class Layers:
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


def _soften(drawn: np.ndarray, texels: np.ndarray, sigma: float) -> None:
    """Blurs a drawing in place, only around the points it was drawn through."""
    reach = 4 * sigma + 3
    left, top = np.maximum(texels.min(0) - reach, 0).astype(int)
    right, bottom = (texels.max(0) + reach).astype(int)
    drawn[top:bottom, left:right] = cv2.GaussianBlur(
        drawn[top:bottom, left:right], (0, 0), sigma, borderType=cv2.BORDER_REPLICATE
    )


def _pixel(texel: np.ndarray) -> tuple[int, int]:
    return round(float(texel[0])), round(float(texel[1]))
