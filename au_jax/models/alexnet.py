"""The convolutional network AlexNet, in the form that torchvision's weights are for.

Source: Krizhevsky, "One weird trick for parallelizing convolutional neural networks" (2014),
https://arxiv.org/abs/1404.5997, which torchvision names for its `alexnet`; the sizes are
torchvision's.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from au_jax.allowed import Decay
from au_jax.errors import UserError
from au_jax.models.backbone import Backbone, Padding
from au_jax.models.features import Features
from au_jax.models.layers import Conv, Style, adaptive_mean, max_pool, xavier

# (features, kernel, stride, whether max-pooling follows) of each convolution.
_CONVOLUTIONS = (
    (64, 11, 4, True),
    (192, 5, 1, True),
    (384, 3, 1, False),
    (256, 3, 1, False),
    (256, 3, 1, True),
)
_SMALLEST = 63  # pixels a side; with padding "torch" the last max-pooling leaves one pixel of it
_GRID = 6
_HIDDEN = 4096


class AlexNet(Backbone):
    """AlexNet up to the second of its hidden layers, whose 4096 ReLU units are `pooled`.

    `maps` are the first, second and last convolution's outputs, with 64, 192 and 256 channels at
    about 1/4, 1/8 and 1/16 of the input's size. There is no BatchNorm, and so the network has no
    `batch_stats`. The default conventions are torchvision's: with padding "torch" the first
    convolution has two pixels of padding on each side and max-pooling none.

    Attributes:
      dropout: rate before each of the hidden layers. In training it needs the random stream
        "dropout".

    Raises:
      UserError: the padding is "torch" and a side of the images is below 63 pixels; or `remat` is
        set, as there are no blocks.
    """

    padding: Padding = "torch"
    dropout: Decay = 0.5

    @nn.compact
    def __call__(self, images: Float[Array, "B H W 3"], train: bool) -> Features:
        if self.remat:
            raise UserError(
                "backbone alexnet has no blocks whose activations could be computed again; leave "
                "out model.remat, and set train.accumulate where memory is short"
            )
        if self.padding == "torch" and min(images.shape[1:3]) < _SMALLEST:
            raise UserError(
                f"images of {images.shape[1]} x {images.shape[2]} pixels are too small for "
                f"backbone alexnet; give it images of at least {_SMALLEST} pixels a side"
            )
        stem, pool = self._with_padding(2), self._with_padding(0)
        x, maps = images, []
        for number, (features, kernel, stride, pooled) in enumerate(_CONVOLUTIONS, 1):
            style = stem if number == 1 else self.style
            name = f"conv{number}"
            x = nn.relu(Conv(features, kernel, stride, bias=True, style=style, name=name)(x))
            if pooled:
                maps.append(x)
                x = max_pool(x, 3, 2, pool)
        # Channels come first in a row, as in PyTorch, whose weights the hidden layers take.
        x = adaptive_mean(x, _GRID).transpose(0, 3, 1, 2).reshape(x.shape[0], -1)
        for number in (1, 2):
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
            hidden = nn.Dense(_HIDDEN, dtype=self.dtype, kernel_init=xavier, name=f"hidden{number}")
            x = nn.relu(hidden(x))
        return Features(tuple(maps), x.astype(jnp.float32))

    def _with_padding(self, pixels: int) -> Style:
        """The style in which "torch" stands for that many pixels."""
        return self.style._replace(padding=pixels) if self.padding == "torch" else self.style
