"""Drawn images whose faces are red squares, and a finder of these in the place of the models."""

import cv2
import numpy as np

from au_jax.faces.face import Face
from au_jax.faces.mean_face import MEAN_SHAPE

HEIGHT, WIDTH = 96, 160


def draw(*squares: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """An image uint8 [96, 160, 3], RGB, dim, with a red square (left, top, side) for each face."""
    image = np.random.default_rng(seed).integers(0, 90, (HEIGHT, WIDTH, 3), np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 3)
    for left, top, side in squares:
        image[top : top + side, left : left + side] = (250, 20, 20)
        image[top + side // 2 : top + side // 2 + 4, left + 4 : left + side - 4, 1] = 120
    return image


def find_all(image: np.ndarray) -> list[Face]:
    """The red squares, the largest first; the pose follows from the place."""
    mask = (image[..., 0] > 150).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
    faces = [_face(*box) for *box, _ in sorted(stats[1:].tolist(), key=lambda s: -s[4])]
    return [face for face in faces if face.box[2] >= 10]


def _face(left: int, top: int, width: int, height: int) -> Face:
    box = np.array([left, top, width, height], np.float32)
    points = MEAN_SHAPE[:, :2] * (width / 150) + box[:2] + box[2:] / 2
    pose = np.array([top / 8, left / 4, 3], np.float32)
    return Face(box, 0.75, points.astype(np.float32), pose)


def find_largest(image: np.ndarray) -> list[Face]:
    return find_all(image)[:1]


def write_video(path, frames, codec: str = "MJPG", rate: float = 20) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), rate, (WIDTH, HEIGHT))
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
