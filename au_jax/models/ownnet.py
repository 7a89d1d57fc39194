"""OwnNet, the small network of the Magdeburg system for the EmotioNet 2020 challenge.

Source: Werner, Saxen and Al-Hamadi, "Facial Action Unit Recognition in the Wild with Multi-Task
CNN Self-Training for the EmotioNet Challenge" (CVPR Workshops 2020), section 3.
"""

import flax.linen as nn
from jaxtyping import Array, Float

from au_jax.allowed import Decay, Positive
from au_jax.models.backbone import Backbone, Padding, Width
from au_jax.models.features import Features
from au_jax.models.layers import ConvNorm, global_mean, max_pool, xavier

_CHANNELS = (4, 8, 16, 32, 64, 128, 128)
_POOLED = 5


class OwnNet(Backbone):
    """Seven 3x3 convolutions, each with BatchNorm and ReLU; 3x3 max-pooling of stride 2 after 1-5.

    The paper gives the channels in units of `width` (3 or 8 there) and Xavier initialisation; the
    kernel size, the padding and BatchNorm's constants are not given: 3x3, "same", and an epsilon of
    1e-3 and a momentum of 0.9 are ours. `maps` are the outputs of
    convolutions 1 to 5 (before pooling) and 7, at 1, 1/2, ... 1/32 of the input's size.
    """

    padding: Padding = "same"
    bn_epsilon: Positive = 1e-3
    bn_momentum: Decay = 0.9
    width: Width = 3

    @nn.compact
    def __call__(self, images: Float[Array, "B H W 3"], train: bool) -> Features:
        x = images
        maps = []
        for number, channels in enumerate(_CHANNELS, 1):
            x = self.block(ConvNorm, train)(
                channels * self.width, 3, style=self.style, kernel_init=xavier, name=f"conv{number}"
            )(x, train)
            if number <= _POOLED:
                maps.append(x)
                x = max_pool(x, 3, 2, self.style)
        return Features((*maps, x), global_mean(x))
