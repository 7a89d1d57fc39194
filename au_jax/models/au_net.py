"""The network that methods train: a backbone, an optional head-pose branch, and AU heads."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

from au_jax.errors import UserError
from au_jax.models.backbone import IMAGENET_MEAN, IMAGENET_STD
from au_jax.models.layers import xavier

# Begins the name of every head among the parameters.
HEAD_PREFIX = "head_"
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
      micro_batches: in how many parts, one after the other, a training pass takes its images
        through the backbone; see `pooled`.
    """

    backbone: nn.Module
    heads: Sequence[tuple[str, int]]
    dropout: float = 0.0
    pose_branch: bool = False
    pose_mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    pose_std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    image_mean: tuple[float, float, float] = IMAGENET_MEAN
    image_std: tuple[float, float, float] = IMAGENET_STD
    micro_batches: int = 1

    def pooled(self, images: Float[Array, "B H W 3"], train: bool) -> Float32[Array, "B D"]:
        """The backbone's pooled features of images in [0, 1], which probes are fitted on.

        In training with `micro_batches` = k > 1 this is how gradients are accumulated: images i,
        i + k, i + 2k, ... are micro-batch i, and the activations of one at a time are held in
        memory. The features of the whole batch then meet the loss, and the gradient takes the
        micro-batches one after the other again, computing their activations anew, adding up what
        each gives to the parameters (Gao et al., "Scaling Deep Contrastive Learning Batch Size
        under Memory Limited Setup", 2021, https://arxiv.org/abs/2101.06983). So a loss that counts,
        ranks or compares over the batch is the loss of the whole batch, and without BatchNorm loss
        and gradient are those of k = 1. It costs a second forward pass of the backbone.

        BatchNorm is not the same: each micro-batch is normalised by its own statistics, and each
        updates the running ones. Dropout and stochastic depth inside the backbone are drawn for
        each micro-batch, by the same law; all other draws are those of k = 1.

        Raises:
          UserError: `micro_batches` does not divide the images.
        """
        count = self.micro_batches
        if count == 1 or not train:
            return self._pooled(images, train)
        if len(images) % count:
            raise UserError(
                f"a batch of {len(images)} images cannot be cut into train.accumulate={count} "
                "micro-batches; give a divisor of it"
            )

        def of_part(net: "AUNet", carry: None, part: Array) -> tuple[None, Array]:
            return carry, net._pooled(part, train)

        # Each part has every k-th image, so that a batch cut over devices stays where it is.
        parts = images.reshape(-1, count, *images.shape[1:]).swapaxes(0, 1)
        in_turn = nn.scan(
            nn.remat(of_part, prevent_cse=False),  # which a loop prevents by itself
            variable_broadcast="params",
            variable_carry="batch_stats",
            split_rngs={"params": False, "dropout": True},
        )
        _, features = in_turn(self, None, parts)
        return features.swapaxes(0, 1).reshape(len(images), -1)

    def _pooled(self, images: Float[Array, "B H W 3"], train: bool) -> Float32[Array, "B D"]:
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
            name: nn.Dense(outputs, kernel_init=xavier, name=f"{HEAD_PREFIX}{name}")(features)
            for name, outputs in self.heads
        }
