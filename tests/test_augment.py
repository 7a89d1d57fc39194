"""Augmentation: every operation on small images, true labels, chance, one against eight devices."""

import colorsys
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from au_jax import augment
from au_jax.augment import Augment
from au_jax.errors import UserError

AUS = ("AU01", "AU51", "AU52", "AU55", "AU56")
LUMA = np.array([0.2989, 0.587, 0.114])


def _batch(rows=8, side=12, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (rows, side, side, 3), dtype=np.uint8)
    labels = rng.integers(-1, 2, (rows, len(AUS))).astype(np.int8)
    pose = rng.normal(size=(rows, 3)).astype(np.float32) * 20
    return images, labels, pose


def _apply(config, batch, seed=0, aus=AUS):
    run = jax.jit(functools.partial(augment.augment, config=config, aus=aus))
    return [np.asarray(x) for x in run(jax.random.key(seed), *batch)]


def _floats(rows=6, side=5, seed=1):
    return np.random.default_rng(seed).random((rows, side, side, 3)).astype(np.float32)


def test_nothing_switched_on_returns_the_image_as_floats():
    images, labels, pose = _batch()
    out = _apply(Augment(image_size=12), (images, labels, pose))
    np.testing.assert_allclose(out[0], images / 255, rtol=1e-6)
    np.testing.assert_array_equal(out[1], labels)
    np.testing.assert_array_equal(out[2], pose)
    assert [x.dtype for x in out] == [np.float32, np.int8, np.float32]


def test_probability_zero_leaves_no_trace_in_the_program():
    batch = _batch()

    def lines(config):
        run = functools.partial(augment.augment, config=config, aus=AUS)
        return len(str(jax.make_jaxpr(run)(jax.random.key(0), *batch)).splitlines())

    plain = lines(Augment(image_size=12))
    strong = Augment(image_size=12, hue_strength=0.5, cutout_side=0.9, brightness_strength=1.0)
    assert lines(strong) == plain
    assert lines(Augment(image_size=12, hue=0.5)) > plain


def test_a_crop_is_a_window_of_the_source_and_every_place_comes_up():
    side, size = 4, 3
    images = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(1, side, side, 3).repeat(64, 0)
    _, labels, pose = _batch(64)
    crops = np.rint(_apply(Augment(image_size=size), (images, labels, pose))[0] * 255)
    seen = set()
    for crop in crops:
        top, left = divmod(int(crop[0, 0, 0]) // 3, side)
        np.testing.assert_array_equal(crop, images[0, top : top + size, left : left + size])
        seen.add((top, left))
    assert seen == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_a_flipped_crop_is_a_window_of_the_flipped_source():
    images = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(1, 4, 4, 3).repeat(64, 0)
    _, labels, pose = _batch(64)
    crops = np.rint(_apply(Augment(image_size=3, flip=1.0), (images, labels, pose))[0] * 255)
    windows = [images[0, y : y + 3, x : x + 3][:, ::-1] for y in (0, 1) for x in (0, 1)]
    hits = [[np.array_equal(crop, window) for window in windows] for crop in crops]
    assert np.sum(hits, 1).tolist() == [1] * 64
    assert np.any(hits, 0).all()


def test_a_flip_swaps_left_and_right_labels_and_turns_the_pose():
    images, _, _ = _batch(1)
    labels = np.array([[1, 1, 0, 0, -1]], np.int8)
    pose = np.array([[10.0, 20.0, 30.0]], np.float32)
    flipped = _apply(Augment(image_size=12, flip=1.0), (images, labels, pose))
    np.testing.assert_allclose(flipped[0], images[:, :, ::-1] / 255, rtol=1e-6)
    np.testing.assert_array_equal(flipped[1], [[1, 0, 1, -1, 0]])
    np.testing.assert_array_equal(flipped[2], [[10, -20, -30]])


def test_a_label_whose_mirror_is_not_in_the_list_becomes_unknown_only_when_flipped():
    images, _, pose = _batch(64)
    labels = np.ones((64, 2), np.int8)
    aus = ("AU12", "AU51")
    _, out, turned = _apply(Augment(image_size=12, flip=0.5), (images, labels, pose), aus=aus)
    flipped = turned[:, 1] == -pose[:, 1]
    assert 15 < flipped.sum() < 49
    np.testing.assert_array_equal(out[:, 0], 1)
    np.testing.assert_array_equal(out[:, 1], np.where(flipped, -1, 1))


def test_unknown_pose_stays_unknown():
    images, labels, pose = _batch()
    pose[:] = np.nan
    assert np.isnan(_apply(Augment(image_size=12, flip=1.0), (images, labels, pose))[2]).all()


def test_brightness_contrast_and_saturation_are_torchvisions_formulas():
    images = _floats()
    factor = np.array([0.0, 0.4, 1.0, 1.3, 1.9, 0.7], np.float32)
    f = factor[:, None, None, None]
    grey = (images @ LUMA)[..., None]
    mean = grey.mean((1, 2, 3), keepdims=True)
    cases = {
        augment.adjust_brightness: f * images,
        augment.adjust_contrast: f * images + (1 - f) * mean,
        augment.adjust_saturation: f * images + (1 - f) * grey,
    }
    for operation, expected in cases.items():
        adjusted = jax.jit(operation)(images, factor)
        np.testing.assert_allclose(adjusted, np.clip(expected, 0, 1), atol=1e-6)
        np.testing.assert_array_equal(adjusted[2], images[2])


def test_greyscale_is_the_luma_in_all_three_channels():
    images, labels, pose = _batch()
    out = _apply(Augment(image_size=12, greyscale=1.0), (images, labels, pose))[0]
    np.testing.assert_allclose(out, (images / 255 @ LUMA)[..., None].repeat(3, -1), atol=1e-6)


def test_hue_rotation_equals_colorsys():
    images = _floats(side=8)
    images[0, 0, :4] = [[0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5], [1, 0, 0]]
    turns = np.array([0.1, -0.1, 0.5, -0.5, 0.25, 0.0], np.float32)
    expected = np.zeros_like(images)
    for n, y, x in np.ndindex(images.shape[:3]):
        h, s, v = colorsys.rgb_to_hsv(*images[n, y, x].tolist())
        expected[n, y, x] = colorsys.hsv_to_rgb((h + turns[n]) % 1, s, v)
    np.testing.assert_allclose(jax.jit(augment.adjust_hue)(images, turns), expected, atol=2e-5)


@pytest.mark.parametrize("size", [1, 4, 7, 11, 16])
def test_down_sampling_equals_antialiased_bilinear_there_and_back(size):
    images = _floats(rows=2, side=16)
    planes = torch.from_numpy(images).permute(0, 3, 1, 2)
    resize = functools.partial(torch.nn.functional.interpolate, mode="bilinear")
    small = resize(planes, (size, size), antialias=True, align_corners=False)
    expected = resize(small, (16, 16), align_corners=False).permute(0, 2, 3, 1)
    out = jax.jit(augment.resample)(images, np.full(2, size))
    np.testing.assert_allclose(out, expected.numpy(), atol=1e-5)


def test_down_sampling_draws_a_size_for_each_image():
    images, labels, pose = _batch(32, side=16)
    batch = (images[:1].repeat(32, 0), labels, pose)
    out = _apply(Augment(image_size=16, downsample=1.0, downsample_smallest=0.25), batch)[0]
    sizes = np.arange(4, 17)
    candidates = jax.jit(augment.resample)(
        images[:1].repeat(len(sizes), 0) / np.float32(255), sizes
    )
    distance = np.abs(out[:, None] - np.asarray(candidates)[None]).max((2, 3, 4))
    assert distance.min(1).max() < 1e-5
    assert len(set(distance.argmin(1).tolist())) > 6


def test_cutout_is_one_black_square_of_the_given_side():
    rows, side = 64, 10
    images = np.full((rows, side, side, 3), 255, np.uint8)
    _, labels, pose = _batch(rows)
    out = _apply(Augment(image_size=side, cutout=1.0, cutout_side=0.3), (images, labels, pose))[0]
    corners = set()
    for image in out:
        y, x = np.nonzero(image.sum(-1) == 0)
        assert len(y) == 9
        assert (np.ptp(y), np.ptp(x)) == (2, 2)
        assert (image.sum(-1) == 3).sum() == side * side - 9
        corners.add((int(y.min()), int(x.min())))
    assert len(corners) > 20
    assert np.ptp(np.array(list(corners)), 0).tolist() == [7, 7]


@pytest.mark.parametrize(
    "operation",
    ["brightness", "contrast", "saturation", "hue", "greyscale", "downsample", "cutout"],
)
def test_each_operation_comes_up_as_often_as_its_probability_says(operation):
    images, labels, pose = _batch(400, side=6)
    images = np.clip(images, 40, 215)
    plain = images / np.float32(255)

    def share_changed(probability):
        config = Augment(image_size=6, **{operation: probability}, downsample_smallest=0.1)
        out = _apply(config, (images, labels, pose))[0]
        return (np.abs(out - plain).max((1, 2, 3)) > 1e-4).mean()

    # A factor that happens to be 1 (or a size that is the image's own) changes nothing.
    assert share_changed(1.0) > (0.85 if operation == "downsample" else 0.98)
    # Four standard deviations of 400 draws.
    assert share_changed(0.5) == pytest.approx(0.5, abs=0.1)
    assert share_changed(0.25) == pytest.approx(0.25, abs=0.087)


def test_strength_bounds_the_brightness_factor():
    images = np.full((200, 6, 6, 3), 100, np.uint8)
    _, labels, pose = _batch(200)
    config = Augment(image_size=6, brightness=1.0, brightness_strength=0.2)
    factors = _apply(config, (images, labels, pose))[0][:, 0, 0, 0] * 255 / 100
    assert factors.min() >= 0.8 - 1e-5
    assert factors.max() <= 1.2 + 1e-5
    assert factors.min() < 0.82
    assert factors.max() > 1.18


ALL_ON = Augment(
    image_size=8,
    flip=0.5,
    brightness=0.5,
    contrast=0.5,
    saturation=0.5,
    hue=0.5,
    greyscale=0.2,
    downsample=0.5,
    cutout=0.5,
)


def test_the_same_key_gives_the_same_result_and_another_key_another():
    batch = _batch(16)
    first, again, other = (_apply(ALL_ON, batch, seed) for seed in (0, 0, 1))
    for x, y in zip(first, again, strict=True):
        np.testing.assert_array_equal(x, y)
    changed = np.abs(first[0] - other[0]).max((1, 2, 3)) > 1e-3
    assert changed.mean() > 0.8
    assert first[0].min() >= 0
    assert first[0].max() <= 1


def test_examples_of_one_batch_are_augmented_differently():
    images, labels, pose = _batch(16)
    same = (images[:1].repeat(16, 0), labels, pose)
    out = _apply(ALL_ON, same)[0].round(4)
    assert len(np.unique(out.reshape(16, -1), axis=0)) > 12


def test_switching_one_operation_off_leaves_the_draws_of_the_others():
    batch = _batch(32)
    flips = _apply(Augment(image_size=8, flip=0.5), batch)[2]
    both = _apply(Augment(image_size=8, flip=0.5, cutout=0.5, hue=1.0), batch)[2]
    np.testing.assert_array_equal(flips, both)


@pytest.mark.skipif(jax.device_count() < 8, reason="needs eight (fake) devices")
def test_eight_devices_give_what_one_gives_without_moving_images():
    batch = _batch(16)
    expected = _apply(ALL_ON, batch)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    shard = NamedSharding(mesh, PartitionSpec("data"))
    run = jax.jit(
        functools.partial(augment.augment, config=ALL_ON, aus=AUS), out_shardings=(shard,) * 3
    )
    sharded = jax.device_put(batch, shard)
    out = run(jax.random.key(0), *sharded)
    np.testing.assert_allclose(out[0], expected[0], atol=1e-6)
    np.testing.assert_array_equal(out[1], expected[1])
    np.testing.assert_array_equal(out[2], expected[2])
    program = run.lower(jax.random.key(0), *sharded).compile().as_text()
    for moved in ("all-gather", "all-to-all", "collective-permute", "all-reduce"):
        assert moved not in program


def test_center_crop_takes_the_middle():
    images = jnp.asarray(_batch(2, side=6)[0])
    np.testing.assert_allclose(augment.center_crop(images, 4), images[:, 1:5, 1:5] / 255, rtol=1e-6)


def test_test_crops_are_the_centre_the_corners_and_their_mirror_images():
    images = jnp.asarray(_batch(2, side=6)[0])
    places = [(1, 1), (0, 0), (0, 2), (2, 0), (2, 2)]
    expected = jnp.stack([images[:, y : y + 4, x : x + 4] for y, x in places])
    five, flipped = augment.test_crops(images, 4, "five")
    np.testing.assert_array_equal(five, expected)
    assert five.dtype == np.uint8
    assert flipped == (False,) * 5
    ten, flipped = augment.test_crops(images, 4, "five_flip")
    np.testing.assert_array_equal(ten[:5], expected)
    np.testing.assert_array_equal(ten[5:], expected[:, :, :, ::-1])
    assert flipped == (False,) * 5 + (True,) * 5
    center, flipped = augment.test_crops(images, 4, "center")
    np.testing.assert_array_equal(center, expected[:1])
    assert flipped == (False,)


def test_mistakes_are_named():
    images, labels, pose = _batch(2)
    with pytest.raises(UserError, match=r"image_size 13 does not fit .* 12 x 12"):
        _apply(Augment(image_size=13), (images, labels, pose))
    with pytest.raises(UserError, match="image_size 13"):
        augment.center_crop(jnp.asarray(images), 13)
    with pytest.raises(UserError, match="unknown test crops 'ten'; known: center, five, five_flip"):
        augment.test_crops(jnp.asarray(images), 8, "ten")
