import cv2
import numpy as np
import pytest

from au_jax.errors import UserError
from au_jax.faces import align
from au_jax.faces.face import Face, by_relevance, overlap
from au_jax.faces.mean_face import MEAN_SHAPE

NAN = np.full(3, np.nan, np.float32)


def frontal(scale=2.0, angle=0.0, shift=(150.0, 120.0)) -> Face:
    turn = np.radians(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = (MEAN_SHAPE[:, :2] * scale) @ rotation.T + shift
    return Face(np.array([100, 80, 100, 60], np.float32), 1.0, points.astype(np.float32), NAN)


def test_openface_framing_has_one_and_a_half_pixels_per_millimetre():
    face = frontal(scale=2.0, angle=25.0)
    for crop, scale in (("closeup", 1.5), ("wide", 1.0)):
        matrix = align.crop_matrix(face, crop)
        placed = face.points @ matrix[:, :2].T + matrix[:, 2]
        np.testing.assert_allclose(placed, MEAN_SHAPE[:, :2] * scale + 119.5, atol=1e-3)


# Worked out by hand: each coordinate of ArcFace's template times 16/7, drawn towards 128 by 0.8.
FIVE_POINT_TEMPLATE = np.array(
    [
        [95.6244, 120.1304],
        [160.0582, 119.7740],
        [128.0461, 156.7755],
        [101.5759, 194.4969],
        [154.9347, 194.2018],
    ]
)


def turned_face() -> tuple[Face, np.ndarray]:
    """A face whose five points are ArcFace's template, turned and enlarged; and these points."""
    points = frontal().points.copy()
    turned = align.ARCFACE_TEMPLATE @ np.array([[0, 3.0], [-3.0, 0]]) + [400, 40]
    points[36:42], points[42:48] = turned[0], turned[1]
    points[30], points[48], points[54] = turned[2:]
    return Face(np.zeros(4), 1.0, points, NAN), turned


@pytest.mark.parametrize(
    ("crop", "template"),
    [("arcface", align.ARCFACE_TEMPLATE), ("five_point", FIVE_POINT_TEMPLATE)],
)
def test_the_five_points_land_on_the_template(crop, template):
    face, turned = turned_face()
    matrix = align.crop_matrix(face, crop)
    placed = turned @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(placed, template, atol=1e-3)


@pytest.mark.parametrize("point", range(5))
def test_five_point_shows_each_point_at_its_place(point):
    face, turned = turned_face()
    image = np.zeros((450, 450, 3), np.uint8)
    cv2.circle(image, np.rint(turned[point]).astype(int).tolist(), 6, (255, 255, 255), -1)
    crop = align.cut(image, face, "five_point")
    assert crop.shape == (256, 256, 3)
    rows, columns = np.nonzero(crop[..., 0] > 127)
    np.testing.assert_allclose([columns.mean(), rows.mean()], FIVE_POINT_TEMPLATE[point], atol=0.6)


def test_box_is_square_and_half_as_long_again_and_upright():
    face = frontal(angle=40.0)  # box: left 100, top 80, 100 x 60, so 150 px about (150, 110)
    matrix = align.crop_matrix(face, "box")
    corners = np.array([[75, 35], [225, 185.0]]) @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(corners, [[-0.5, -0.5], [239.5, 239.5]], atol=1e-4)
    assert matrix[0, 1] == matrix[1, 0] == 0


def test_cut_shows_the_same_face_at_any_size_and_turn():
    rng = np.random.default_rng(2)
    coarse = rng.integers(0, 256, (12, 12, 3), np.uint8)
    image = cv2.resize(coarse, (300, 300), interpolation=cv2.INTER_CUBIC)
    face = frontal(scale=1.2, shift=(150, 150))
    small = align.cut(image, face, "wide").astype(float)
    large_image = cv2.resize(image, (1500, 1500), interpolation=cv2.INTER_CUBIC)
    large = Face(face.box * 5, 1.0, (face.points + 0.5) * 5 - 0.5, NAN)
    turn = cv2.getRotationMatrix2D((150, 150), 30, 1)
    turned_image = cv2.warpAffine(image, turn, (300, 300))
    turned = Face(face.box, 1.0, face.points @ turn[:, :2].T + turn[:, 2], NAN)
    middle = slice(60, 180)  # away from what the rotation cut off
    for other in (align.cut(large_image, large, "wide"), align.cut(turned_image, turned, "wide")):
        assert np.abs(small - other)[middle, middle].mean() < 3


def test_what_lies_outside_the_image_and_what_has_no_face_is_black():
    white = np.full((50, 50, 3), 255, np.uint8)
    face = frontal(scale=1.0, shift=(0, 0))
    crop = align.cut(white, face, "wide")
    shown = np.argwhere(crop.min(2) > 127)  # the face is at the image's corner, and at the middle
    np.testing.assert_allclose([shown.min(0), shown.max(0)], [[119, 119], [169, 169]], atol=1)
    assert crop[:118].max() == crop[:, :118].max() == crop[171:].max() == crop[:, 171:].max() == 0
    none = align.cut(white, None, "arcface")
    assert none.shape == (112, 112, 3)
    assert not none.any()


def test_unknown_crop():
    with pytest.raises(UserError, match="unknown crop 'huge'; known: arcface, closeup, wide, box"):
        align.cut(np.zeros((9, 9, 3), np.uint8), frontal(), "huge")


def test_overlap_and_order():
    boxes = np.array([[0, 0, 10, 10], [5, 0, 10, 10], [100, 100, 40, 40.0]])
    np.testing.assert_allclose(overlap(boxes[0], boxes), [1, 50 / 150, 0])
    assert by_relevance(boxes, None) == [2, 0, 1]
    assert by_relevance(boxes, np.array([4, 0, 10, 10])) == [1, 0]
