"""The network that methods train: a backbone, an optional head-pose branch, and AU heads."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

from au_jax.models.backbone import IMAGENET_MEAN, IMAGENET_STD
from au_jax.models.layers import xavier

_POSE_UNITS = 1024


class AUNet(nn.Module):
    """One linear output per AU and head, from a backbone's pooled features.

    Attributes:
      backbone: images -> `Features`.
      heads: (name, number of outputs) of each head, such as (("opt", 17), ("noisy", 17)): one
        output per AU and data set (Magdeburg).
      dropout: rate before the heads.
      pose_branch: whether three head angles join the features through a dense layer of 1024 units
        with ReLU (Magdeburg).
      pose_mean, pose_std: mean and standard deviation of pitch, yaw and roll, degrees, by which
        the angles are normalised (ours). An angle that is NaN is taken to be the mean.
      image_mean, image_std: per channel, of images in [0, 1].
    """

    backbone: nn.Module
    heads: Sequence[tuple[str, int]]
    dropout: float = 0.0
    pose_branch: bool = False
    pose_mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    pose_std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    image_mean: tuple[float, float, float] = IMAGENET_MEAN
    image_std: tuple[float, float, float] = IMAGENET_STD

    def pooled(self, images: Float[Array, "B H W 3"], train: bool) -> Float32[Array, "B D"]:
        """The backbone's pooled features of images in [0, 1], which probes are fitted on."""
        mean = jnp.asarray(self.image_mean, images.dtype).reshape(1, 1, 1, 3)
        std = jnp.asarray(self.image_std, images.dtype).reshape(1, 1, 1, 3)
        return self.backbone((images - mean) / std, train).pooled

    @nn.compact
    def __call__(
        self, images: Float[Array, "B H W 3"], pose: Float32[Array, "B 3"], train: bool
    ) -> dict[str, Float32[Array, "B _"]]:
        """Returns the logits of each head, by its name: one column per output.

        Needs the random stream "dropout" when `train` and `dropout` > 0.

        Args:
          images: red, green and blue in [0, 1].
          pose: pitch, yaw, roll in degrees, NaN where not known.
          train: whether BatchNorm uses the batch's statistics and updates its own (`batch_stats`
            must then be mutable), and dropout drops.
        """
        features = self.pooled(images, train)
        if self.pose_branch:
            angles = jnp.asarray(self.pose_mean, jnp.float32).reshape(1, 3)
            spread = jnp.asarray(self.pose_std, jnp.float32).reshape(1, 3)
            deviation = jnp.where(jnp.isnan(pose), 0.0, (pose - angles) / spread)
            hidden = nn.relu(nn.Dense(_POSE_UNITS, kernel_init=xavier, name="pose")(deviation))
            features = jnp.concatenate([features, hidden], -1)
        features = nn.Dropout(self.dropout, deterministic=not train)(features)
        return {
            name: nn.Dense(outputs, kernel_init=xavier, name=f"head_{name}")(features)
            for name, outputs in self.heads
        }
