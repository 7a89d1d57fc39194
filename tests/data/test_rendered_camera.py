"""The camera of rendered faces: its tone curve by hand, and each defect."""

import dataclasses

import numpy as np
import pytest

from au_jax.data.rendered_faces import camera
from au_jax.data.rendered_faces.population import sample_scene
from au_jax.data.rendered_faces.scene import Defects


@pytest.fixture(scope="module")
def setting():
    light = sample_scene("everyday", 0, "opt", 0).light
    return dataclasses.replace(light, exposure=2.0, gamma=2.0)


@pytest.fixture
def pattern():
    """Grey levels 0 to 1: float32 [16, 16, 3]."""
    return np.random.default_rng(0).random((16, 16, 3), np.float32)


def rng():
    return np.random.default_rng(5)


def test_light_becomes_grey_levels_by_exposure_shoulder_and_gamma(setting):
    light = np.full((32, 32, 3), 0.25, np.float32)
    expected = (1.12 * 0.5 / (1 + 0.18 * 0.5)) ** 0.5
    np.testing.assert_allclose(camera.expose(light, 16, setting), expected, rtol=1e-5)
    assert camera.expose(8 * light, 16, setting).max() == 1.0
    assert camera.expose(-light, 16, setting).max() == 0.0


def test_supersampled_light_is_averaged_before_the_tone_curve(setting):
    light = np.zeros((4, 4, 3), np.float32)
    light[::2] = 0.5
    even = camera.expose(np.full((2, 2, 3), 0.25, np.float32), 2, setting)
    np.testing.assert_allclose(camera.expose(light, 2, setting), even, rtol=1e-6)


def test_the_picture_is_what_its_file_holds(setting):
    light = np.random.default_rng(1).random((32, 32, 3), np.float32)
    image, data = camera.photograph(light, 16, setting, Defects(jpeg=90), rng())
    assert image.shape == (16, 16, 3)
    assert image.dtype == np.uint8
    assert data.startswith(b"\xff\xd8")
    again, same = camera.photograph(light, 16, setting, Defects(jpeg=90), rng())
    assert data == same
    np.testing.assert_array_equal(image, again)
    worse, small = camera.photograph(light, 16, setting, Defects(jpeg=20), rng())
    sharp = 255 * camera.expose(light, 16, setting)
    assert len(small) < len(data)
    assert np.abs(worse - sharp).mean() > np.abs(image - sharp).mean()


def test_no_defects_leave_the_picture_as_it_is(pattern):
    np.testing.assert_array_equal(camera.degrade(pattern, Defects(), rng()), pattern)


@pytest.mark.parametrize("defect", [{"blur": 1.0}, {"motion": 4.0}, {"downscale": 0.5}])
def test_what_blurs_keeps_the_brightness_and_takes_the_detail(pattern, defect):
    blurred = camera.degrade(pattern, Defects(**defect), rng())
    assert abs(blurred.mean() - pattern.mean()) < 0.02
    assert blurred.std() < 0.75 * pattern.std()


def test_noise_has_its_strength_and_grey_no_colour(pattern):
    noisy = camera.degrade(np.full((64, 64, 3), 0.5, np.float32), Defects(noise=0.1), rng())
    assert abs(noisy.std() - 0.1 * np.hypot(0.85, 0.4)) < 0.005
    grey = camera.degrade(pattern, Defects(grey=True), rng())
    assert np.ptp(grey, axis=2).max() == 0
    np.testing.assert_allclose(grey[..., 0], pattern @ [0.299, 0.587, 0.114], atol=1e-5)
