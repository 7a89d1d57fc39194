"""A rendered face: where it lies, what it is drawn over, its folds and its paint."""

import numpy as np
import pytest

pytest.importorskip("numba", reason="rendered faces need Numba: pip install -e '.[render]'")

from au_jax.data.rendered_faces import expression, face_kit, face_render, folds, skin, unwrapping
from tests import face_kit_checkout
from tests.rendered_scenes import PERSON, changed, scene

SIZE = 64


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    checkout = face_kit_checkout.write(tmp_path_factory.mktemp("raw") / "ICT-FaceKit")
    return face_kit.load(checkout, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def paint(kit):
    return skin.paint(kit, PERSON)


def render(kit, paint, shown, backdrop=0.2):
    image = np.full((2 * SIZE, 2 * SIZE, 3), backdrop, np.float32)
    return face_render.render(kit, paint, shown, image, SIZE)


def test_a_frontal_face_has_its_width_and_place(kit, paint):
    done = render(kit, paint, scene({}))
    assert done.image.shape == (2 * SIZE, 2 * SIZE, 3)
    assert done.landmarks.shape == (68, 2)
    assert done.landmarks[:, 0].mean() == pytest.approx(SIZE / 2, abs=0.05)
    # 14.7 cm at z = 4 cm are 0.6 of the picture; landmarks 0 and 16 are 14.8 cm apart at z = 3.7.
    across = done.landmarks[16, 0] - done.landmarks[0, 0]
    assert across == pytest.approx(0.6 * SIZE * 14.8 / 14.7 * (80 - 4) / (80 - 3.7), rel=1e-3)
    assert done.scale == pytest.approx(0.6 * SIZE / 14.7)
    np.testing.assert_array_equal(done.vertices[kit.landmarks, :2], done.landmarks)


@pytest.mark.parametrize(
    ("pose", "axis", "sign"),
    [((0, 30, 0), 0, 1), ((20, 0, 0), 1, -1), ((0, -30, 0), 0, -1), ((-20, 0, 0), 1, 1)],
)
def test_the_nose_points_where_the_pose_says(kit, paint, pose, axis, sign):
    """Yaw > 0 is to the picture's right, pitch > 0 upwards."""
    marks = render(kit, paint, scene({}, pose=pose)).landmarks
    straight = render(kit, paint, scene({})).landmarks

    def ahead(of):  # the tip of the nose against the eyes' outer corners
        return (of[30] - of[[36, 45]].mean(0))[axis]

    assert sign * (ahead(marks) - ahead(straight)) > 1


def test_roll_tilts_clockwise_in_the_picture(kit, paint):
    marks = render(kit, paint, scene({}, pose=(0, 0, 20))).landmarks
    across = marks[45] - marks[36]
    assert np.degrees(np.arctan2(across[1], across[0])) == pytest.approx(20, abs=0.5)


def test_the_turn_is_the_product_of_its_parts():
    view = scene({}, pose=(0, 90, 0)).view
    np.testing.assert_allclose(face_render.rotation(view) @ [0, 0, 1], [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(
        face_render.rotation(view, 0.5) @ [0, 0, 1], [np.sqrt(0.5), 0, np.sqrt(0.5)], atol=1e-6
    )


def test_the_face_covers_the_backdrop_and_nothing_else(kit, paint):
    dark, bright = (render(kit, paint, scene({}), value) for value in (0.1, 0.9))
    behind = np.isinf(dark.depth)
    assert 0.1 < behind.mean() < 0.9
    assert (dark.image[behind] == np.float32(0.1)).mean() > 0.99  # lashes may stand over it
    solid = ~behind & np.isclose(dark.image, bright.image).all(2)
    assert solid.sum() > 0.99 * (~behind).sum()
    # The nose's tip, 13.1 cm out, is 80 - 13.1 cm from the camera.
    assert dark.depth.max() == pytest.approx(-(80 - 13.1), abs=0.3)


def test_the_same_scene_gives_the_same_bytes_and_keeps_the_backdrop(kit):
    backdrop = np.random.default_rng(0).random((2 * SIZE, 2 * SIZE, 3)).astype(np.float32)
    before = backdrop.copy()
    shown = scene({1: 3, 12: (2, 4)}, changed(beard=0.5, freckles=0.5), pose=(5, 20, -5))
    done = [
        face_render.render(kit, skin.paint(kit, shown.person), shown, backdrop, SIZE).image
        for _ in range(2)
    ]
    assert done[0].tobytes() == done[1].tobytes()
    np.testing.assert_array_equal(backdrop, before)


def test_another_seed_paints_another_texture(kit, paint):
    other = skin.paint(kit, changed(seed=2))
    assert not np.array_equal(other.detail, paint.detail)
    assert not np.array_equal(other.pores, paint.pores)


def test_a_bald_head_has_its_own_shape_and_no_hair(kit, paint):
    bald = skin.paint(kit, changed(hair_length="bald", hair_volume=0.0))
    np.testing.assert_array_equal(bald.shape, kit.neutral)
    top = kit.of("head") & (kit.neutral[:, 1] > 13)
    assert (paint.colour[top].mean(1) < 0.1).all()  # hair
    assert (bald.colour[top].mean(1) > 0.3).all()  # skin


def test_an_iris_has_its_colour_and_a_black_pupil(paint):
    middle = skin.EYE_TEXELS // 2
    assert paint.eye[middle, middle, 3] == pytest.approx(1)
    assert paint.eye[middle, middle, :3].max() < 0.01
    ring = paint.eye[middle + round(0.4 / skin.EYE_SIDE * skin.EYE_TEXELS), middle, :3]
    assert ring[0] > ring[1] > ring[2] > 0  # brown, as the person's


def test_denser_lashes_are_darker_and_lie_along_the_eyes(kit, paint):
    """The kit of the tests has two lashes of 1 by 2 mm, some pixels of a large picture."""
    size, scale = 384, 2
    behind = np.full((scale * size, scale * size, 3), 0.2, np.float32)

    def taken(density):
        return face_render.render(kit, paint, scene({}, changed(lashes=density)), behind, size)

    none, some, dense = (taken(density) for density in (0.0, 0.4, 0.8))
    drawn = (dense.image != none.image).any(2)
    assert drawn.sum() > 10
    assert dense.image[drawn].mean() < 0.9 * none.image[drawn].mean()
    np.testing.assert_allclose(dense.image - none.image, 2 * (some.image - none.image), atol=1e-5)
    rows, columns = np.nonzero(drawn)
    lids = scale * none.landmarks[[37, 44]]  # where the kit's lashes grow
    away = np.hypot(columns[:, None] - lids[:, 0], rows[:, None] - lids[:, 1]).min(1)
    assert away.max() < 0.4 * scale * none.scale  # cm


def test_folds_deepen_with_the_action_unit_and_on_its_side(kit):
    def relief(aus):
        shown = scene(aus)
        return folds.relief(kit, PERSON, expression.activation(PERSON, shown.intensity))

    calm, half, full = (relief({4: value}) for value in (0, 2.5, 5))
    assert full.min() < half.min() < calm.min() - 0.01
    changed_at = np.abs(relief({6: (0, 5)}) - calm).max(0)
    middle = unwrapping.COLUMNS // 2
    margin = round(folds.MIDDLE / unwrapping.TEXEL)
    assert changed_at[middle + margin :].max() > 0.03
    assert changed_at[: middle - margin].max() == 0  # the person's own right


def test_texture_coordinates_of_points_round_the_head():
    points = np.array([[0, 15, 11], [9, 0, 2], [-9, 0, 2]])
    quarter = unwrapping.RADIUS * np.pi / 2 / unwrapping.TEXEL
    middle = unwrapping.SIDE / unwrapping.TEXEL
    down = unwrapping.TOP / unwrapping.TEXEL
    expected = [[middle, 0], [middle + quarter, down], [middle - quarter, down]]
    np.testing.assert_allclose(unwrapping.unwrap(points), expected, rtol=1e-6)
