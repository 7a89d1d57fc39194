"""The speed of finding and cutting out faces, against the bare models in the same run."""

import time
from pathlib import Path

import cv2
import numpy as np

from au_jax import log
from au_jax.data.image_io import BadImageError, read_image
from au_jax.errors import UserError
from au_jax.faces.align import cut
from au_jax.faces.mediapipe import MediaPipe

_WIDTH, _HEIGHT = 640, 480
_CROPS = ("closeup", "wide")


def show(photograph: Path) -> None:
    """Measures on an image with a face, scaled to fit into 640 x 480, and prints the figures.

    Raises:
      UserError: the file is no image, or shows no face.
    """
    try:
        image, _ = read_image(photograph)
    except BadImageError as bad:
        raise UserError(f"--raw={photograph}: {bad}; give a photograph with a face") from bad
    scale = min(_WIDTH / image.shape[1], _HEIGHT / image.shape[0])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    below, right = _HEIGHT - image.shape[0], _WIDTH - image.shape[1]
    image = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_CONSTANT)
    try:
        figures = measure(image, _CROPS)
    except ValueError as error:
        raise UserError(
            f"no face is found in {photograph}; give a photograph with a face"
        ) from error
    log.say(
        f"on one core, {_WIDTH} x {_HEIGHT}: {figures['images_per_second']:.0f} images/s with "
        f"detection, landmarks, pose and the crops {' and '.join(_CROPS)}; the bare models "
        f"{figures['models_per_second']:.0f}; ratio {figures['ratio']:.2f}"
    )


def measure(image: np.ndarray, crops: tuple[str, ...], seconds: float = 3.0) -> dict[str, float]:
    """Images per second on one core: detection, landmarks, pose and crops, and the models alone.

    The two take turns, so that other work on the machine slows both; each figure is from the
    median of its times.

    Args:
      image: uint8 [H, W, 3], RGB, with a face; 480 x 640 for the figure that this project quotes.
      crops: which crops are cut.
      seconds: how long to measure.

    Returns:
      "images_per_second", "models_per_second" and their "ratio".

    Raises:
      ValueError: no face is found in `image`.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        finder = MediaPipe()
        if finder.find(image)[0] is None:
            raise ValueError("the image to measure with shows no face")
        whole: list[float] = []
        bare: list[float] = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(whole) < 3:
            start = time.perf_counter()
            face, _ = finder.find(image)
            for crop in crops:
                cut(image, face, crop)
            middle = time.perf_counter()
            finder.run_models()
            whole.append(middle - start)
            bare.append(time.perf_counter() - middle)
    finally:
        cv2.setNumThreads(threads)
    seconds_whole, seconds_bare = float(np.median(whole)), float(np.median(bare))
    return {
        "images_per_second": 1 / seconds_whole,
        "models_per_second": 1 / seconds_bare,
        "ratio": seconds_bare / seconds_whole,
    }
