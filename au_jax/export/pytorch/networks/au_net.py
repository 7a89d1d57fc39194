"""The network with AU heads in PyTorch: a backbone, an optional head-pose branch, and its heads."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

POSE_UNITS = 1024


class AUNet(nn.Module):
    """Outputs for each AU and head, from a backbone's pooled features.

    Args:
      backbone: normalised images [B, 3, H, W] -> pooled features [B, D].
      features: D.
      heads: {name: number of outputs}.
      outputs: {name: number}, of a second layer behind a head and ReLU; {} for linear heads.
      dropout: rate before the heads.
      pose_branch: whether three head angles join the features through a layer of 1024 units.
      pose_mean, pose_std: of pitch, yaw and roll, degrees; an unknown angle (NaN) is the mean.
      image_mean, image_std: per channel, of images in [0, 1].
    """

    image_mean: Tensor
    image_std: Tensor
    pose_mean: Tensor
    pose_std: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        features: int,
        heads: Mapping[str, int],
        outputs: Mapping[str, int],
        *,
        dropout: float,
        pose_branch: bool,
        pose_mean: Sequence[float],
        pose_std: Sequence[float],
        image_mean: Sequence[float],
        image_std: Sequence[float],
    ):
        super().__init__()
        self.backbone, self.features = backbone, features
        self.pose = nn.Linear(3, POSE_UNITS) if pose_branch else None
        self.dropout = nn.Dropout(dropout)
        inputs = features + (POSE_UNITS if pose_branch else 0)
        self.heads = nn.ModuleDict({name: nn.Linear(inputs, n) for name, n in heads.items()})
        self.outputs = nn.ModuleDict(
            {name: nn.Linear(heads[name], n) for name, n in outputs.items()}
        )
        for name, values, shape in (
            ("image_mean", image_mean, (3, 1, 1)),
            ("image_std", image_std, (3, 1, 1)),
            ("pose_mean", pose_mean, (3,)),
            ("pose_std", pose_std, (3,)),
        ):
            # Constants of the network and no weights: they stay out of the state dict.
            self.register_buffer(name, torch.tensor(values).view(shape), persistent=False)

    def pooled(self, images: Tensor) -> Tensor:
        """The backbone's pooled features [B, D] of images in [0, 1], [B, 3, H, W]."""
        return self.backbone((images - self.image_mean) / self.image_std)

    def forward(self, images: Tensor, pose: Tensor | None = None) -> dict[str, Tensor]:
        """The logits [B, outputs] of each head.

        Args:
          images: red, green and blue in [0, 1], [B, 3, H, W].
          pose: pitch, yaw and roll in degrees, [B, 3]; NaN, or no tensor, where not known.
        """
        features = self.pooled(images)
        if self.pose is not None:
            deviation = torch.zeros_like(features[:, :3])
            if pose is not None:
                deviation = torch.nan_to_num((pose - self.pose_mean) / self.pose_std, nan=0.0)
            features = torch.cat([features, torch.relu(self.pose(deviation))], 1)
        features = self.dropout(features)
        by_head = {name: head(features) for name, head in self.heads.items()}
        for name, output in self.outputs.items():
            by_head[name] = output(torch.relu(by_head[name]))
        return by_head
