"""Crops of a face, cut out of an image alike for data preparation and for prediction.

`cut` gives every crop that the package knows; what each means is written at `crop_matrix`. Crops
reach beyond the image where they must; what lies there is black.
"""

import cv2
import numpy as np

from au_jax.errors import unknown
from au_jax.faces.face import Face
from au_jax.faces.mean_face import MEAN_SHAPE
from au_jax.similarity import similarity

# The template of the ArcFace authors for 112 x 112 pixels (Deng et al., 2019): image-left eye,
# image-right eye, nose tip, image-left and image-right mouth corner.
ARCFACE_TEMPLATE = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)

# Crop name -> where the five points lie in it. `five_point` is ours, for the crops of TAL's
# expression AUs, ReCoT (240 px) and EmoCo (256 px), whose papers give no template: it is ArcFace's,
# enlarged to 256 pixels and then shrunk about the middle, so that more of the face is seen.
TEMPLATES = {
    "arcface": ARCFACE_TEMPLATE,
    "five_point": (ARCFACE_TEMPLATE / 112 * 256 - 128) * 0.8 + 128,
}

# The points that OpenFace registers a face by (Baltrusaitis et al., 2016): upper jaw, nose, eyes.
RIGID = np.array(
    [1, 2, 3, 4, 12, 13, 14, 15, 27, 28, 29, 31, 32, 33, 34, 35, 36, 39, 40, 41, 42, 45, 46, 47]
)

# Crop name -> side in pixels.
SIDE = {"arcface": 112, "closeup": 240, "wide": 240, "box": 240, "five_point": 256}

# Pixels per millimetre of the mean face: 1.5 at 240 px is OpenFace's default framing; 1.0 for the
# wider one is ours, as the paper that uses it does not say.
SCALE = {"closeup": 1.5, "wide": 1.0}

# How much longer than the detector's box the side of `box` is: TAL's pose crop (EmotioNet 2020).
BOX_LENGTH = 1.5


def five_points(points: np.ndarray) -> np.ndarray:
    """The templates' five points from the 68: float [5, 2]; an eye is the mean of its outline."""
    return np.stack(
        [
            points[36:42].mean(0),
            points[42:48].mean(0),
            points[30],
            points[48],
            points[54],
        ]
    )


def crop_matrix(face: Face, crop: str) -> np.ndarray:
    """Where an image's pixels come to lie in a crop: float64 [2, 3].

    - `arcface`, 112 px: the five points onto the ArcFace template.
    - `five_point`, 256 px: the five points onto that template enlarged to the crop's side and
      shrunk by 0.8 about its middle, (template / 112 * 256 - 128) * 0.8 + 128.
    - `closeup` and `wide`, 240 px: OpenFace's registration, the 24 rigid points onto the frontal
      mean face, whose 68 points are centred in the crop, at 1.5 and 1.0 pixels per millimetre.
    - `box`, 240 px: the square about the middle of the detector's box, 1.5 times as long as the
      box's longer side, not rotated.

    Raises:
      UserError: `crop` is none of these.
    """
    if crop not in SIDE:
        raise unknown("crop", crop, SIDE)
    side = SIDE[crop]
    if crop in TEMPLATES:
        return similarity(five_points(face.points), TEMPLATES[crop])
    middle = (side - 1) / 2
    if crop == "box":
        left, top, width, height = face.box
        scale = side / max(BOX_LENGTH * max(width, height), 1e-6)
        x, y = left + width / 2, top + height / 2
        return np.array([[scale, 0, middle - scale * x], [0, scale, middle - scale * y]])
    return similarity(face.points[RIGID], MEAN_SHAPE[RIGID, :2] * SCALE[crop] + middle)


def cut(image: np.ndarray, face: Face | None, crop: str) -> np.ndarray:
    """Cuts one crop out of an image.

    Args:
      image: uint8 [H, W, 3].
      face: None gives a black crop: nothing is made up where no face was found.
      crop: a key of `SIDE`; see `crop_matrix`.

    Returns:
      uint8 [side, side, 3].
    """
    if crop not in SIDE:
        raise unknown("crop", crop, SIDE)
    side = SIDE[crop]
    if face is None:
        return np.zeros((side, side, 3), np.uint8)
    matrix = crop_matrix(face, crop)
    scale = np.hypot(matrix[0, 0], matrix[1, 0])
    if scale < 0.5:  # shrunk first, so that a large face is averaged and not sampled
        factor = 0.5 ** np.floor(np.log2(1 / scale))
        image, matrix = _shrunk(image, matrix, factor)
    return cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR)


def _shrunk(image: np.ndarray, matrix: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """`image` shrunk by `factor`, and the matrix that cuts the same crop from it."""
    height, width = image.shape[:2]
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    # Pixel centres: x_small = (x + 0.5) * ratio - 0.5.
    ratio = np.array([size[0] / width, size[1] / height])
    new = matrix.copy()
    new[:, :2] = matrix[:, :2] / ratio
    new[:, 2] = matrix[:, 2] + matrix[:, :2] @ (0.5 / ratio - 0.5)
    return small, new
