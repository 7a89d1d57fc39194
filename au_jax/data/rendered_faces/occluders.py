"""Glasses and occluders before a rendered face: hands, things, masks, scarves and hats.

They are drawn in 2-D from the outlines of simple bodies that turn with the head, and lit evenly.
Lengths are centimetres, in the head's own directions (x to the person's own left, y up, z forward).
"""

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np

from au_jax.data.rendered_faces.backdrops import brightness, soft_mask
from au_jax.data.rendered_faces.population import linear
from au_jax.data.rendered_faces.scene import Scene

_BRIDGE, _TIP, _CHIN = 27, 30, 8  # landmarks
_EYES = ((36, 39), (42, 45))  # the corners of each
_PLACES = (33, 48, 54, 8, 36, 45, 2, 14, 51, 57)  # landmarks that a hand or a thing may hide
_MASK = (*range(2, 15), 29)
_TEMPLE = 10.5  # from a frame of glasses to the ear


@dataclasses.dataclass(frozen=True)
class Head:
    """Where a rendered head is, in the pixels of the picture that is drawn on.

    Attributes:
      landmarks: float [68, 2]. near: float [68], how far towards the camera each is, cm.
      rotation: float [3, 3], from the head's directions to the camera's.
      scale: pixels per centimetre.
      depth: float [S, S], how far towards the camera the surface lies, cm.
    """

    landmarks: np.ndarray
    near: np.ndarray
    rotation: np.ndarray
    scale: float
    depth: np.ndarray

    def pixels(self, landmark, offsets: np.ndarray) -> np.ndarray:
        """Where points are in the picture: float [N, 2].

        Args:
          landmark: the number of the one, or of several whose mean is meant.
          offsets: float [N, 3], from it, cm.
        """
        origin = self.landmarks[landmark].reshape(-1, 2).mean(0)
        return origin + self.scale * (offsets @ self.rotation.T)[:, :2] * (1, -1)

    def nearness(self, landmark, offsets: np.ndarray) -> np.ndarray:
        """How far towards the camera these points are, cm: float [N]."""
        return np.mean(self.near[landmark]) + (offsets @ self.rotation.T)[:, 2]


def cover(picture: np.ndarray, scene: Scene, head: Head) -> np.ndarray:
    """The picture with what is before the face: float32 [S, S, 3], linear RGB."""
    picture = picture.copy()
    light = brightness(scene)
    if scene.person.glasses is not None:
        _draw_glasses(picture, scene, head, light)
    if scene.occluder != "none":
        rng = np.random.default_rng([scene.seed, 1])
        OCCLUDERS[scene.occluder](picture, scene, head, light, rng)
    return picture


def _paste(picture: np.ndarray, mask: np.ndarray, colour) -> None:
    picture += mask * (np.asarray(colour, np.float32) - picture)


def _line(picture: np.ndarray, points, colour, thick: float) -> None:
    """Draws a line through points, float [N, 2] in pixels."""
    fixed = np.rint(8 * np.asarray(points)).astype(np.int32)
    width = max(1, round(thick))
    cv2.polylines(picture, [fixed], False, np.asarray(colour).tolist(), width, cv2.LINE_8, 3)


def _draw_glasses(picture: np.ndarray, scene: Scene, head: Head, light: float) -> None:
    glasses = scene.person.glasses
    assert glasses is not None
    colour, thick = light * glasses.colour, glasses.thickness * head.scale
    eye = 2.9  # width of an eye
    across, up = 0.46 * glasses.width * eye, 0.46 * glasses.height * eye
    angle = np.linspace(0, 2 * np.pi, 49)
    power = 1.0 if glasses.shape == "round" else 0.45
    ring = np.stack(
        [
            across * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power,
            up * np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power - 0.15,
            np.full(len(angle), 1.3),
        ],
        1,
    )
    side = len(picture)
    for eye_corners, outward in zip(_EYES, (-1, 1), strict=True):
        corners = list(eye_corners)
        moved = ring + np.array([0.12 * outward, 0, 0])
        outline = head.pixels(corners, moved)
        if glasses.tint > 0.02:
            mask = glasses.tint * soft_mask(outline, side, 0.5)
            _paste(picture, mask, 0.25 * light * glasses.colour)
            shine = soft_mask(head.pixels(corners, moved * (0.2, 0.7, 1) + (-0.6, 0.2, 0)), side, 2)
            picture += np.float32(0.05 * light) * shine
        _draw_line(picture, head, corners, moved, colour, thick)
        hinge = np.array([0.12 * outward + outward * across, 0.25 * up, 1.2])
        ear = hinge + np.array([0.8 * outward, 0.3, -_TEMPLE])
        _draw_line(picture, head, corners, _between(hinge, ear), colour, 0.7 * thick)
    bridge = np.array([(-1.2, -0.1, 1.0), (0.0, 0.15, 1.3), (1.2, -0.1, 1.0)])
    _draw_line(picture, head, _BRIDGE, bridge, colour, thick)


def _between(first: np.ndarray, last: np.ndarray) -> np.ndarray:
    return first + np.linspace(0, 1, 24)[:, None] * (last - first)


def _draw_line(
    picture: np.ndarray, head: Head, landmark, offsets: np.ndarray, colour: np.ndarray, thick: float
) -> None:
    """Draws the parts of a line that no surface hides."""
    points, near = head.pixels(landmark, offsets), head.nearness(landmark, offsets)
    at = np.clip(points.astype(int), 0, len(picture) - 1)
    seen = near > head.depth[at[:, 1], at[:, 0]] - 0.4
    for piece in np.flatnonzero(seen[:-1] & seen[1:]):
        _line(picture, points[piece : piece + 2], colour, thick)


def _anywhere(head: Head, rng: np.random.Generator) -> np.ndarray:
    """A place at the face that may be hidden, pixels: float [2]."""
    return head.landmarks[_PLACES[rng.integers(len(_PLACES))]]


def _draw_hand(
    picture: np.ndarray, scene: Scene, head: Head, light: float, rng: np.random.Generator
) -> None:
    """A palm, four fingers and a thumb, over a place at the face."""
    skin = np.clip(scene.person.skin * rng.uniform(0.75, 1.1), 0.01, 1) * light
    unit = head.scale * rng.uniform(0.8, 1.0)
    angle = np.deg2rad(rng.uniform(-70, 70))
    along, back = (
        np.array([np.cos(angle), np.sin(angle)]),
        np.array([-np.sin(angle), np.cos(angle)]),
    )
    centre = _anywhere(head, rng) + back * unit * rng.uniform(1.5, 4)
    thumb = 1 if rng.random() < 0.5 else -1
    palm = centre + back * 5.5 * unit
    parts = [(palm + back * 9 * unit, palm + back * 3 * unit, 5.5, 0.9)]  # the wrist
    parts += [
        (palm + along * t * unit, palm + along * t * unit - back * 2 * unit, 4.2, 0.95)
        for t in (-1.8, 1.8)
    ]
    parts.append(
        (
            palm + along * 4 * thumb * unit,
            palm + along * 5.8 * thumb * unit - back * 4 * unit,
            2.2,
            1.0,
        )
    )
    spread = rng.uniform(1.0, 1.35)
    bent = rng.uniform(0.6, 1.0)
    for finger in range(4):
        offset = (finger - 1.5) * 1.9
        root = palm + along * offset * unit - back * 2.5 * unit
        length = (6.5 - 0.7 * abs(finger - 1.4)) * bent
        parts.append(
            (
                root,
                root + (along * offset * (spread - 1) - back * length) * unit,
                1.75,
                1 - 0.05 * (finger % 2),
            )
        )
    for first, last, width, shade in parts:
        for share, tone in ((1.0, 0.6), (0.84, 0.92), (0.45, 1.04)):
            _line(picture, (first, last), skin * shade * tone, width * unit * share)


def _draw_thing(
    picture: np.ndarray,
    head: Head,
    light: float,
    rng: np.random.Generator,
    size: tuple[float, float],
    bright: tuple[float, float],
    corner: float,
) -> None:
    """A flat thing over a place at the face.

    Args:
      size: its width and height, cm. bright: range of its grey levels.
      corner: from 0, a rectangle, to 1, an ellipse.
    """
    width, height = size
    grey = rng.uniform(*bright)
    colour = light * linear(0.6 * grey + 0.4 * rng.uniform(10, 230, 3))
    centre = _anywhere(head, rng) + rng.normal(0, 1.5 * head.scale, 2)
    angle = np.linspace(0, 2 * np.pi, 60)
    x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** corner * width / 2
    y = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** corner * height / 2
    turn = np.deg2rad(rng.uniform(-40, 40))
    cosine, sine = np.cos(turn), np.sin(turn)
    outline = centre + head.scale * np.stack([cosine * x - sine * y, sine * x + cosine * y], 1)
    side = len(picture)
    across = np.linspace(0.75, 1.25, side, dtype=np.float32)[None, :, None]
    _paste(picture, soft_mask(outline, side, 0.8), colour * across)
    inner = centre + 0.85 * (outline - centre)
    _paste(picture, 0.5 * soft_mask(inner, side, 1.5), colour * rng.uniform(0.4, 1.5))


def _draw_phone(
    picture: np.ndarray, scene: Scene, head: Head, light: float, rng: np.random.Generator
) -> None:
    _draw_thing(picture, head, light, rng, (7.5, 15), (5, 60), 0.15)


def _draw_cup(
    picture: np.ndarray, scene: Scene, head: Head, light: float, rng: np.random.Generator
) -> None:
    size = (rng.uniform(5, 9), rng.uniform(6, 11))
    _draw_thing(picture, head, light, rng, size, (30, 240), 0.35)


def _draw_microphone(
    picture: np.ndarray, scene: Scene, head: Head, light: float, rng: np.random.Generator
) -> None:
    """A ball on a stick, below or beside the mouth."""
    ball = head.landmarks[57] + head.scale * np.array([rng.normal(0, 3), rng.uniform(1, 4)])
    foot = ball + head.scale * np.array([rng.normal(0, 8), 22])
    dark = light * linear(np.full(3, rng.uniform(8, 60)))
    _line(picture, (ball, foot), dark, 2.2 * head.scale)
    for share, tone in ((1.0, 1.0), (0.7, 1.6), (0.3, 2.2)):
        radius = max(1, round(2.4 * head.scale * share))
        centre = np.rint(ball - (1 - share) * 0.6 * head.scale).astype(int).tolist()
        cv2.circle(picture, centre, radius, (dark * tone).tolist(), -1, cv2.LINE_8)


def _draped(picture: np.ndarray, head: Head) -> np.ndarray:
    """The shading of what cloth lies on, about 1: float32 [S, S, 1]."""
    grey = cv2.GaussianBlur(picture.mean(2), (0, 0), 1.2 * head.scale)
    of_face = head.landmarks[[2, 14, 30, 48, 54, 8]].astype(int).clip(0, len(picture) - 1)
    usual = grey[of_face[:, 1], of_face[:, 0]].mean()
    return np.clip(grey / (usual + 1e-3), 0.35, 1.5)[..., None]


def _draw_mask(
    picture: np.ndarray, scene: Scene, head: Head, light: float, rng: np.random.Generator
) -> None:
    """A mask over mouth and nose."""
    colour = light * linear(
        [(200, 222, 235), (235, 235, 235), (25, 25, 28), rng.uniform(40, 220, 3)][rng.integers(4)]
    )
    outline = head.landmarks[list(_MASK)].copy()
    outline += 0.06 * (outline - head.landmarks[51])
    shade = _draped(picture, head)
    for landmark, ear in ((2, 0), (14, 16)):
        _line(picture, head.landmarks[[landmark, ear]], 0.9 * colour, 0.3 * head.scale)
    _paste(picture, soft_mask(outline, len(picture), 0.8), colour * shade)
    for fold in np.linspace(0.3, 0.75, 3):
        points = (1 - fold) * head.landmarks[[3, 33, 13]] + fold * head.landmarks[[6, 8, 10]]
        _line(picture, points, 0.7 * colour, 1)


def _draw_scarf(
    picture: np.ndarray, scene: Scene, head: Head, light: float, rng: np.random.Generator
) -> None:
    """Cloth up to the chin, or to the mouth."""
    colour = light * linear(0.5 * rng.uniform(15, 235, 3) + 0.5 * rng.uniform(15, 235))
    height = rng.uniform(-2.5, 2.0)
    edge = [(-9, -0.5), (-6.5, -1.2), (0, -0.2), (6.5, -1.2), (9, -0.5), (13, -14), (-13, -14)]
    offsets = np.array([(x, y + height, 2.0 - 0.06 * x * x) for x, y in edge])
    side = len(picture)
    folds = cv2.resize(
        rng.uniform(0.6, 1.3, (14, 4)).astype(np.float32),
        (side, side),
        interpolation=cv2.INTER_CUBIC,
    )
    mask = soft_mask(head.pixels(_CHIN, offsets), side, 1.5)
    _paste(picture, mask, 0.8 * colour * folds[..., None])


def _draw_hat(
    picture: np.ndarray, scene: Scene, head: Head, light: float, rng: np.random.Generator
) -> None:
    """A woollen hat, or a cap with a visor."""
    colour = 0.8 * light * linear(0.5 * rng.uniform(15, 235, 3) + 0.5 * rng.uniform(15, 235))
    low, tall = rng.uniform(4.6, 6.0), rng.uniform(7.0, 10.5)
    wide = 8.6 + 0.5 * scene.person.hair_volume
    angle, lift = np.meshgrid(np.linspace(0, 2 * np.pi, 40), np.linspace(0, np.pi / 2, 8))
    dome = np.stack(
        [
            wide * np.cos(angle) * np.cos(lift),
            low + tall * np.sin(lift) - 1.5 * (1 - np.sin(angle)) * np.cos(lift),
            -7.5 + 10.5 * np.sin(angle) * np.cos(lift),
        ],
        -1,
    ).reshape(-1, 3)
    side = len(picture)
    outward = dome - np.array([0, low, -7.5])
    faces = (outward @ head.rotation.T)[:, 2] > -0.05 * tall  # the rim at the back is hidden
    outline = _hull(head.pixels(_BRIDGE, dome[faces]))
    top, bottom = outline[:, 1].min(), outline[:, 1].max()
    rows = (np.arange(side, dtype=np.float32) - top) / max(bottom - top, 1)
    shade = np.interp(rows, (0, 0.6, 1), (1.15, 1.0, 0.6)).astype(np.float32)[:, None, None]
    stitches = 1 + 0.12 * rng.standard_normal((side // 3 + 1, side // 3 + 1), dtype=np.float32)
    knit = cv2.resize(stitches, (side, side), interpolation=cv2.INTER_LINEAR)
    mask = soft_mask(outline, side, 1.0)
    rim = dome[:20]  # its front half, below which the face shows
    below = np.concatenate([rim, rim[::-1] - np.array([0, 40.0, 0])])
    mask = mask * (1 - soft_mask(head.pixels(_BRIDGE, below), side, 0.8))
    _paste(picture, mask, colour * shade * knit[..., None])
    if rng.random() < 0.5:
        angle = np.linspace(0, np.pi, 24)
        visor = np.stack(
            [
                0.85 * wide * np.cos(angle),
                np.full(24, low - 0.6) - 1.2 * np.sin(angle),
                1.5 + rng.uniform(5, 7.5) * np.sin(angle),
            ],
            1,
        )
        brim = np.concatenate([visor, visor[::-1] * (1, 1, 0) + (0, 0.8, 2.0)])
        outline = _hull(head.pixels(_BRIDGE, brim))
        _paste(picture, soft_mask(outline, side, 0.8), 0.7 * colour)


def _hull(points: np.ndarray) -> np.ndarray:
    return cv2.convexHull(points.astype(np.float32))[:, 0].astype(float)


def _draw_strands(
    picture: np.ndarray, scene: Scene, head: Head, light: float, rng: np.random.Generator
) -> None:
    """Strands of hair that fall over one side of the face."""
    side_of_face = 1 if rng.random() < 0.5 else -1
    colour = 0.9 * light * scene.person.hair
    for _ in range(int(rng.integers(30, 110))):
        start = rng.uniform((-1, 7.5), (4, 9.5))
        end = start + rng.uniform((2.0, -15), (5.5, -7))
        share = np.linspace(0, 1, 10)[:, None]
        bow = np.sin(np.pi * share) * rng.uniform(0.3, 1.8)
        flat = start * (1 - share) + end * share + bow * (1, 0)
        offsets = np.column_stack(
            [side_of_face * flat[:, 0], flat[:, 1], 1.5 - 0.06 * flat[:, 0] ** 2]
        )
        tone, thick = rng.uniform(0.5, 1.4), rng.uniform(0.05, 0.25) * head.scale
        _line(picture, head.pixels(_BRIDGE, offsets), colour * tone, thick)


OCCLUDERS: dict[str, Callable] = {
    "hand": _draw_hand,
    "phone": _draw_phone,
    "cup": _draw_cup,
    "microphone": _draw_microphone,
    "mask": _draw_mask,
    "scarf": _draw_scarf,
    "hat": _draw_hat,
    "strands": _draw_strands,
}
