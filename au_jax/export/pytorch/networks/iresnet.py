"""IResNet in PyTorch, insightface's face-recognition network, with the parts that ABAW3 adds.

The plain network has the names of insightface's `iresnet.py` (Deng et al., "ArcFace", 2019,
https://github.com/deepinsight/insightface). Coordinate attention is as in its authors' code (Hou et
al., 2021, https://github.com/houqb/CoordAttention); the feature pyramid and the context modules are
as in RetinaFace's (https://github.com/biubug6/Pytorch_Retinaface).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Channels of each level of the pyramid, as in `au_jax.models.iresnet`, which this file, a part of
# every export, cannot import.
LEAST_LEVELS = 64


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's padding: the odd row and column at the bottom and right."""

    def forward(self, x: Tensor) -> Tensor:
        pads: list[int] = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size, self.stride, strict=True):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, pads), self.weight, None, self.stride)


def conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, padding: str = "torch"
) -> nn.Conv2d:
    """A convolution without bias, padded as TensorFlow does ("same") or symmetrically ("torch")."""
    if padding == "same":
        return SameConv(inputs, outputs, kernel, stride, bias=False)
    return nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, bias=False)


class IResNetBlock(nn.Module):
    """BatchNorm, 3x3 convolution, PReLU, 3x3 convolution with the stride, and a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int, padding: str = "torch"):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1, self.bn2 = conv(inputs, width, 3), nn.BatchNorm2d(width)
        self.prelu = nn.PReLU(width)
        self.conv2, self.bn3 = conv(width, width, 3, stride, padding), nn.BatchNorm2d(width)
        self.downsample = None
        if stride > 1 or inputs != width:
            self.downsample = nn.Sequential(conv(inputs, width, 1, stride), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        y = self.bn3(self.conv2(y))
        return y + (x if self.downsample is None else self.downsample(x))


class IResNet(nn.Module):
    """Normalised images [B, 3, S, S] -> features [B, 8 width].

    Args:
      blocks: of each of the four stages.
      image_size: S, on which the size of the last dense layer depends.
      width: channels of the stem and of the pyramid's levels, which have 64 at least; insightface's
        is 64.
      dropout: rate before the last dense layer.
      coordinate_attention: whether the outputs of stages 1 and 4 pass through it.
      pyramid: whether a pyramid over stages 2 to 4 takes the place of insightface's last layers.
      context: whether the pyramid's levels pass through context modules.
      padding: "torch", or "same" for TensorFlow's.
    """

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def __init__(
        self,
        blocks: Sequence[int],
        image_size: int,
        width: int = 64,
        dropout: float = 0.0,
        coordinate_attention: bool = False,
        pyramid: bool = False,
        context: bool = True,
        padding: str = "torch",
    ):
        super().__init__()
        self.features_out = 8 * width
        self.conv1, self.bn1, self.prelu = conv(3, width, 3), nn.BatchNorm2d(width), nn.PReLU(width)
        channels, sizes = [width], [image_size]
        for stage, count in enumerate(blocks, 1):
            inputs, outputs = channels[-1], width * 2 ** (stage - 1)
            layer = [IResNetBlock(inputs, outputs, 2, padding)]
            layer += [IResNetBlock(outputs, outputs, 1, padding) for _ in range(count - 1)]
            setattr(self, f"layer{stage}", nn.Sequential(*layer))
            channels.append(outputs)
            sizes.append(-(-sizes[-1] // 2))
        self.attention1 = CoordinateAttention(channels[1]) if coordinate_attention else None
        self.attention4 = CoordinateAttention(channels[4]) if coordinate_attention else None
        self.pyramid = None
        if pyramid:
            self.pyramid = PyramidEmbedding(
                channels[2:],
                sizes[2:],
                max(LEAST_LEVELS, width),
                self.features_out,
                context,
                dropout,
            )
        else:
            self.bn2 = nn.BatchNorm2d(channels[4])
            self.dropout = nn.Dropout(dropout)
            self.fc = nn.Linear(channels[4] * sizes[4] ** 2, self.features_out)
            self.features = nn.BatchNorm1d(self.features_out)
            self.features.weight.requires_grad = False

    def forward(self, images: Tensor) -> Tensor:
        x = self.layer1(self.prelu(self.bn1(self.conv1(images))))
        x = x if self.attention1 is None else self.attention1(x)
        stage2 = self.layer2(x)
        stage3 = self.layer3(stage2)
        stage4 = self.layer4(stage3)
        stage4 = stage4 if self.attention4 is None else self.attention4(stage4)
        if self.pyramid is not None:
            return self.pyramid([stage2, stage3, stage4])
        return self.features(self.fc(self.dropout(self.bn2(stage4).flatten(1))))


class CoordinateAttention(nn.Module):
    """Multiplies each row and each column by gates from the means of all rows and all columns."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = max(8, channels // 32)
        self.conv1, self.bn1 = nn.Conv2d(channels, hidden, 1), nn.BatchNorm2d(hidden)
        self.conv_h, self.conv_w = nn.Conv2d(hidden, channels, 1), nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        rows = x.mean(3, keepdim=True)
        columns = x.mean(2, keepdim=True).transpose(2, 3)
        y = F.hardswish(self.bn1(self.conv1(torch.cat([rows, columns], 2))))
        rows, columns = torch.split(y, [height, width], 2)
        gate_h = torch.sigmoid(self.conv_h(rows))
        gate_w = torch.sigmoid(self.conv_w(columns.transpose(2, 3)))
        return x * gate_w * gate_h


def conv_bn(inputs: int, outputs: int, kernel: int, slope: float | None = None) -> nn.Sequential:
    """Convolution, BatchNorm and, where there is a slope, leaky ReLU."""
    layers = [conv(inputs, outputs, kernel), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([] if slope is None else [nn.LeakyReLU(slope)]))


def slope_of(width: int) -> float:
    """RetinaFace's slope of leaky ReLU, by the channels of a level."""
    return 0.1 if width <= 64 else 0.0


class FeaturePyramid(nn.Module):
    """RetinaFace's FPN: maps of three sizes, finest first -> a level of `width` channels each."""

    def __init__(self, channels: Sequence[int], width: int):
        super().__init__()
        slope = slope_of(width)
        self.output1, self.output2, self.output3 = (conv_bn(c, width, 1, slope) for c in channels)
        self.merge1, self.merge2 = conv_bn(width, width, 3, slope), conv_bn(width, width, 3, slope)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        first, second, third = self.output1(maps[0]), self.output2(maps[1]), self.output3(maps[2])
        second = self.merge2(second + F.interpolate(third, size=second.shape[2:], mode="nearest"))
        first = self.merge1(first + F.interpolate(second, size=first.shape[2:], mode="nearest"))
        return first, second, third


class ContextModule(nn.Module):
    """RetinaFace's SSH: one, two and three 3x3 convolutions side by side."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        slope = slope_of(width)
        self.conv3X3 = conv_bn(inputs, width // 2, 3)
        self.conv5X5_1 = conv_bn(inputs, width // 4, 3, slope)
        self.conv5X5_2 = conv_bn(width // 4, width // 4, 3)
        self.conv7X7_2 = conv_bn(width // 4, width // 4, 3, slope)
        self.conv7x7_3 = conv_bn(width // 4, width // 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        shared = self.conv5X5_1(x)
        wide, widest = self.conv5X5_2(shared), self.conv7x7_3(self.conv7X7_2(shared))
        return F.relu(torch.cat([self.conv3X3(x), wide, widest], 1))


class PyramidEmbedding(nn.Module):
    """ABAW3's tail: pyramid, context modules, flattening, dropout, a dense layer.

    Args:
      channels, sizes: of the maps of stages 2 to 4. width: channels of each level.
    """

    def __init__(
        self,
        channels: Sequence[int],
        sizes: Sequence[int],
        width: int,
        outputs: int,
        context: bool = True,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.fpn = FeaturePyramid(channels, width)
        self.ssh = nn.ModuleList(
            ContextModule(width, width) if context else nn.Identity() for _ in sizes
        )
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(width * sum(size * size for size in sizes), outputs)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        levels = [ssh(x) for ssh, x in zip(self.ssh, self.fpn(maps), strict=True)]
        return self.fc(self.dropout(torch.cat([level.flatten(1) for level in levels], 1)))
