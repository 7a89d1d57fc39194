"""Action units to blendshapes, by hand and by symmetry."""

import numpy as np
import pytest

from au_jax.data.rendered_faces import expression, face_kit
from au_jax.data.rendered_faces.scene import NUMBERS
from tests import face_kit_checkout
from tests.rendered_scenes import changed, scene


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    checkout = face_kit_checkout.write(tmp_path_factory.mktemp("raw") / "ICT-FaceKit")
    return face_kit.load(checkout, tmp_path_factory.mktemp("cache"))


def test_every_au_has_shapes_that_the_kit_holds():
    assert tuple(expression.SHAPES) == NUMBERS
    stems = {stem for shapes in expression.SHAPES.values() for stem, _ in shapes}
    assert stems <= {*face_kit.SIDED, *face_kit.UNSIDED}


def test_a_face_at_rest_uses_no_shape():
    assert expression.weights(scene({})) == {}


@pytest.mark.parametrize(
    ("aus", "expected"),
    [
        ({12: 5}, {"mouthSmile_R": 1.0, "mouthSmile_L": 1.0}),
        ({1: 2.5}, {"browInnerUp_R": 0.55, "browInnerUp_L": 0.55}),
        ({2: (0, 5)}, {"browOuterUp_L": 0.9}),  # the own left alone
        ({4: (5, 0)}, {"browDown_R": 1.5}),
        ({43: (5, 0)}, {"eyeBlink_R": 1.0}),  # 1.9, but a lid closes no farther than 1
        ({25: 5, 26: 5}, {"jawOpen": 0.96, **dict.fromkeys(("mouthLowerDown_R",), 0.6)}),
        ({26: 5}, {"jawOpen": 0.9, "mouthClose": 0.92 * 0.9}),  # behind closed lips
        ({18: (0, 5)}, {"mouthPucker": 0.625}),  # a shape without sides: the mean of them
    ],
)
def test_weights_by_hand(aus, expected):
    found = expression.weights(scene(aus))
    assert {name: found.get(name, 0.0) for name in expected} == pytest.approx(expected)
    if 25 not in aus:
        assert set(found) == set(expected)


def test_rest_gain_and_asymmetry():
    gain = np.ones(len(NUMBERS))
    gain[NUMBERS.index(12)] = 0.8
    person = changed(rest={"mouthSmile": 0.1, "jawOpen": 0.02}, gain=gain, asymmetry=0.1)
    found = expression.weights(scene({12: 5}, person))
    # (0.1 + 0.8) * (1 -+ 0.1) on the right and on the left.
    assert found == pytest.approx({"mouthSmile_R": 0.81, "mouthSmile_L": 0.99, "jawOpen": 0.02})


def test_gaze_to_the_own_left_and_down():
    found = expression.weights(scene({}, gaze=(0.5, -0.25)))
    assert found == pytest.approx(
        {
            **{"eyeLookOut_L": 0.5, "eyeLookIn_R": 0.5},
            **{"eyeLookDown_R": 0.25, "eyeLookDown_L": 0.25},
        }
    )


def test_a_smile_moves_the_vertices_by_its_offsets(kit):
    moved = expression.move(kit, kit.neutral, scene({12: (0, 5)})) - kit.neutral
    up = 0.02 * (1 + kit.names.index("mouthSmile_L") // 2)
    expected = np.where(kit.neutral[:, :1] > 0, np.array([[0.1, up, 0.05]]), 0.0)
    away = kit.neutral[:, 1] > 0  # from the lips, which are kept closed
    np.testing.assert_allclose(moved[away], expected[away], atol=3e-5)


def test_the_corrugator_pulls_brow_heads_together_down_and_forward(kit):
    moved = expression.move(kit, kit.neutral, scene({4: 5}))
    no_shape = kit.neutral.copy()
    for side in "RL":
        number = kit.names.index(f"browDown_{side}")
        no_shape[kit.moved[number]] += np.float32(1.5) * kit.offsets[number]
    pull = (moved - no_shape)[kit.landmarks[22]]  # the own left brow's head, at (1.2, 5.9)
    bell = np.exp(-((0.2 / 1.7) ** 2)) + np.exp(-((2.6 / 1.7) ** 2))
    np.testing.assert_allclose(pull, bell * np.array([-0.38, -0.22, 0.12]), atol=1e-4)


def test_parted_lips_are_closed_unless_au25_parts_them(kit):
    shape = kit.neutral.copy()
    upper, lower = kit.landmarks[[62, 66]]
    shape[upper, 1] += 0.4  # a person whose upper lip is raised
    gap = kit.neutral[upper, 1] - kit.neutral[lower, 1]
    closed = expression.move(kit, shape, scene({}))
    # Closed by 0.4 and the overlap of 0.1; the edges lie 0.05 off the parting line.
    near = np.exp(-((0.05 / 0.9) ** 2))
    assert closed[upper, 1] - closed[lower, 1] == pytest.approx(gap + 0.4 - 0.5 * near, abs=1e-4)
    assert closed[upper, 1] - shape[upper, 1] == pytest.approx(-0.25 * near, abs=1e-4)
    for intensity, share in ((1.5, 1.0), (1.8, 0.4), (2.0, 0.0), (5.0, 0.0)):
        assert expression.lips_closed(scene({25: intensity})) == pytest.approx(share)


def test_a_blink_closes_its_share_of_any_eye(kit):
    shape = kit.neutral.copy()
    shape[kit.landmarks[[37, 38]], 1] += 0.3  # a large right eye, open by 1.1
    shape[kit.landmarks[[43, 44]], 1] -= 0.3  # a small left eye, open by 0.5
    for intensity, left in ((1.0, 1 - 0.38), (2.0, 1 - 0.76), (3.0, 0.0), (5.0, 0.0)):
        moved = expression.move(kit, shape, scene({43: intensity}))
        expected = left * np.array([1.1, 0.5])
        np.testing.assert_allclose(expression.opening(kit, moved), expected, atol=1e-5)


def test_an_eye_goes_back_behind_its_closed_lids(kit):
    moved = expression.move(kit, kit.neutral, scene({43: (0, 5)})) - kit.neutral
    eye = kit.of("eye")
    own_left = kit.neutral[eye, 0] > 0
    assert 0 < own_left.sum() < len(own_left)
    np.testing.assert_allclose(moved[eye][:, 2], np.where(own_left, -0.6, 0), atol=1e-5)


def test_lids_that_other_shapes_let_overlap_meet(kit):
    shape = kit.neutral.copy()
    shape[kit.landmarks[[43, 44]], 1] -= 1.0  # the left lids overlap by 0.2
    opening = expression.opening(kit, expression.move(kit, shape, scene({})))
    np.testing.assert_allclose(opening, [0.8, 0.0], atol=1e-5)


def test_a_mirrored_expression_gives_mirrored_vertices(kit):
    rng = np.random.default_rng(0)
    sides = {number: tuple(rng.uniform(0, 5, 2)) for number in NUMBERS}
    one = scene(sides, changed(asymmetry=0.07), gaze=(0.4, 0.3))
    mirrored = {number: pair[::-1] for number, pair in sides.items()}
    other = scene(mirrored, changed(asymmetry=-0.07), gaze=(-0.4, 0.3))
    at = expression.move(kit, kit.neutral, one)[kit.landmarks]
    mirror = expression.move(kit, kit.neutral, other)[kit.landmarks] * (-1, 1, 1)
    for right, left, *_ in face_kit_checkout.PAIRS:
        np.testing.assert_allclose(at[right], mirror[left], atol=1e-5)
        np.testing.assert_allclose(at[left], mirror[right], atol=1e-5)
