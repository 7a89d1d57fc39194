"""Augmentation on the device: pure, jitted, each example with its own draws, labels kept true.

`augment` draws and applies; `window`, `adjust_*`, `resample` and `black_square` hold one operation
each and take its strength per example. Each operation has its own stream of
random numbers, so that switching one off leaves the others' draws as they were. Draws are made for
the whole (global) batch at once; results do not depend on the number of devices.

The colour operations are those of torchvision's tensor ColorJitter. Their fixed order (brightness,
contrast, saturation, hue, greyscale, down-sampling, black square) is ours.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int, Int8, Num, PRNGKeyArray, Shaped, UInt8

from au_jax import aus as au_names
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
)


@dataclasses.dataclass(frozen=True)
class Augment:
    """How a batch is augmented. Probability 0 switches an operation off at no cost.

    Attributes:
      image_size: side of the random crop, pixels; a crop of the stored size takes the whole image.
      flip: probability of a horizontal flip.
      brightness, contrast, saturation: probabilities; the factor is uniform in [1 - strength,
        1 + strength], not below 0.
      hue: probability; the shift is uniform in [-strength, strength] turns.
      greyscale: probability.
      downsample: probability; the image is shrunk by a factor uniform in [downsample_smallest, 1]
        and enlarged again.
      cutout: probability of a black square of cutout_side times the image side, wholly inside the
        image.
    """

    image_size: int = 224
    flip: float = 0.0
    brightness: float = 0.0
    brightness_strength: float = 0.3
    contrast: float = 0.0
    contrast_strength: float = 0.3
    saturation: float = 0.0
    saturation_strength: float = 0.3
    hue: float = 0.0
    hue_strength: float = 0.05
    greyscale: float = 0.0
    downsample: float = 0.0
    downsample_smallest: float = 0.4
    cutout: float = 0.0
    cutout_side: float = 0.25


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


def _place(where: Float[Array, "*shape"], room: int) -> Int[Array, "*shape"]:
    """Maps [0, 1) to the whole numbers 0 to `room`."""
    return (where * (room + 1)).astype(jnp.int32)


def _check_size(images: UInt8[Array, "examples height width 3"], size: int) -> None:
    height, width = images.shape[1:3]
    if not 0 < size <= min(height, width):
        raise UserError(
            f"image_size {size} does not fit the stored crops of {height} x {width} pixels; give a "
            f"number from 1 to {min(height, width)}"
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
    # A loop, so that XLA's CPU compiler does not put the draws into the code of every pixel, which
    # takes 1.7 x the time.
    draws = jax.lax.map(
        lambda stream: jax.random.uniform(jax.random.fold_in(key, stream), (3, batch)),
        jnp.arange(len(_OPERATIONS)),
    )

    def draw(operation: str) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Whether the operation applies, bool [B], and two numbers in [0, 1), [B] each."""
        chance, first, second = draws[_OPERATIONS.index(operation)]
        return chance < getattr(config, operation, 0), first, second

    def factor(operation: str) -> jax.Array:
        """The operation's factor [B]: uniform in its range, or 1 where it does not apply."""
        applies, where, _ = draw(operation)
        strength = getattr(config, f"{operation}_strength")
        low, high = max(0, 1 - strength), 1 + strength
        return jnp.where(applies, low + (high - low) * where, 1)

    if config.flip or (height, width) != (size, size):
        _, down, right = draw("crop")
        flipped = draw("flip")[0]
        top, left = _place(down, height - size), _place(right, width - size)
        images = window(images, top, left, flipped, size)
    if config.flip:
        labels = jnp.where(flipped[:, None], mirror_labels(labels, aus), labels)
        pose = jnp.where(flipped[:, None], mirror_pose(pose), pose)
    images = _to_float(images)
    if config.brightness:
        images = adjust_brightness(images, factor("brightness"))
    if config.contrast:
        images = adjust_contrast(images, factor("contrast"))
    if config.saturation:
        images = adjust_saturation(images, factor("saturation"))
    if config.hue:
        applies, where, _ = draw("hue")
        shifted = adjust_hue(images, config.hue_strength * (2 * where - 1))
        images = jnp.where(_per_image(applies), shifted, images)
    if config.greyscale:
        images = jnp.where(_per_image(draw("greyscale")[0]), luma(images), images)
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
    if kind not in ("center", "five", "five_flip"):
        raise unknown("test crops", kind, ("center", "five", "five_flip"))
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
