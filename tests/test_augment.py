"""Augmentation: every operation on small images, true labels, chance, one against eight devices."""

import colorsys
import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
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
    strong = Augment(
        image_size=12,
        hue_strength=0.5,
        cutout_side=0.9,
        brightness_strength=1.0,
        resized_crop_smallest=0.5,
        blur_largest=9.0,
    )
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


BOXES = [  # top, left, height and width in an image of 20 x 24 pixels, flipped
    (0, 0, 20, 24, False),
    (3, 5, 9, 9, False),
    (3, 5, 9, 9, True),
    (11, 0, 9, 24, True),
    (0, 21, 20, 3, False),
    (19, 23, 1, 1, True),
    (7, 2, 13, 6, True),
]


@pytest.mark.parametrize("size", [1, 5, 9, 16, 31])
def test_a_resized_window_is_the_box_cut_out_and_resized_antialiased(size):
    images = np.random.default_rng(2).random((len(BOXES), 20, 24, 3)).astype(np.float32)
    expected = []
    for image, (top, left, tall, wide, flipped) in zip(images, BOXES, strict=True):
        box = torch.from_numpy(image[top : top + tall, left : left + wide])
        resized = torch.nn.functional.interpolate(
            box.permute(2, 0, 1)[None],
            (size, size),
            mode="bilinear",
            antialias=True,
            align_corners=False,
        )[0].permute(1, 2, 0)
        expected.append(resized.flip(1) if flipped else resized)
    out = jax.jit(augment.resized_window, static_argnums=6)(
        images, *(np.array(column) for column in zip(*BOXES, strict=True)), size
    )
    np.testing.assert_allclose(out, torch.stack(expected).numpy(), atol=1e-5)


def test_a_resized_window_of_the_same_size_is_the_window_to_the_bit():
    images = _floats(rows=4, side=12)
    top, left = np.array([0, 3, 4, 1]), np.array([4, 0, 2, 3])
    flipped, eight = np.array([False, True, True, False]), np.full(4, 8)
    out = jax.jit(augment.resized_window, static_argnums=6)(
        images, top, left, eight, eight, flipped, 8
    )
    expected = jax.jit(augment.window, static_argnums=4)(images, top, left, flipped, 8)
    np.testing.assert_array_equal(out, expected)


def _box_sides(rows, height, width, **fields):
    area, aspect = np.random.default_rng(4).random((2, 10, rows)).astype(np.float32)
    config = Augment(**fields)
    tall, wide = jax.jit(augment.box_sides, static_argnums=(2, 3, 4))(
        area, aspect, height, width, config
    )
    return np.asarray(tall), np.asarray(wide), area, aspect


def test_boxes_have_uniform_areas_and_log_uniform_aspects_where_every_one_fits():
    # No box with half the area at most is wider or higher than the image, so the first try stands.
    fields = {"resized_crop_smallest": 0.2, "resized_crop_aspect": 4 / 3}
    tall, wide, area, aspect = _box_sides(20000, 900, 900, **fields)
    share = tall * wide / 900**2
    ratio = np.log(wide / tall) / np.log(4 / 3)
    assert share.min() == pytest.approx(0.2, abs=0.002)
    assert ratio.min() == pytest.approx(-1, abs=0.01)
    assert ratio.max() == pytest.approx(1, abs=0.01)
    small = area[0] * 0.8 + 0.2 < 0.7
    np.testing.assert_allclose(share[small], area[0][small] * 0.8 + 0.2, atol=0.002)
    np.testing.assert_allclose(ratio[small], aspect[0][small] * 2 - 1, atol=0.02)
    # Among those small enough always to fit, every equal slice holds as many.
    common = share < 0.7
    counts = np.histogram(share[common], bins=10, range=(0.2, 0.7))[0]
    assert counts.max() / counts.min() < 1.25
    counts = np.histogram(ratio[common], bins=10, range=(-1, 1))[0]
    assert counts.max() / counts.min() < 1.25


def test_a_box_that_does_not_fit_gives_way_to_the_first_try_that_does():
    tall, wide, area, aspect = _box_sides(500, 40, 90)
    assert tall.max() <= 40
    assert wide.max() <= 90
    later = 0
    for n in range(500):
        expected = None
        for tries, (share, where) in enumerate(zip(area[:, n], aspect[:, n], strict=True)):
            pixels = 40 * 90 * (0.2 + 0.8 * share)
            ratio = np.exp(np.log(4 / 3) * (2 * where - 1))
            sides = round(np.sqrt(pixels / ratio)), round(np.sqrt(pixels * ratio))
            if sides[0] <= 40 and sides[1] <= 90:
                expected = sides
                later += tries > 0
                break
        # None of the ten: the largest box of the widest allowed aspect.
        assert (tall[n], wide[n]) == (expected or (40, 53))
    assert later > 50


@pytest.mark.parametrize(
    ("height", "width", "expected"), [(10, 200, (10, 13)), (200, 10, (13, 10)), (30, 30, (30, 30))]
)
def test_where_no_try_fits_the_largest_box_of_an_allowed_aspect_is_taken(height, width, expected):
    # Areas of the whole image, with an aspect that cannot fit.
    area, aspect = np.full((10, 3), 0.9999, np.float32), np.full((10, 3), 0.9, np.float32)
    tall, wide = augment.box_sides(jnp.asarray(area), jnp.asarray(aspect), height, width, Augment())
    assert np.stack([tall, wide], 1).tolist() == [list(expected)] * 3


def _recorded(monkeypatch, operation, static=0):
    """The arrays that the engine hands to an operation at each run, the images left out."""
    real, drawn = getattr(augment, operation), []

    def record(images, *arguments):
        arrays = arguments[: len(arguments) - static]
        jax.debug.callback(lambda *seen: drawn.append([np.asarray(x) for x in seen]), *arrays)
        return real(images, *arguments)

    monkeypatch.setattr(augment, operation, record)
    return drawn


def test_resized_crops_are_boxes_inside_the_image_at_every_place(monkeypatch):
    rows, side = 2000, 40
    images, labels, pose = _batch(1, side)[0].repeat(rows, 0), *_batch(rows)[1:]
    drawn = _recorded(monkeypatch, "resized_window", static=1)
    config = Augment(image_size=5, flip=0.5, resized_crop=1.0)
    _, _, turned = _apply(config, (images, labels, pose))
    ((top, left, tall, wide, flipped),) = drawn
    np.testing.assert_array_equal(flipped, turned[:, 1] == -pose[:, 1])
    for start, length in ((top, tall), (left, wide)):
        assert start.min() == 0
        assert (start + length).max() == side
        inside = length < side - 3
        share = start[inside] / (side - length[inside])
        assert share.min() == 0
        assert share.max() == 1
        assert share.mean() == pytest.approx(0.5, abs=0.04)
        # A place is drawn without regard to the box and to the flip.
        assert abs(np.corrcoef(share, length[inside])[0, 1]) < 0.1
        assert abs(np.corrcoef(share, flipped[inside])[0, 1]) < 0.1
    share = tall * wide / side**2
    assert share.min() > 0.19
    assert share.max() > 0.97
    # The largest boxes fit less often, which keeps the mean below 0.6.
    assert share.mean() == pytest.approx(0.57, abs=0.03)
    assert abs(np.log(wide / tall)).max() < np.log(4 / 3) + 0.08


def test_where_the_resized_crop_does_not_apply_the_ordinary_crop_stands():
    batch = _batch(200)
    plain = _apply(Augment(image_size=8, flip=0.5), batch)
    mixed = _apply(Augment(image_size=8, flip=0.5, resized_crop=0.25), batch)
    np.testing.assert_array_equal(mixed[1], plain[1])
    np.testing.assert_array_equal(mixed[2], plain[2])
    same = np.abs(mixed[0] - plain[0]).max((1, 2, 3)) == 0
    assert same.mean() == pytest.approx(0.75, abs=0.12)


def _jittered(image, order, strengths):
    """torchvision's four operations on one image, one after the other, in float64."""
    image = image.astype(np.float64)
    for operation in order:
        strength = float(strengths[operation])
        grey = image @ LUMA
        if operation == 0:
            image = np.clip(strength * image, 0, 1)
        elif operation == 1:
            image = np.clip(strength * image + (1 - strength) * grey.mean(), 0, 1)
        elif operation == 2:
            image = np.clip(strength * image + (1 - strength) * grey[..., None], 0, 1)
        else:
            pixels = [colorsys.rgb_to_hsv(*pixel) for pixel in image.reshape(-1, 3).tolist()]
            turned = [colorsys.hsv_to_rgb((h + strength) % 1, s, v) for h, s, v in pixels]
            image = np.array(turned).reshape(image.shape)
    return image


ORDERS = list(itertools.permutations(range(4)))


def test_jitter_does_the_four_operations_in_the_order_of_each_example():
    images = _floats(rows=24)
    rng = np.random.default_rng(3)
    strengths = rng.uniform([[0.4]] * 3 + [[-0.5]], [[1.6]] * 3 + [[0.5]], (4, 24))
    expected = [_jittered(*each) for each in zip(images, ORDERS, strengths.T, strict=True)]
    backwards = [
        _jittered(i, o[::-1], s) for i, o, s in zip(images, ORDERS, strengths.T, strict=True)
    ]
    out = jax.jit(augment.jitter)(
        images, np.array(ORDERS, np.int32).T, strengths.astype(np.float32)
    )
    np.testing.assert_allclose(out, expected, atol=2e-5)
    # The order matters, in most examples.
    assert (np.abs(out - np.array(backwards)).max((1, 2, 3)) > 0.01).mean() > 0.8


def test_jitter_draws_each_order_as_often_and_strengths_in_their_ranges(monkeypatch):
    batch = _batch(4800, side=3)
    drawn = _recorded(monkeypatch, "jitter")
    config = Augment(
        image_size=3,
        jitter=1.0,
        brightness_strength=0.4,
        contrast_strength=0.3,
        saturation_strength=1.5,
        hue_strength=0.1,
    )
    _apply(config, batch)
    ((order, strengths),) = drawn
    assert (np.sort(order, 0) == np.arange(4)[:, None]).all()
    counts = np.unique(order, axis=1, return_counts=True)[1]
    assert len(counts) == 24
    # Five standard deviations of 4800 draws, 200 in each order.
    assert np.abs(counts - 200).max() < 70
    for drawn, low, high in zip(strengths, (0.6, 0.7, 0, -0.1), (1.4, 1.3, 2.5, 0.1), strict=True):
        assert low <= drawn.min() < low + 0.01 * (high - low)
        assert high >= drawn.max() > high - 0.01 * (high - low)
        assert drawn.mean() == pytest.approx((low + high) / 2, abs=0.03 * (high - low))
    assert np.abs(np.corrcoef(np.vstack([strengths, order[:1]])) - np.eye(5)).max() < 0.07


def test_the_jitter_draws_apart_from_the_operations_of_their_own(monkeypatch):
    batch = _batch(1000, side=3)
    alone, jittered = _recorded(monkeypatch, "adjust_brightness"), _recorded(monkeypatch, "jitter")
    _apply(Augment(image_size=3, brightness=1.0, jitter=1.0), batch)
    ((factor,),), ((_, strengths),) = alone, jittered
    assert abs(np.corrcoef(factor, strengths[0])[0, 1]) < 0.15


def test_images_that_are_jittered_are_so_as_drawn_and_the_others_stay(monkeypatch):
    images, labels, pose = _batch(60, side=5)
    drawn = _recorded(monkeypatch, "jitter")
    out = _apply(Augment(image_size=5, jitter=0.5), (images, labels, pose))[0]
    ((order, strengths),) = drawn
    plain = images * np.float32(1 / 255)
    jittered = np.stack([_jittered(*x) for x in zip(plain, order.T, strengths.T, strict=True)])
    applied = np.abs(out - plain).max((1, 2, 3)) > 0
    assert 15 < applied.sum() < 45
    np.testing.assert_allclose(out[applied], jittered[applied], atol=2e-5)


@pytest.mark.parametrize(("height", "width", "radius"), [(20, 15, 6), (5, 9, 6), (12, 12, 3)])
def test_blur_is_a_gaussian_filter_with_mirrored_edges(height, width, radius):
    sigma = np.array([0.1, 0.5, 1.0, 1.3, 2.0], np.float32)
    images = np.random.default_rng(6).random((5, height, width, 3)).astype(np.float32)
    expected = [
        scipy.ndimage.gaussian_filter(
            image.astype(np.float64), float(s), mode="mirror", radius=radius, axes=(0, 1)
        )
        for image, s in zip(images, sigma, strict=True)
    ]
    out = jax.jit(augment.blur, static_argnums=2)(images, sigma, radius)
    np.testing.assert_allclose(out, expected, atol=2e-6)
    np.testing.assert_array_equal(out[0], images[0])


def test_blur_draws_a_standard_deviation_for_each_image_up_to_the_largest():
    rows = 300
    images = np.zeros((rows, 17, 17, 3), np.uint8)
    images[:, 8, 8] = 255
    _, labels, pose = _batch(rows)
    config = Augment(image_size=17, blur=1.0, blur_smallest=0.5, blur_largest=1.5)
    out = _apply(config, (images, labels, pose))[0][..., 0]
    np.testing.assert_allclose(out.sum((1, 2)), 1, atol=1e-5)
    # The width of a blurred point along one axis; so short a bell as 0.5 is as wide on pixels.
    sigma = np.sqrt((out.sum(1) * (np.arange(17) - 8) ** 2).sum(1))
    assert sigma.min() == pytest.approx(0.47, abs=0.03)
    assert sigma.max() == pytest.approx(1.5, abs=0.05)
    assert sigma.mean() == pytest.approx(1.0, abs=0.07)


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
    [
        "brightness",
        "contrast",
        "saturation",
        "hue",
        "jitter",
        "greyscale",
        "blur",
        "downsample",
        "cutout",
    ],
)
def test_each_operation_comes_up_as_often_as_its_probability_says(operation):
    images, labels, pose = _batch(400, side=6)
    images = np.clip(images, 40, 215)
    plain = images / np.float32(255)

    def share_changed(probability):
        config = Augment(
            image_size=6, **{operation: probability}, downsample_smallest=0.1, blur_smallest=0.3
        )
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
    resized_crop=0.8,
    flip=0.5,
    brightness=0.5,
    contrast=0.5,
    saturation=0.5,
    hue=0.5,
    jitter=0.5,
    greyscale=0.2,
    blur=0.5,
    downsample=0.5,
    cutout=0.5,
)
MOCO_V2 = Augment(
    image_size=8,
    resized_crop=1.0,
    flip=0.5,
    brightness_strength=0.4,
    contrast_strength=0.4,
    saturation_strength=0.4,
    hue_strength=0.1,
    jitter=0.8,
    greyscale=0.2,
    blur=0.5,
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


def test_the_new_operations_leave_the_draws_of_crop_flip_and_colours():
    batch = _batch(64)
    old = Augment(image_size=8, flip=0.5, brightness=0.5, hue=0.5)
    plain = _apply(old, batch)
    # Too rare to come up: the operations are in the program and change nothing.
    rare = _apply(dataclasses.replace(old, jitter=1e-9, blur=1e-9, resized_crop=1e-9), batch)
    for x, y in zip(plain, rare, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-6)
    common = _apply(dataclasses.replace(old, jitter=0.5, blur=0.5), batch)
    np.testing.assert_array_equal(common[1], plain[1])
    np.testing.assert_array_equal(common[2], plain[2])
    # Where neither comes up, an example is as it was.
    same = np.abs(common[0] - plain[0]).max((1, 2, 3)) < 1e-6
    assert same.mean() == pytest.approx(0.25, abs=0.2)


def test_the_order_is_crop_then_jitter_then_greyscale_then_blur():
    images, labels, pose = _batch(16)
    drawn = {}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("resized_window", "jitter", "luma", "blur", "black_square"):
            real = getattr(augment, name)

            def recorded(*arguments, name=name, real=real):
                drawn.setdefault(name, len(drawn))
                return real(*arguments)

            patch.setattr(augment, name, recorded)
        config = dataclasses.replace(MOCO_V2, cutout=0.5)
        out = _apply(dataclasses.replace(config, greyscale=1.0), (images, labels, pose))[0]
    # Luma is the jitter's too, which begins with it.
    assert list(drawn) == ["resized_window", "jitter", "luma", "blur", "black_square"]
    # Grey stays grey under the blur; a jitter after it would not keep it so.
    np.testing.assert_allclose(out[..., 0], out[..., 2], atol=1e-6)


def test_two_keys_give_two_different_views_of_every_image():
    images, labels, pose = _batch(32)
    run = jax.jit(functools.partial(augment.augment, config=MOCO_V2, aus=AUS))
    first, second = (run(jax.random.key(n), images, labels, pose) for n in (0, 1))
    assert run._cache_size() == 1
    assert np.abs(first[0] - second[0]).max((1, 2, 3)).min() > 0.01
    assert float(first[0].min()) >= 0
    assert float(first[0].max()) <= 1 + 1e-6


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
