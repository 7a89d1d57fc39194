"""Augmentation on the device: pure, jitted, each example with its own draws, labels kept true.

`augment` draws and applies; `window`, `resized_window`, `adjust_*`, `jitter`, `blur`, `resample`
and `black_square` hold one operation each and take its strength per example. Each operation has its
own stream of random numbers, so that switching one off leaves the others' draws as they were. Draws
are made for the whole (global) batch at once; results do not depend on the number of devices.

The colour operations are those of torchvision's tensor ColorJitter. Their fixed order (brightness,
contrast, saturation, hue, jitter, greyscale, blur, down-sampling, black square) is ours; the jitter
does the first four again in an order drawn for each example.

The augmentation of MoCo v2 (Chen et al. 2020, https://arxiv.org/abs/2003.04297, as in its code) is
resized_crop 1, jitter 0.8 with strengths 0.4, 0.4, 0.4 and 0.1, greyscale 0.2, blur 0.5 and flip
0.5. That of MoCo v1 (He et al. 2020, https://arxiv.org/abs/1911.05722, as in its code) is
resized_crop 1, jitter 1 with all strengths 0.4, greyscale 0.2 and flip 0.5; that greyscale comes
after the jitter here, and not before it, is ours. So is the flip's place before the colours, which
changes nothing, and that images stay floats throughout, where theirs are rounded to 256 levels.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int, Int8, Num, PRNGKeyArray, Shaped, UInt8

from au_jax import aus as au_names
from au_jax.allowed import Range, Share
from au_jax.errors import UserError, unknown

# Rec. 601 luma, as rounded by torchvision.
_LUMA = (0.2989, 0.587, 0.114)
# Each has its stream of random numbers; a new one goes to the end.
_OPERATIONS = (
    "crop",
    "flip",
    "brightness",
    "contrast",
    "saturation",
    "hue",
    "greyscale",
    "downsample",
    "cutout",
    "resized_crop",
    "jitter",
    "blur",
)
# The streams of the ten tries at a box of the resized crop, clear of those of the operations.
_TRIES = range(1000, 1010)
# The operations of the jitter, each with a strength, and every order of them.
_JITTER = ("brightness", "contrast", "saturation", "hue")
_CONTRAST, _SATURATION, _HUE = 1, 2, 3
_ORDERS = np.array(list(itertools.permutations(range(len(_JITTER)))), np.int32)

ImageSize = Annotated[int, Range(ge=8, le=2048)]  # pixels of a side
Strength = Annotated[float, Range(ge=0, le=2)]  # of a change of colour
Smallest = Annotated[float, Range(ge=0.01, le=1)]  # of the image
Blur = Annotated[float, Range(gt=0, le=100)]  # pixels
TEST_CROPS = ("center", "five", "five_flip")


@dataclasses.dataclass(frozen=True)
class Augment:
    """How a batch is augmented. Probability 0 switches an operation off at no cost.

    Attributes:
      image_size: side of the random crop, pixels; a crop of the stored size takes the whole image.
      resized_crop: probability of torchvision's RandomResizedCrop in place of the random crop: a
        box with a share of the image's area uniform in [resized_crop_smallest, 1] and a ratio of
        width to height log-uniform in [1 / resized_crop_aspect, resized_crop_aspect], resized.
      flip: probability of a horizontal flip.
      brightness, contrast, saturation: probabilities; the factor is uniform in [1 - strength,
        1 + strength], not below 0.
      hue: probability; the shift is uniform in [-strength, strength] turns.
      jitter: probability of brightness, contrast, saturation and hue, all four, each with its
        strength above and a draw of its own, in an order drawn for each example.
      greyscale: probability.
      blur: probability of a Gaussian blur, with a standard deviation uniform in [blur_smallest,
        blur_largest] pixels of the crop.
      downsample: probability; the image is shrunk by a factor uniform in [downsample_smallest, 1]
        and enlarged again.
      cutout: probability of a black square of cutout_side times the image side, wholly inside the
        image.
    """

    image_size: ImageSize = 224
    resized_crop: Share = 0.0
    resized_crop_smallest: Smallest = 0.2
    resized_crop_aspect: Annotated[float, Range(ge=1, le=10)] = 4 / 3
    flip: Share = 0.0
    brightness: Share = 0.0
    brightness_strength: Strength = 0.3
    contrast: Share = 0.0
    contrast_strength: Strength = 0.3
    saturation: Share = 0.0
    saturation_strength: Strength = 0.3
    hue: Share = 0.0
    hue_strength: Annotated[float, Range(ge=0, le=0.5)] = 0.05
    jitter: Share = 0.0
    greyscale: Share = 0.0
    blur: Share = 0.0
    blur_smallest: Blur = 0.1
    blur_largest: Blur = 2.0
    downsample: Share = 0.0
    downsample_smallest: Smallest = 0.4
    cutout: Share = 0.0
    cutout_side: Share = 0.25


def _per_image(values: Shaped[Array, " examples"]) -> Shaped[Array, "examples 1 1 1"]:
    """One value per image, to meet its pixels."""
    return values[:, None, None, None]


def _to_float(images: UInt8[Array, "*shape"]) -> Float32[Array, "*shape"]:
    """Pixels in [0, 1]."""
    return images.astype(jnp.float32) * np.float32(1 / 255)


def window(
    images: Num[Array, "examples height width 3"],
    top: Int[Array, " examples"],
    left: Int[Array, " examples"],
    flipped: Bool[Array, " examples"],
    size: int,
) -> Num[Array, "examples {size} {size} 3"]:
    """The window of `size` pixels a side of each image, flipped or not.

    One gather does both: a flip of its own would be computed again for each operation after it.

    Args:
      top, left: where the window begins in the unflipped image, pixels.
      flipped: which images' windows are mirrored.
    """
    offset = jnp.arange(size)[None]
    rows = top[:, None] + offset
    columns = left[:, None] + jnp.where(flipped[:, None], size - 1 - offset, offset)

    def take(image: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
        return image.at[rows[:, None], columns[None]].get(mode="promise_in_bounds")

    return jax.vmap(take)(images, rows, columns)


def box_sides(
    area: Float[Array, "tries examples"],
    aspect: Float[Array, "tries examples"],
    height: int,
    width: int,
    config: Augment,
) -> tuple[Int[Array, " examples"], Int[Array, " examples"]]:
    """Height and width, pixels, of the box that each resized crop takes of its image.

    As in torchvision's RandomResizedCrop: the first try that fits in the image, or else the largest
    box of an allowed aspect ratio.

    Args:
      area, aspect: numbers in [0, 1), mapped to the shares and ratios that `config` allows.
      height, width: of the images, pixels.
    """
    smallest, limit = config.resized_crop_smallest, config.resized_crop_aspect
    pixels = height * width * (smallest + (1 - smallest) * area)
    ratio = jnp.exp(math.log(limit) * (2 * aspect - 1))
    tall = jnp.round(jnp.sqrt(pixels / ratio)).astype(jnp.int32)
    wide = jnp.round(jnp.sqrt(pixels * ratio)).astype(jnp.int32)
    fits = (tall > 0) & (tall <= height) & (wide > 0) & (wide <= width)
    first = fits.argmax(0)[None]
    any_fits = fits.any(0)

    def choose(side: jax.Array, otherwise: int) -> jax.Array:
        return jnp.where(any_fits, jnp.take_along_axis(side, first, 0)[0], otherwise)

    return (
        choose(tall, min(height, round(width * limit))),
        choose(wide, min(width, round(height * limit))),
    )


def _bilinear(
    start: Int[Array, " examples"],
    length: Int[Array, " examples"],
    source: int,
    target: int,
) -> Float32[Array, "examples {target} {source}"]:
    """Weights of `source` pixels that resize `length` of them from `start` to `target` pixels."""
    start, scale = start[:, None, None], length[:, None, None] / target
    pixel, offset = jnp.arange(source)[None, None, :], jnp.arange(target)[None, :, None]
    # From the centre of a resized pixel to that of a source pixel, in the larger of the two.
    distance = (pixel + 0.5 - start - (offset + 0.5) * scale) / jnp.maximum(scale, 1)
    inside = (pixel >= start) & (pixel < start + length[:, None, None])
    weights = jnp.maximum(1 - jnp.abs(distance), 0) * inside
    return weights / weights.sum(2, keepdims=True)


def resized_window(
    images: Float[Array, "examples height width 3"],
    top: Int[Array, " examples"],
    left: Int[Array, " examples"],
    tall: Int[Array, " examples"],
    wide: Int[Array, " examples"],
    flipped: Bool[Array, " examples"],
    size: int,
) -> Float[Array, "examples {size} {size} 3"]:
    """The box of each image, resized to `size` pixels a side, bilinear and antialiased.

    What lies outside the box is not seen, as if it were cut out first (which is why it is not
    `jax.image.scale_and_translate`). A box of `size` x `size` pixels stays as it is, to the bit.

    Args:
      top, left, tall, wide: where the box begins in the unflipped image, its height and its width,
        pixels.
      flipped: which images' boxes are mirrored.
    """
    rows = _bilinear(top, tall, images.shape[1], size)
    columns = _bilinear(left, wide, images.shape[2], size)
    columns = jnp.where(flipped[:, None, None], columns[:, ::-1], columns)
    images = jnp.einsum("bik,bkwc->biwc", rows, images, precision="highest")
    return jnp.einsum("bjw,biwc->bijc", columns, images, precision="highest")


def luma(
    images: Float[Array, "examples height width 3"],
) -> Float[Array, "examples height width 1"]:
    """The grey values of `images`."""
    # A product with a vector: sums over slices of the channel axis are 3 x slower on the CPU.
    grey = jnp.einsum("bhwc,c->bhw", images, jnp.array(_LUMA, images.dtype), precision="highest")
    return grey[..., None]


def _blend(
    images: Float[Array, "examples height width 3"],
    other: Float[Array, "examples _ _ _"],
    factor: Float[Array, " examples"],
) -> Float[Array, "examples height width 3"]:
    factor = _per_image(factor)
    return jnp.clip(factor * images + (1 - factor) * other, 0, 1)


def adjust_brightness(
    images: Float[Array, "examples height width 3"], factor: Float[Array, " examples"]
) -> Float[Array, "examples height width 3"]:
    """Multiplies pixels in [0, 1] by each image's factor, clipped to [0, 1]."""
    return jnp.clip(_per_image(factor) * images, 0, 1)


def adjust_contrast(
    images: Float[Array, "examples height width 3"], factor: Float[Array, " examples"]
) -> Float[Array, "examples height width 3"]:
    """Scales the distance to the image's mean grey value by its factor, clipped to [0, 1]."""
    return _blend(images, luma(images).mean((1, 2, 3), keepdims=True), factor)


def adjust_saturation(
    images: Float[Array, "examples height width 3"], factor: Float[Array, " examples"]
) -> Float[Array, "examples height width 3"]:
    """Scales the distance to each pixel's grey value by its image's factor, clipped to [0, 1]."""
    return _blend(images, luma(images), factor)


def adjust_hue(
    images: Float[Array, "examples height width 3"], turns: Float[Array, " examples"]
) -> Float[Array, "examples height width 3"]:
    """Adds `turns` (1 is the whole circle) to the hue; saturation and value stay."""
    red, green, blue = (images[..., c] for c in range(3))
    value = jnp.maximum(jnp.maximum(red, green), blue)
    chroma = value - jnp.minimum(jnp.minimum(red, green), blue)
    per_chroma = 1 / jnp.where(chroma > 0, chroma, 1)
    sixths = jnp.where(
        value == red,
        (green - blue) * per_chroma,
        jnp.where(value == green, 2 + (blue - red) * per_chroma, 4 + (red - green) * per_chroma),
    )
    sixths = sixths + 6 * turns[:, None, None]

    def channel(offset: int) -> jax.Array:
        k = offset + sixths
        k = k - 6 * jnp.floor(k / 6)  # jnp.mod takes XLA's CPU code 3 x longer.
        return value - chroma * jnp.clip(jnp.minimum(k, 4 - k), 0, 1)

    return jnp.stack([channel(5), channel(3), channel(1)], -1)


def jitter(
    images: Float[Array, "examples height width 3"],
    order: Int[Array, "4 examples"],
    strengths: Float[Array, "4 examples"],
) -> Float[Array, "examples height width 3"]:
    """Brightness, contrast, saturation and hue of each image, in an order of its own.

    Args:
      images: in [0, 1].
      order: which operation comes first to last: 0 to 3, as they are named above.
      strengths: of the operations as named above: three factors and the turns of the hue, as in
        `adjust_*`.
    """

    strengths = strengths.astype(images.dtype)  # which are drawn wider where JAX has 64 bits

    # Each step is one blend and one turn of the hue for all images, whatever their operations: a
    # factor of 1 and a turn of 0 leave an image as it is, but for rounding. On the CPU, XLA's code
    # takes 1.5 x the time without the loop, and 2 x where the strengths are chosen before it.
    def step(images: jax.Array, operation: jax.Array) -> tuple[jax.Array, None]:
        strength = jnp.take_along_axis(strengths, operation[None], 0)[0]
        rest = 1 - strength
        grey = luma(images)
        mean = grey.mean((1, 2, 3), keepdims=True)
        images = (
            _per_image(jnp.where(operation == _HUE, 1, strength)) * images
            + _per_image(jnp.where(operation == _CONTRAST, rest, 0)) * mean
            + _per_image(jnp.where(operation == _SATURATION, rest, 0)) * grey
        )
        turns = jnp.where(operation == _HUE, strength, 0)
        return adjust_hue(jnp.clip(images, 0, 1), turns), None

    return jax.lax.scan(step, images, order)[0]


def blur(
    images: Float[Array, "examples height width 3"], sigma: Float[Array, " examples"], radius: int
) -> Float[Array, "examples height width 3"]:
    """Gaussian blur with each image's standard deviation, pixels; edges are mirrored.

    Args:
      radius: where the bell is cut off, pixels.
    """
    distance = jnp.arange(radius + 1)[None]
    weights = jnp.exp(-0.5 * (distance / sigma[:, None]) ** 2)
    # Every weight but the first counts on both sides.
    weights = weights / (2 * weights.sum(1, keepdims=True) - weights[:, :1])
    for axis in (1, 2):
        margins = [(radius, radius) if axis == other else (0, 0) for other in range(4)]
        # Else XLA's CPU code mirrors the edges again at each shift, which takes 1.7 x the time.
        padded = jax.lax.optimization_barrier(jnp.pad(images, margins, mode="reflect"))
        shifted = [
            jax.lax.slice_in_dim(padded, by, by + images.shape[axis], axis=axis)
            for by in range(2 * radius + 1)
        ]
        images = _per_image(weights[:, 0]) * images
        for by in range(1, radius + 1):
            both = shifted[radius - by] + shifted[radius + by]
            images = images + _per_image(weights[:, by]) * both
    return images


def resample(
    images: Float[Array, "examples side side 3"], size: Num[Array, " examples"]
) -> Float[Array, "examples side side 3"]:
    """Shrinks square images to `size` (whole) pixels a side and enlarges them again.

    Both ways bilinear, the shrinking antialiased. As the size is not known to the compiler, both
    steps together are one matrix per image, applied to rows and columns.
    """
    side = images.shape[1]
    pixel = jnp.arange(side, dtype=jnp.float32) + 0.5
    # Triangle between pixel i of the large image and pixel j of the small one, seen in the small.
    distance = pixel[None, :, None] * (size[:, None, None] / side) - pixel[None, None, :]
    triangle = jnp.maximum(1 - jnp.abs(distance), 0)
    triangle = triangle * (pixel[None, None, :] < size[:, None, None])
    shrink = triangle / jnp.maximum(triangle.sum(1, keepdims=True), 1e-6)
    enlarge = triangle / triangle.sum(2, keepdims=True)
    matrix = jnp.einsum("bij,bkj->bik", enlarge, shrink, precision="highest")
    rows = jnp.einsum("bik,bkwc->biwc", matrix, images, precision="highest")
    return jnp.einsum("bjw,biwc->bijc", matrix, rows, precision="highest")


def black_square(
    images: Float[Array, "examples height width 3"],
    top: Int[Array, " examples"],
    left: Int[Array, " examples"],
    side: int,
) -> Float[Array, "examples height width 3"]:
    """Blackens the square of `side` pixels at `top`, `left`."""
    row = jnp.arange(images.shape[1])[None] - top[:, None]
    column = jnp.arange(images.shape[2])[None] - left[:, None]
    inside_rows = (row >= 0) & (row < side)
    inside_columns = (column >= 0) & (column < side)
    inside = inside_rows[:, :, None] & inside_columns[:, None, :]
    return jnp.where(inside[..., None], 0, images)


def mirror_labels(labels: Num[Array, "*shape aus"], aus: Sequence[str]) -> Num[Array, "*shape aus"]:
    """Labels of the flipped image; unknown where the mirror AU is not in `aus`."""
    mirrored = labels[..., au_names.mirror_permutation(aus)]
    keep = au_names.mirror_known(aus).reshape((1,) * (labels.ndim - 1) + (-1,))
    return jnp.where(keep, mirrored, jnp.int8(au_names.UNKNOWN))


def mirror_pose(pose: Float[Array, "*shape 3"]) -> Float[Array, "*shape 3"]:
    """Pose (pitch, yaw, roll) of the flipped image: yaw and roll change sign."""
    return pose * jnp.array([1, -1, -1], pose.dtype).reshape((1,) * (pose.ndim - 1) + (3,))


def _place(where: Float[Array, "*shape"], room: int | Int[Array, "*shape"]) -> Int[Array, "*shape"]:
    """Maps [0, 1) to the whole numbers 0 to `room`."""
    return (where * (room + 1)).astype(jnp.int32)


def _check_size(images: UInt8[Array, "examples height width 3"], size: int) -> None:
    height, width = images.shape[1:3]
    if not 0 < size <= min(height, width):
        raise UserError(
            f"image_size {size} does not fit the stored crops of {height} x {width} pixels; give a "
            f"number from 1 to {min(height, width)}"
        )


def _uniform(
    key: PRNGKeyArray, streams: range, batch: int
) -> Float32[Array, "{len(streams)} 3 {batch}"]:
    """Three numbers in [0, 1) of each stream for each example."""
    # A loop, so that XLA's CPU compiler does not put the draws into the code of every pixel, which
    # takes 1.7 x the time.
    return jax.lax.map(
        lambda stream: jax.random.uniform(jax.random.fold_in(key, stream), (3, batch)),
        jnp.array(streams),
    )


def augment(
    key: PRNGKeyArray,
    images: UInt8[Array, "examples height width 3"],
    labels: Int8[Array, "examples aus"] | Float32[Array, "examples aus"],
    pose: Float32[Array, "examples 3"],
    config: Augment,
    aus: Sequence[str],
) -> tuple[
    Float32[Array, "examples side side 3"],
    Int8[Array, "examples aus"] | Float32[Array, "examples aus"],
    Float32[Array, "examples 3"],
]:
    """Draws and applies one augmentation per example; call twice for two views of one batch.

    Args:
      labels: or probabilities of present AUs, -1 where unknown.
      pose: degrees: pitch, yaw, roll.
      config, aus: static; aus names the label columns.

    Returns:
      Images in [0, 1], of the side that `config` says, labels, pose.

    Raises:
      UserError: `config.image_size` is larger than the stored images.
    """
    size = config.image_size
    _check_size(images, size)
    batch, height, width = images.shape[:3]
    draws = _uniform(key, range(len(_OPERATIONS)), batch)

    def draw(operation: str) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Whether the operation applies, bool [B], and two numbers in [0, 1), [B] each."""
        chance, first, second = draws[_OPERATIONS.index(operation)]
        return chance < getattr(config, operation, 0), first, second

    def strength(operation: str, where: jax.Array) -> jax.Array:
        """Maps [0, 1) to the operation's factors, or to its turns of the hue."""
        most = getattr(config, f"{operation}_strength")
        if operation == "hue":
            return most * (2 * where - 1)
        low, high = max(0, 1 - most), 1 + most
        return low + (high - low) * where

    def factor(operation: str) -> jax.Array:
        """The operation's factor [B]: uniform in its range, or 1 where it does not apply."""
        applies, where, _ = draw(operation)
        return jnp.where(applies, strength(operation, where), 1)

    _, down, right = draw("crop")
    flipped = draw("flip")[0]
    if config.resized_crop:
        applies = draw("resized_crop")[0]
        area, aspect, _ = _uniform(key, _TRIES, batch).swapaxes(0, 1)
        sides = box_sides(area, aspect, height, width, config)
        tall, wide = (jnp.where(applies, side, size) for side in sides)
        top, left = _place(down, height - tall), _place(right, width - wide)
        images = resized_window(_to_float(images), top, left, tall, wide, flipped, size)
    elif config.flip or (height, width) != (size, size):
        top, left = _place(down, height - size), _place(right, width - size)
        images = _to_float(window(images, top, left, flipped, size))
    else:
        images = _to_float(images)
    if config.flip:
        labels = jnp.where(flipped[:, None], mirror_labels(labels, aus), labels)
        pose = jnp.where(flipped[:, None], mirror_pose(pose), pose)
    if config.brightness:
        images = adjust_brightness(images, factor("brightness"))
    if config.contrast:
        images = adjust_contrast(images, factor("contrast"))
    if config.saturation:
        images = adjust_saturation(images, factor("saturation"))
    if config.hue:
        applies, where, _ = draw("hue")
        shifted = adjust_hue(images, strength("hue", where))
        images = jnp.where(_per_image(applies), shifted, images)
    if config.jitter:
        applies, where, _ = draw("jitter")
        order = jnp.asarray(_ORDERS)[_place(where, len(_ORDERS) - 1)].T
        # The second numbers: an operation of its own takes the first.
        strengths = jnp.stack([strength(operation, draw(operation)[2]) for operation in _JITTER])
        images = jnp.where(_per_image(applies), jitter(images, order, strengths), images)
    if config.greyscale:
        images = jnp.where(_per_image(draw("greyscale")[0]), luma(images), images)
    if config.blur:
        applies, where, _ = draw("blur")
        sigma = config.blur_smallest + (config.blur_largest - config.blur_smallest) * where
        blurred = blur(images, sigma, math.ceil(3 * config.blur_largest))
        images = jnp.where(_per_image(applies), blurred, images)
    if config.downsample:
        applies, where, _ = draw("downsample")
        share = config.downsample_smallest + (1 - config.downsample_smallest) * where
        low = resample(images, jnp.maximum(jnp.round(share * size), 1))
        images = jnp.where(_per_image(applies), low, images)
    if config.cutout:
        applies, down, right = draw("cutout")
        side = max(1, round(config.cutout_side * size))
        cut = black_square(images, _place(down, size - side), _place(right, size - side), side)
        images = jnp.where(_per_image(applies), cut, images)
    return images, labels, pose


def augment_images(
    key: PRNGKeyArray, images: UInt8[Array, "examples height width 3"], config: Augment
) -> Float32[Array, "examples side side 3"]:
    """What `augment` makes of images whose AU labels and head angles are not used."""
    no_labels = jnp.zeros((len(images), 0), jnp.int8)
    no_pose = jnp.zeros((len(images), 3), jnp.float32)
    return augment(key, images, no_labels, no_pose, config, ())[0]


def center_crop(
    images: UInt8[Array, "examples height width 3"], size: int
) -> Float32[Array, "examples {size} {size} 3"]:
    """The middle of each image, in [0, 1], for evaluation.

    Raises:
      UserError: `size` is larger than the stored images.
    """
    return _to_float(test_crops(images, size, "center")[0][0])


def test_crops(
    images: UInt8[Array, "examples height width 3"], size: int, kind: str
) -> tuple[UInt8[Array, "crops examples {size} {size} 3"], tuple[bool, ...]]:
    """The crops through which one image is scored.

    Args:
      size: side of the crops, pixels.
      kind: "center"; "five" (the centre, then the corners top left, top right, bottom left, bottom
        right); "five_flip" (the five, then the five flipped).

    Returns:
      The crops, and for each of them whether it is flipped: its scores are then the mirror image's
      (`mirror_pose`, `aus.mirror_permutation`).

    Raises:
      UserError: `size` is larger than the stored images, or `kind` is none of the three.
    """
    if kind not in TEST_CROPS:
        raise unknown("test crops", kind, TEST_CROPS)
    _check_size(images, size)
    down, right = images.shape[1] - size, images.shape[2] - size
    corners = [(0, 0), (0, right), (down, 0), (down, right)]
    places = [(down // 2, right // 2)] + (corners if kind != "center" else [])
    crops = jnp.stack([images[:, y : y + size, x : x + size] for y, x in places])
    flipped = (False,) * len(places)
    if kind == "five_flip":
        crops = jnp.concatenate([crops, crops[:, :, :, ::-1]])
        flipped += (True,) * len(places)
    return crops, flipped
