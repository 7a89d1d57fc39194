import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from au_jax.faces.mean_face import MEAN_SHAPE
from au_jax.faces.pose import angles, head_pose

POSES = [(0, 0, 0), (20, 0, 0), (0, 35, 0), (0, 0, -25), (-15, 30, 10), (25, -40, -35)]


def rotation(pitch, yaw, roll):
    """Roll first, then pitch, then yaw, in degrees; x right, y down, z away."""
    return Rotation.from_euler("zxy", [roll, -pitch, -yaw], degrees=True)


@pytest.mark.parametrize("pose", POSES)
def test_angles_undo_rotation(pose):
    np.testing.assert_allclose(angles(rotation(*pose)), pose, atol=1e-3)


def test_signs():
    nose, crown = np.array([0, 0, -1.0]), np.array([0, -1.0, 0])  # x right, y down, z away
    assert rotation(20, 0, 0).apply(nose)[1] < 0  # looks up
    assert rotation(0, 20, 0).apply(nose)[0] > 0  # turns to the image right
    assert rotation(0, 0, 20).apply(crown)[0] > 0  # tilts clockwise


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize("millimetres", [400, 3000])
def test_pose_of_the_projected_mean_face(pose, millimetres):
    """The camera's true distance is unknown to the fit; it may cost some degrees, no more."""
    head = rotation(*pose).apply(MEAN_SHAPE)
    points = head[:, :2] * (3 * millimetres / (millimetres + head[:, 2:])) + [250, 100]
    np.testing.assert_allclose(head_pose(points), pose, atol=5)


def test_pose_does_not_depend_on_place_or_size():
    points = rotation(5, 20, -10).apply(MEAN_SHAPE)[:, :2]
    np.testing.assert_allclose(head_pose(points), head_pose(points * 7 + [900, 3]), atol=1e-2)


def test_points_that_coincide_have_no_pose():
    assert np.isnan(head_pose(np.ones((68, 2)))).all()
    assert np.isnan(head_pose(np.full((68, 2), np.nan))).all()
