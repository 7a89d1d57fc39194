"""OwnNet in PyTorch, the small network of the Magdeburg system (Werner et al., 2020, section 3)."""

import itertools

import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS = (4, 8, 16, 32, 64, 128, 128)
POOLED = 5


class OwnNet(nn.Module):
    """Seven 3x3 convolutions, each with BatchNorm and ReLU; 3x3 max-pooling of stride 2 after 1-5.

    Args:
      width: the unit of the channels 4, 8, ... 128.
      padding: of max-pooling: "same" as in TensorFlow (the odd row and column at the bottom and
        right), or "torch" for one pixel on every side.
    """

    def __init__(self, width: int, padding: str = "same"):
        super().__init__()
        self.same = padding == "same"
        self.features_out = width * CHANNELS[-1]
        channels = [3, *(width * units for units in CHANNELS)]
        for number, (inputs, outputs) in enumerate(itertools.pairwise(channels), 1):
            convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
            self.add_module(f"conv{number}", convolution)
            self.add_module(f"bn{number}", nn.BatchNorm2d(outputs, eps=1e-3))

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images [B, 3, H, W] -> the means of the last maps [B, 128 width]."""
        x = images
        for number in range(1, len(CHANNELS) + 1):
            convolution, norm = getattr(self, f"conv{number}"), getattr(self, f"bn{number}")
            x = F.relu(norm(convolution(x)))
            if number <= POOLED:
                x = self.pooled(x)
        return x.mean((2, 3))

    def pooled(self, x: Tensor) -> Tensor:
        """3x3 max-pooling of stride 2."""
        if not self.same:
            return F.max_pool2d(x, 3, 2, 1)
        # Maps of odd sides get a row or column on both sides, those of even sides at the end only.
        top, left = x.shape[2] % 2, x.shape[3] % 2
        return F.max_pool2d(F.pad(x, (left, 1, top, 1), value=float("-inf")), 3, 2)
