"""The forms of convolution, depthwise convolution and max-pooling that XLA's CPU backend needs.

Each operation is a pure function with one result and several forms of computing it. XLA's own
operators are right on an accelerator, but some of them are naive loops on the CPU: a
convolution over a map smaller than its kernel, a depthwise convolution, and the gradient of
max-pooling. The forms here avoid those loops. Which form runs is chosen from the shapes and the
backend when the function is traced; values, gradients and parameters do not depend on it.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from functools import partial, reduce

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from au_jax.errors import unknown
from au_jax.models import winograd

Pads = tuple[tuple[int, int], tuple[int, int]]
_WINOGRAD_PIXELS, _WINOGRAD_CHANNELS = 16, 64  # at least
# Channels of images that suit "rows", at most; those of its results, and what divides them.
_ROWS_INPUTS, _ROWS_RESULTS, _ROWS_LANES = 4, 64, 16
_DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def pads(height: int, width: int, kernel: int, stride: int, padding: str | int) -> Pads:
    """The rows and columns of padding ((top, bottom), (left, right)).

    Args:
      padding: "same" as TensorFlow pads (the odd one at the bottom and right), or "torch" for the
        symmetric (kernel - 1) // 2 that most of torchvision's networks use, or that many pixels on
        every side.

    Raises:
      UserError: `padding` is none of these.
    """
    if padding == "torch":
        padding = (kernel - 1) // 2
    if isinstance(padding, int):
        return (padding, padding), (padding, padding)
    if padding == "same":
        (top, bottom), (left, right) = lax.padtype_to_pads(
            (height, width), (kernel, kernel), (stride, stride), "SAME"
        )
        return (top, bottom), (left, right)
    raise unknown("padding", padding, ("same", "torch"))


def _count_windows(length: int, size: int, stride: int) -> int:
    """How many windows of `size` fit along `length` padded pixels."""
    return (length - size) // stride + 1


_traced_for: ContextVar[str] = ContextVar("traced_for", default="")


@contextlib.contextmanager
def traced_for(platform: str) -> Iterator[None]:
    """While it lasts, forms are chosen for this platform ("cpu", "cuda"...), not the backend."""
    token = _traced_for.set(platform)
    try:
        yield
    finally:
        _traced_for.reset(token)


def _on_cpu() -> bool:
    return (_traced_for.get() or jax.default_backend()) == "cpu"


def _padded(
    images: jax.Array, size: int, stride: int, padding: str | int, fill: float
) -> tuple[jax.Array, int]:
    """Pads or crops to exactly the blocks of stride x stride pixels that windows reach into.

    Returns:
      [B, (H' + reach) * stride, (W' + reach) * stride, C] for H' x W' windows, and `reach`, the
      number of blocks that a window reaches into beyond its first, in each direction.
    """
    height, width = images.shape[1:3]
    reach = (size - 1) // stride
    change = [(0, 0, 0)]
    for length, (before, after) in zip(
        (height, width), pads(height, width, size, stride, padding), strict=True
    ):
        windows = _count_windows(before + length + after, size, stride)
        change.append((before, (windows + reach) * stride - before - length, 0))
    return lax.pad(images, jnp.array(fill, images.dtype), [*change, (0, 0, 0)]), reach


def _windows(padded: jax.Array, size: int, stride: int) -> Iterator[jax.Array]:
    """Yields, for each kernel position in row-major order, the pixels that it meets."""
    batch, height, width, channels = padded.shape
    beyond = (size - 1) // stride * stride + stride - 1
    for row in range(size):
        for column in range(size):
            stop = (height - beyond + row, width - beyond + column)
            yield lax.slice(
                padded, (0, row, column, 0), (batch, *stop, channels), (1, stride, stride, 1)
            )


def _blocks_met(outputs: jax.Array, reach: int, fill: int) -> Iterator[tuple[int, int, jax.Array]]:
    """Yields, for each block, the output of the window that starts in it or up to `reach` before.

    A gradient by these gathers what the textbook form scatters, which XLA turns into one loop.

    Args:
      outputs: [B, H', W', C].

    Yields:
      (rows before, columns before, [B, H' + reach, 1, W' + reach, 1, C]), `fill` where no window
      starts; to be broadcast over the stride x stride pixels of the block.
    """
    _, rows, columns, _ = outputs.shape
    room = ((0, 0), (reach, reach), (reach, reach), (0, 0))
    outputs = jnp.pad(outputs, room, constant_values=fill)
    for up in range(reach + 1):
        for left in range(reach + 1):
            block = outputs[:, reach - up :, reach - left :][:, : rows + reach, : columns + reach]
            yield up, left, block[:, :, None, :, None]


def _pixels(blocks: jax.Array) -> jax.Array:
    """[B, R, stride, S, stride, C] -> [B, R * stride, S * stride, C]."""
    batch, rows, stride, columns, _, channels = blocks.shape
    return blocks.reshape(batch, rows * stride, columns * stride, channels)


def convolve(
    images: Float[Array, "B H W C"],
    kernel: Float[Array, "k k C N"],
    stride: int,
    padding: str | int,
    form: str | None = None,
) -> Float[Array, "B H2 W2 N"]:
    """Convolves images with a square kernel.

    Args:
      padding: see `pads`.
      form: "window", XLA's convolution; "matmul", for k = 1 without padding; "patches", one matrix
        product over gathered patches; "winograd", for k = 3, stride 1 and a pixel of padding;
        "rows", XLA's convolution with a wider kernel. None chooses: on the CPU XLA's weight
        gradient for k = 1 is up to five times as slow as that of the matrix product, over maps no
        larger than the kernel "patches" is at least twice as quick, and its gradient 10 to 60 times
        where a stride leaves results smaller than the kernel. Where images have few channels, as
        the first layer's, "rows" takes a fifth to a third of the time of "window". Over large maps
        of many channels "winograd" takes half of it; it is slow to compile, so that smaller gains
        are left.
    """
    size = kernel.shape[0]
    height, width, channels = images.shape[1:]
    margins = pads(height, width, size, stride, padding)
    results = [
        _count_windows(length + sum(margin), size, stride)
        for length, margin in zip((height, width), margins, strict=True)
    ]
    if form is None:
        form = "window"
        if _on_cpu():
            if size == 1 and margins == ((0, 0), (0, 0)):
                form = "matmul"
            elif min(height, width) <= size or min(results) < size:
                form = "patches"
            elif _in_a_row(kernel) > 1:
                form = "rows"
            elif _suits_winograd(images, kernel, stride, margins):
                form = "winograd"
    if form == "window":
        return _by_windows(images, kernel, stride, margins)
    if form == "matmul":
        return _product(images[:, ::stride, ::stride], kernel[0, 0])
    if form == "winograd":
        return winograd.convolve(images, kernel)
    if form == "rows":
        return _by_rows(images, kernel, stride, margins, results[1])
    padded, _ = _padded(images, size, stride, padding, 0.0)
    patches = jnp.concatenate(list(_windows(padded, size, stride)), -1)
    return _product(patches, kernel.reshape(size * size * channels, -1))


def _product(images: jax.Array, matrix: jax.Array) -> jax.Array:
    """[B, H, W, C] times [C, N].

    The gradient of `matrix` sums over pixels. XLA's CPU backend lays both factors out anew where
    these pixels are more than one axis, which took a fifth of an EfficientNet's step.
    """
    flat = images.reshape(-1, images.shape[-1])
    return (flat @ matrix).reshape(*images.shape[:-1], -1)


def _in_a_row(kernel: jax.Array) -> int:
    """How many neighbours "rows" computes at a time; 1 where it does not suit the kernel."""
    inputs, outputs = kernel.shape[2:]
    if inputs > _ROWS_INPUTS:
        return 1
    counts = range(_ROWS_RESULTS // outputs, 1, -1)
    return next((count for count in counts if count * outputs % _ROWS_LANES == 0), 1)


def _by_windows(images: jax.Array, kernel: jax.Array, stride: int, margins: Pads) -> jax.Array:
    return lax.conv_general_dilated(
        images, kernel, (stride, stride), margins, dimension_numbers=_DIMENSIONS
    )


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _by_rows(
    images: jax.Array, kernel: jax.Array, stride: int, margins: Pads, columns: int
) -> jax.Array:
    """`columns` results in each row, `_in_a_row` of them at a time.

    They are the channels of one convolution, whose kernel holds the given one once for each of
    them, `stride` further to the right each time, among zeros. The gradient is that of
    `_by_windows`, which is quick, and whose sum over devices is no larger than the kernel.
    """
    size, _, _, outputs = kernel.shape
    together = _in_a_row(kernel)
    beside = (together - 1) * stride
    shifted = [
        jnp.pad(kernel, ((0, 0), (shift, beside - shift), (0, 0), (0, 0)))
        for shift in range(0, beside + 1, stride)
    ]
    steps = -(-columns // together)
    left = margins[1][0]
    right = (steps * together - 1) * stride + size - left - images.shape[2]
    out = lax.conv_general_dilated(
        images,
        jnp.concatenate(shifted, -1),
        (stride, together * stride),
        (margins[0], (left, right)),
        dimension_numbers=_DIMENSIONS,
    )
    return out.reshape(*out.shape[:2], steps * together, outputs)[:, :, :columns]


def _by_rows_forward(images, kernel, stride, margins, columns):
    return _by_rows(images, kernel, stride, margins, columns), (images, kernel)


def _by_rows_backward(stride, margins, columns, kept, gradient):
    del columns
    by_windows = partial(_by_windows, stride=stride, margins=margins)
    return jax.vjp(by_windows, *kept)[1](gradient)


_by_rows.defvjp(_by_rows_forward, _by_rows_backward)


def _suits_winograd(images: jax.Array, kernel: jax.Array, stride: int, margins: Pads) -> bool:
    fits = kernel.shape[:2] == (3, 3) and stride == 1 and margins == ((1, 1), (1, 1))
    large = min(images.shape[1:3]) >= _WINOGRAD_PIXELS
    return fits and large and min(kernel.shape[2:]) >= _WINOGRAD_CHANNELS


def depthwise(
    images: Float[Array, "B H W C"],
    kernel: Float[Array, "k k 1 C"],
    stride: int,
    padding: str | int,
    form: str | None = None,
) -> Float[Array, "B H2 W2 C"]:
    """Convolves each channel of the images with its own square kernel.

    Args:
      padding: see `pads`.
      form: "window", XLA's grouped convolution; "shifts", a sum of k * k shifted products, the
        quick form on the CPU. None chooses.
    """
    size = kernel.shape[0]
    height, width, channels = images.shape[1:]
    if form is None:
        form = "shifts" if _on_cpu() else "window"
    if form == "window":
        return lax.conv_general_dilated(
            images,
            kernel,
            (stride, stride),
            pads(height, width, size, stride, padding),
            dimension_numbers=_DIMENSIONS,
            feature_group_count=channels,
        )
    padded, _ = _padded(images, size, stride, padding, 0.0)
    return _shifted_products(padded, kernel.reshape(size, size, channels), stride)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _shifted_products(padded: jax.Array, taps: jax.Array, stride: int) -> jax.Array:
    size, _, channels = taps.shape
    windows = _windows(padded, size, stride)
    flat = taps.reshape(size * size, 1, 1, 1, channels)
    return reduce(jnp.add, (window * tap for window, tap in zip(windows, flat, strict=True)))


def _shifted_products_forward(padded, taps, stride):
    return _shifted_products(padded, taps, stride), (padded, taps)


def _shifted_products_backward(stride, kept, gradient):
    padded, taps = kept
    size, _, channels = taps.shape
    # All k * k sums in one reduction, so that the maps are read once.
    wide = gradient.astype(jnp.float32)
    products = [window * wide for window in _windows(padded, size, stride)]
    sums = lax.reduce(
        products,
        [jnp.float32(0)] * len(products),
        lambda xs, ys: [x + y for x, y in zip(xs, ys, strict=True)],
        (1, 2),
    )
    to_taps = jnp.stack(sums).sum(1).reshape(taps.shape).astype(taps.dtype)

    reach = (size - 1) // stride
    room = (reach + 1) * stride - size
    blocks = jnp.pad(taps, ((0, room), (0, room), (0, 0)))
    blocks = blocks.reshape(reach + 1, 1, 1, stride, reach + 1, 1, stride, channels)
    to_padded = reduce(
        jnp.add,
        (met * blocks[up, :, :, :, left] for up, left, met in _blocks_met(gradient, reach, 0)),
    )
    return _pixels(to_padded), to_taps


_shifted_products.defvjp(_shifted_products_forward, _shifted_products_backward)


def max_pool(
    images: Float[Array, "B H W C"],
    size: int,
    stride: int,
    padding: str | int,
    form: str | None = None,
) -> Float[Array, "B H2 W2 C"]:
    """The largest value of each size x size window of the images; padding never wins.

    Of equal values in a window, the first in row-major order takes the gradient, as in PyTorch.

    Args:
      padding: see `pads`.
      form: "window", XLA's reduction; "shifts", a maximum of shifted maps, the quick form on the
        CPU (XLA's gradient is 20 times slower there). None chooses.
    """
    if form is None:
        form = "shifts" if _on_cpu() else "window"
    if form == "window":
        margins = pads(images.shape[1], images.shape[2], size, stride, padding)
        return lax.reduce_window(
            images,
            -jnp.inf,
            lax.max,
            (1, size, size, 1),
            (1, stride, stride, 1),
            ((0, 0), *margins, (0, 0)),
        )
    return _shifted_max(_padded(images, size, stride, padding, -jnp.inf)[0], size, stride)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _shifted_max(padded: jax.Array, size: int, stride: int) -> jax.Array:
    return reduce(jnp.maximum, _windows(padded, size, stride))


def _shifted_max_forward(padded, size, stride):
    windows = _windows(padded, size, stride)
    largest = next(windows)
    winner = jnp.zeros(largest.shape, jnp.int8)
    for number, window in enumerate(windows, 1):
        winner = jnp.where(window > largest, jnp.int8(number), winner)
        largest = jnp.maximum(largest, window)
    return largest, winner


def _shifted_max_backward(size, stride, winner, gradient):
    # Each pixel asks the windows that hold it whether it won.
    reach = (size - 1) // stride
    row = jnp.arange(stride).reshape(1, 1, stride, 1, 1, 1)
    column = jnp.arange(stride).reshape(1, 1, 1, 1, stride, 1)
    shares = []
    for (up, left, winners), (_, _, gradients) in zip(
        _blocks_met(winner, reach, -1), _blocks_met(gradient, reach, 0), strict=True
    ):
        in_row, in_column = row + up * stride, column + left * stride
        inside = (in_row < size) & (in_column < size)
        number = jnp.where(inside, in_row * size + in_column, -2).astype(jnp.int8)
        shares.append(jnp.where(winners == number, gradients, 0))
    return (_pixels(reduce(jnp.add, shares)),)


_shifted_max.defvjp(_shifted_max_forward, _shifted_max_backward)
