"""Renders a scene's face before a given backdrop: shape, paint, light and the view of a camera."""

import dataclasses
import functools

import numpy as np

from au_jax.data.rendered_faces import expression, folds, hair, rasterizer, skin
from au_jax.data.rendered_faces.face_kit import FaceKit
from au_jax.data.rendered_faces.falloff import ramp
from au_jax.data.rendered_faces.scene import Scene, View
from au_jax.data.rendered_faces.skin import Paint
from au_jax.data.rendered_faces.unwrapping import TEXEL, skin_of

FACE_WIDTH = 14.7  # cm, what `View.width` measures
FACE_FRONT = 4.0  # z in cm, where it is measured
PIVOT = np.array([0.0, -6.0, 0.0], np.float32)  # the head turns about this point, cm
BODY = 0.3  # the share of yaw that the body turns with the head; less of pitch and roll
NECK = (8.0, 15.0)  # cm below the eyes: head down to the first, body from the second
SHADOW_CELLS, SHADOW_REACH, SHADOW_BIAS = 160, 20.0, 0.6


@dataclasses.dataclass(frozen=True)
class Rendered:
    """A face before its backdrop.

    Attributes:
      image: float32 [S, S, 3], linear RGB, S = size * supersampling; not clipped at 1.
      landmarks: float32 [68, 2], x and y in pixels of the picture ([size, size]), as Multi-PIE.
      vertices: float32 [V, 3], of all vertices of the kit: x and y in pixels of the picture, and
        how far towards the camera, cm.
      depth: float32 [S, S], how far towards the camera the surface lies, cm; -inf where there is
        only backdrop.
      rotation: float32 [3, 3], from the head's coordinates to the camera's.
      scale: pixels of the picture per cm at the face's front.
    """

    image: np.ndarray
    landmarks: np.ndarray
    vertices: np.ndarray
    depth: np.ndarray
    rotation: np.ndarray
    scale: float


def rotation(view: View, share: float = 1.0) -> np.ndarray:
    """The turn of the head: float32 [3, 3], from the head's coordinates to the camera's.

    Args:
      share: of the angles, 0 to 1, for what turns with the head only in part (neck, long hair).
    """
    return _turn(view.pitch * share, view.yaw * share, view.roll * share)


def _turn(pitch: float, yaw: float, roll: float) -> np.ndarray:
    p, y, r = np.deg2rad([-pitch, yaw, -roll])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return (about_z @ about_x @ about_y).astype(np.float32)


def render(
    kit: FaceKit,
    paint: Paint,
    scene: Scene,
    backdrop: np.ndarray,
    size: int,
    supersampling: int = 2,
) -> Rendered:
    """Renders a scene's face.

    Args:
      paint: of `scene.person`, by `skin.paint`.
      backdrop: float32 [S, S, 3], linear RGB, what is behind the face; left as it is.
      size: side of the picture, pixels.
      supersampling: S = size * supersampling.
    """
    view, light = scene.view, scene.light
    head = rotation(view)
    body = _turn(view.pitch * BODY / 3, view.yaw * BODY, view.roll * BODY / 2)
    vertices = expression.move(kit, paint.shape, scene) - PIVOT
    lower = _fixed(kit).lower
    vertices = vertices @ head.T * (1 - lower) + vertices @ body.T * lower + PIVOT
    vertices = np.ascontiguousarray(vertices, np.float32)
    normals, cavity = rasterizer.normals_and_cavity(vertices, kit.triangles)

    side = size * supersampling
    scale = view.width * side / FACE_WIDTH
    screen = _project(vertices, vertices[kit.landmarks].mean(0), view, scale, side)
    lamps = np.stack(
        [
            *(light.key, light.key_colour, light.fill, light.fill_colour),
            *(light.above, light.below, np.full(3, light.wrap)),
        ]
    ).astype(np.float32)
    attributes = _attributes(kit, paint, scene, vertices, cavity)

    image = np.array(backdrop, np.float32, order="C")
    depth = np.full((side, side), rasterizer.FAR, np.float32)
    active = expression.activation(scene.person, scene.intensity)
    relief = paint.pores + folds.relief(kit, scene.person, active)
    up = np.ascontiguousarray(head[:, 1])
    clear, flat = np.zeros((2, 2, 4), np.float32), np.zeros((2, 2), np.float32)
    eye_relief = np.zeros(paint.eye.shape[:2], np.float32)
    for name, detail, height, blended in (
        ("skin", paint.detail, relief, False),
        ("eye", paint.eye, eye_relief, False),
        ("mouth", clear, flat, False),
        ("lashes", clear, flat, True),
    ):
        triangles = _fixed(kit).triangles[name]
        rasterizer.rasterize(
            *(image, depth, screen, normals, attributes, triangles),
            *(detail, height, np.float32(TEXEL), up, lamps, blended),
        )
    pixels = screen / np.array([supersampling, supersampling, 1], np.float32)
    return Rendered(
        image=image,
        landmarks=pixels[kit.landmarks, :2],
        vertices=pixels,
        depth=depth,
        rotation=head,
        scale=scale / supersampling,
    )


def _project(
    vertices: np.ndarray, centre: np.ndarray, view: View, scale: float, side: int
) -> np.ndarray:
    """Perspective: float32 [V, 3], pixels to the right and down, cm towards the camera."""
    focal = scale * (view.distance - FACE_FRONT)
    middle = focal / (view.distance - centre[2]) * centre[:2]
    away = view.distance - vertices[:, 2]
    x = view.centre[0] * side - middle[0] + focal * vertices[:, 0] / away
    y = view.centre[1] * side + middle[1] - focal * vertices[:, 1] / away
    return np.ascontiguousarray(np.stack([x, y, -away], 1), np.float32)


def _attributes(
    kit: FaceKit, paint: Paint, scene: Scene, vertices: np.ndarray, cavity: np.ndarray
) -> np.ndarray:
    """What the rasteriser needs to know of each vertex: float32 [V, 9]."""
    light, fixed = scene.light, _fixed(kit)
    lit = rasterizer.shadow(
        *(vertices, fixed.triangles["skin"], _lamp_axes(light.key)),
        *(SHADOW_CELLS, np.float32(SHADOW_REACH), np.float32(SHADOW_BIAS)),
    )
    # Into a mouth that is hardly open falls hardly any light.
    lips = vertices[kit.landmarks[[62, 66]]]
    enters = 0.3 + 0.7 * ramp(np.linalg.norm(lips[0] - lips[1]), 0.1, 0.8)
    reached = np.where(fixed.mouth, enters, 1.0) * fixed.openness
    creases = np.clip(1 - 1.1 * np.maximum(cavity, 0) - 0.25 * np.minimum(cavity, 0), 0.45, 1.12)
    unoccluded = np.where(fixed.inner, 1.0, creases) * reached
    lit = np.where(fixed.inner, lit * reached, lit)

    values = np.zeros((len(vertices), rasterizer.COLUMNS), np.float32)
    values[:, : rasterizer.GLOSS] = paint.colour
    values[:, rasterizer.GLOSS] = paint.gloss
    values[:, rasterizer.OPEN] = unoccluded
    values[:, rasterizer.LIT] = (1 - light.shadow * (1 - lit)) * (0.55 + 0.45 * unoccluded)
    values[fixed.lashes, rasterizer.LIT] = 0.5  # they are too thin for the shadow's map
    values[:, rasterizer.ALPHA] = fixed.opacity * scene.person.lashes
    values[:, rasterizer.ACROSS], values[:, rasterizer.ALONG] = fixed.texels.T
    return values


def _lamp_axes(key: np.ndarray) -> np.ndarray:
    """Rows: to the light's right, up, and towards the lamp: float32 [3, 3]."""
    right = np.cross([0.0, 1.0, 0.05], key)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(key, right), key]).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class _Fixed:
    """What depends on the kit alone.

    Attributes:
      triangles: of "skin", "eye", "mouth" and "lashes": int32 [T, 3].
      inner, mouth, lashes: bool [V], what lies inside the skin, teeth and gums, lashes.
      lower: float32 [V, 1], 0 where a vertex turns with the head to 1 where with the body.
      texels: float32 [V, 2], on the skin's texture or the eye's.
      opacity: float32 [V], of the densest lashes.
      openness: float64 [V], how much of the surroundings' light reaches a vertex by where it lies.
    """

    triangles: dict[str, np.ndarray]
    inner: np.ndarray
    mouth: np.ndarray
    lashes: np.ndarray
    lower: np.ndarray
    texels: np.ndarray
    opacity: np.ndarray
    openness: np.ndarray


@functools.lru_cache(maxsize=2)
def _fixed(kit: FaceKit) -> _Fixed:
    eye, lashes = kit.of("eye"), kit.of("lashes")
    texels = skin_of(kit).texels.copy()
    texels[eye] = skin.eye_texels(kit.neutral[eye])
    texels[~kit.of("face", "head", "eye")] = 0
    opacity = np.zeros(len(kit.neutral), np.float32)
    opacity[lashes] = hair.lash_opacity(kit)
    return _Fixed(
        triangles={
            "skin": kit.triangles_of("face", "head"),
            "eye": kit.triangles_of("eye"),
            "mouth": kit.triangles_of("socket", "gums", "teeth"),
            "lashes": kit.triangles_of("lashes"),
        },
        inner=kit.of("socket", "gums", "teeth", "eye"),
        mouth=kit.of("teeth", "gums"),
        lashes=lashes,
        lower=ramp(-kit.neutral[:, 1], *NECK)[:, None].astype(np.float32),
        texels=texels,
        opacity=opacity,
        openness=_openness(kit),
    )


def _openness(kit: FaceKit) -> np.ndarray:
    x, y, z = np.abs(kit.neutral[:, 0]), kit.neutral[:, 1], kit.neutral[:, 2]
    near_eye = np.exp(-(((x - 3.1) / 1.9) ** 2) - ((y - 3.4) / 1.2) ** 2) * (z > 3)
    under_chin = ramp(-y, 6.5, 8.5) * (z < 9.5)
    found = np.where(kit.of("face"), 1 - 0.22 * near_eye, 1.0) * (1 - 0.45 * under_chin)
    found = np.where(kit.of("teeth", "gums"), 0.2 + 0.75 * ramp(z, 6.5, 10.8), found)
    found = np.where(kit.of("socket"), 0.25, found)
    # The upper lid shades the eyeball, the lids' corners its sides.
    shade = 0.5 * ramp(y, 3.45, 3.95) + 0.25 * ramp(np.abs(x - 3.15), 0.7, 1.3)
    return np.where(kit.of("eye"), 1 - shade, found)
