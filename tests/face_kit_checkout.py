"""A checkout like ICT-FaceKit's with a head of about 100 vertices, written in a moment."""

from pathlib import Path

import numpy as np
from scipy.spatial import Delaunay

from au_jax.data.rendered_faces.face_kit import (
    BLENDSHAPES,
    IDENTITIES,
    LANDMARKS,
    NEUTRAL,
)

# Landmark on the own right, its mirror image, and the latter's x, y, z in cm.
PAIRS = (
    *((0, 16, 7.4, 3.7, 3.7), (1, 15, 7.3, 1.5, 3.9), (2, 14, 6.9, -0.5, 4.5)),
    *((3, 13, 6.6, -2.4, 5.2), (4, 12, 5.7, -4.5, 6.1), (5, 11, 4.3, -6.2, 7.3)),
    *((6, 10, 3.1, -6.9, 8.8), (7, 9, 1.5, -7.3, 10.3), (17, 26, 5.8, 5.2, 7.9)),
    *((18, 25, 4.9, 6.0, 9.0), (19, 24, 3.8, 6.3, 9.8), (20, 23, 2.4, 6.2, 10.5)),
    *((21, 22, 1.2, 5.9, 10.7), (31, 35, 1.3, -1.1, 10.9), (32, 34, 0.6, -1.1, 11.4)),
    *((36, 45, 4.5, 3.4, 8.6), (37, 44, 3.9, 3.9, 9.4), (38, 43, 2.8, 3.9, 9.5)),
    *((39, 42, 1.8, 3.3, 9.2), (40, 47, 2.7, 3.1, 9.4), (41, 46, 3.9, 3.1, 9.2)),
    *((48, 54, 2.5, -3.5, 10.2), (49, 53, 1.7, -2.8, 11.2), (50, 52, 0.7, -2.4, 11.7)),
    *((59, 55, 1.8, -4.1, 10.9), (58, 56, 1.0, -4.3, 11.4), (60, 64, 2.2, -3.5, 10.1)),
    *((61, 63, 1.0, -3.3, 11.1), (67, 65, 1.1, -3.4, 11.0)),
)
MIDDLE = (
    *((8, 0.0, -7.6, 10.4), (27, 0.0, 3.7, 10.7), (28, 0.0, 2.6, 11.5), (29, 0.0, 1.6, 12.3)),
    *((30, 0.0, 0.4, 13.1), (33, 0.0, -1.2, 11.6), (51, 0.0, -2.5, 11.8), (57, 0.0, -4.4, 11.5)),
    *((62, 0.0, -3.3, 11.3), (66, 0.0, -3.4, 11.3)),
)
SKULL = [(-7.0, 9.0, 2.0), (7.0, 9.0, 2.0), (0.0, 14.0, 1.0), (0.0, 10.0, 8.0)]
PARTS_AT = max(LANDMARKS) + 1  # the vertices after the landmarks'
VERTICES = PARTS_AT + 20
STEP = 0.05  # cm: how far a shape of identity moves
BLINK = 0.7  # cm: how far a blink takes the upper lid down; the eyes are open by 0.8


def neutral() -> np.ndarray:
    """The mean head: float64 [VERTICES, 3]; vertices that no face uses are zero."""
    vertices = np.zeros((VERTICES, 3))
    for right, left, x, y, z in PAIRS:
        vertices[LANDMARKS[right]] = -x, y, z
        vertices[LANDMARKS[left]] = x, y, z
    for landmark, *point in MIDDLE:
        vertices[LANDMARKS[landmark]] = point
    vertices[PARTS_AT : PARTS_AT + 4] = SKULL
    square = np.array([[-0.6, -0.6, 0], [0.6, -0.6, 0], [0.6, 0.6, 0], [-0.6, 0.6, 0]])
    for first, centre in ((4, (3.16, 3.61, 9.0)), (8, (-3.16, 3.61, 9.0)), (12, (0, -3.4, 10.5))):
        vertices[PARTS_AT + first : PARTS_AT + first + 4] = square + centre
    for first, side in ((16, 1), (18, -1)):
        vertices[PARTS_AT + first] = side * 3.8, 3.9, 9.4
        vertices[PARTS_AT + first + 1] = side * 4.0, 4.1, 9.9
    return vertices


def moved(name: str) -> np.ndarray:
    """The vertices of a shape. Those of the own left move for a side L, mirrored for R.

    A blink moves the upper lid alone.
    """
    vertices = neutral()
    x = vertices[:, 0]
    if name in IDENTITIES:
        vertices[:, 2] += STEP * (vertices[:, 2] > 8) * (1 + IDENTITIES.index(name))
    elif name.startswith("eyeBlink"):
        lid = (43, 44) if name.endswith("_L") else (37, 38)
        vertices[[LANDMARKS[mark] for mark in lid], 1] -= BLINK
    elif name.endswith(("_L", "_R")):
        side = 1 if name.endswith("_L") else -1
        up = 0.02 * (1 + BLENDSHAPES.index(name) // 2)
        vertices[side * x > 0] += (side * 0.1, up, 0.05)
    elif name in BLENDSHAPES:
        vertices[vertices[:, 1] < -4] += (0.0, -0.4, 0.0)
    return vertices


def write(folder: Path) -> Path:
    """Writes the checkout into a folder that must not exist yet, and returns the folder."""
    (folder / "FaceXModel").mkdir(parents=True)
    for name in (NEUTRAL, *IDENTITIES, *BLENDSHAPES):
        lines = ["# a comment"] + ["v 0 0 0"] * VERTICES
        vertices = moved(name)
        for place in np.flatnonzero(vertices.any(1)):
            lines[1 + place] = "v " + " ".join(f"{value:.5f}" for value in vertices[place])
        if name == NEUTRAL:
            lines += faces()
        (folder / "FaceXModel" / f"{name}.obj").write_text("\n".join(lines) + "\n")
    return folder


def faces() -> list[str]:
    """The lines of an OBJ file that name materials and faces, counted from 1, with textures."""
    used = np.array([*LANDMARKS, PARTS_AT + 3])
    vertices = neutral()
    corners = used[Delaunay(vertices[used, :2]).simplices]
    a, b, c = (vertices[corners[:, k], :2] for k in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    corners[area < 0] = corners[area < 0][:, ::-1]  # anticlockwise seen from the front
    text = ["usemtl M_Face", *(_face(*triangle) for triangle in corners[abs(area) > 1e-9])]
    first = PARTS_AT
    text += ["usemtl M_BackHead", _face(first, first + 3, first + 2)]
    text += [_face(first + 3, first + 1, first + 2)]
    for material, start in (("M_ScleraLeft", 4), ("M_ScleraRight", 8), ("M_Teeth", 12)):
        text += [f"usemtl {material}", _face(*range(first + start, first + start + 4))]
    text += ["usemtl M_LacrimalFluid", _face(LANDMARKS[0], LANDMARKS[1], LANDMARKS[2])]
    text += ["usemtl M_EyeLashes", _face(first + 16, first + 17, LANDMARKS[44])]
    return [*text, _face(first + 18, first + 19, LANDMARKS[37])]


def _face(*corners: int) -> str:
    return "f " + " ".join(f"{corner + 1}/{number + 1}" for number, corner in enumerate(corners))
