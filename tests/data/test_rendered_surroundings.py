"""What is drawn behind and before a rendered face."""

import dataclasses

import numpy as np
import pytest

from au_jax.data.rendered_faces.backdrops import BACKDROPS, backdrop, soft_mask
from au_jax.data.rendered_faces.face_render import rotation
from au_jax.data.rendered_faces.occluders import OCCLUDERS, Head, cover
from au_jax.data.rendered_faces.population import sample_scene
from au_jax.data.rendered_faces.scene import Glasses
from au_jax.faces.mean_face import MEAN_SHAPE

SIDE = 96
GLASSES = Glasses("round", 1.8, 1.4, 0.3, np.array([1.0, 0, 0]), 0.0)


def scene_of(**changes):
    scene = sample_scene("everyday", 0, "opt", 0)
    person = dataclasses.replace(
        scene.person, glasses=changes.pop("glasses", None), hair_length=changes.pop("hair", "short")
    )
    return dataclasses.replace(scene, **{"person": person, "occluder": "none"} | changes)


@pytest.fixture(scope="module")
def head():
    """A mean face that looks into the camera, 3.5 pixels per centimetre, before a flat surface."""
    shape = MEAN_SHAPE / np.ptp(MEAN_SHAPE[:, 0]) * 14.7
    return Head(
        landmarks=SIDE / 2 + 3.5 * shape[:, :2],
        near=np.zeros(68),
        rotation=np.eye(3),
        scale=3.5,
        depth=np.zeros((SIDE, SIDE)),
    )


@pytest.fixture(scope="module")
def grey():
    return np.full((SIDE, SIDE, 3), 0.3, np.float32)


@pytest.mark.parametrize("kind", BACKDROPS)
def test_backdrops_are_light_that_a_seed_decides(kind):
    first, again, other = (
        backdrop(scene_of(backdrop=kind, seed=seed), SIDE, np.eye(3)) for seed in (1, 1, 2)
    )
    assert first.shape == (SIDE, SIDE, 3)
    assert first.dtype == np.float32
    assert first.min() >= 0
    assert first.std() > 0.005
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 0.01


@pytest.mark.parametrize("roll", [-40.0, 40.0])
def test_shoulders_lean_to_the_side_that_the_head_leans_to(roll):
    view = dataclasses.replace(scene_of().view, roll=roll, width=0.3, centre=np.array([0.5, 0.3]))
    pictures = []
    for colour in (0.0, 1.0):
        scene = scene_of(view=view)
        person = dataclasses.replace(scene.person, clothes=np.full(3, colour))
        pictures.append(backdrop(dataclasses.replace(scene, person=person), SIDE, np.eye(3)))
    clothes = np.abs(pictures[0] - pictures[1]).max(2) > 0.05
    left, right = clothes[:, SIDE // 2 - 24].argmax(), clothes[:, SIDE // 2 + 24].argmax()
    assert min(left, right) > SIDE // 3  # there are clothes in both
    own_left = rotation(view) @ (1, 0, 0)  # to the picture's right in a head that is upright
    assert np.sign(left - right) == np.sign(own_left[1])


def test_long_hair_hangs_beside_the_face():
    short, long = (backdrop(scene_of(hair=hair), SIDE, np.eye(3)) for hair in ("short", "long"))
    changed = np.abs(short - long).max(2) > 1e-3
    assert changed.mean() > 0.05
    assert not changed[:, 0].any()


@pytest.mark.parametrize("kind", OCCLUDERS)
def test_things_before_the_face_hide_some_of_it(kind, head, grey):
    for seed in range(4):
        scene = scene_of(occluder=kind, seed=seed)
        picture = cover(grey, scene, head)
        np.testing.assert_array_equal(picture, cover(grey, scene, head))
        assert np.isfinite(picture).all()
        assert picture.min() >= 0
        assert 0.005 < (picture != grey).any(2).mean() < 0.8
    assert (grey == np.float32(0.3)).all()  # left as it was


def test_a_mask_hides_the_mouth_and_leaves_the_eyes(head, grey):
    hidden = (cover(grey, scene_of(occluder="mask"), head) != grey).any(2)
    x, y = head.landmarks.astype(int).T
    assert hidden[y[48:68], x[48:68]].all()
    assert not hidden[y[36:48], x[36:48]].any()


def test_a_hat_leaves_the_eyes_whichever_way_the_head_nods(head, grey):
    for nod in (-30, 0, 30):
        cosine, sine = np.cos(np.deg2rad(nod)), np.sin(np.deg2rad(nod))
        turn = np.array([[1, 0, 0], [0, cosine, sine], [0, -sine, cosine]])
        for seed in range(6):
            scene = scene_of(occluder="hat", seed=seed)
            hidden = cover(grey, scene, dataclasses.replace(head, rotation=turn)) != grey
            x, y = head.landmarks[[37, 40, 43, 46]].astype(int).T
            assert nod < 0 or not hidden[y, x].any(), (nod, seed)


def test_no_frame_of_glasses_shines_through_the_head(head, grey):
    """Where the surface is nearer to the camera than the frame, there is no frame."""
    scene = scene_of(glasses=GLASSES)
    drawn = (cover(grey, scene, head) != grey).any(2)
    nose, eye = head.landmarks[27].astype(int), head.landmarks[[36, 39]].mean(0).astype(int)
    assert drawn[nose[1] - 3 : nose[1] + 4, nose[0]].any()
    assert not drawn[eye[1], eye[0]]
    hidden = dataclasses.replace(head, depth=np.full((SIDE, SIDE), 5.0))
    np.testing.assert_array_equal(cover(grey, scene, hidden), grey)


def test_a_soft_mask_fills_its_outline():
    square = np.array([[4.0, 4], [12, 4], [12, 12], [4, 12]])
    mask = soft_mask(square, 16, 0.5)
    assert mask.shape == (16, 16, 1)
    assert mask[8, 8] == 1
    assert mask[0, 0] == 0
    assert abs(mask.sum() - 81) < 1
