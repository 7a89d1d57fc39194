"""Compact PyTorch networks with the state-dict names of torchvision and timm.

Each gives its pooled features; the classifier is there for its names.
"""

import torch
import torch.nn.functional as F
from torch import nn

from au_jax.models import efficientnet, mobilenet_v3
from au_jax.models.mbconv import round_channels

# For images this small, threads cost more than they gain, above all beside other work.
torch.set_num_threads(1)


class SameConv(nn.Conv2d):
    """TensorFlow's padding: the odd row and column at the bottom and right."""

    def forward(self, x):
        pads = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size, self.stride, strict=True):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, pads), self.weight, None, self.stride, 0, 1, self.groups)


def conv(inputs, outputs, kernel, stride=1, groups=1, same=False):
    kind, pad = (SameConv, 0) if same else (nn.Conv2d, (kernel - 1) // 2)
    return kind(inputs, outputs, kernel, stride, pad, groups=groups, bias=False)


class SqueezeExcite(nn.Module):
    def __init__(self, channels, hidden, names, activation, gate):
        super().__init__()
        self.names, self.activation, self.gate = names, activation, gate
        self.add_module(names[0], nn.Conv2d(channels, hidden, 1))
        self.add_module(names[1], nn.Conv2d(hidden, channels, 1))

    def forward(self, x):
        reduce, expand = (getattr(self, name) for name in self.names)
        return x * self.gate(expand(self.activation(reduce(x.mean((2, 3), keepdim=True)))))


class Sum(nn.Module):
    """A torchvision inverted residual: its parts in `block`, and the shortcut."""

    def __init__(self, parts, shortcut):
        super().__init__()
        self.block, self.shortcut = nn.Sequential(*parts), shortcut

    def forward(self, x):
        return x + self.block(x) if self.shortcut else self.block(x)


class TimmBlock(nn.Module):
    def __init__(self, parts, shortcut):
        super().__init__()
        self.order, self.shortcut = [name for name, _ in parts], shortcut
        for name, part in parts:
            self.add_module(name, part)

    def forward(self, x):
        y = x
        for name in self.order:
            y = getattr(self, name)(y)
        return x + y if self.shortcut else y


def norm_act(channels, eps, activation):
    """A norm followed by an activation, under the norm's own name as in timm."""

    class NormAct(nn.BatchNorm2d):
        def forward(self, x):
            return activation(super().forward(x))

    return NormAct(channels, eps=eps)


def identity(x):
    return x


def inverted_residual(inputs, spec, timm, eps, same):
    """spec: (expanded, outputs, kernel, stride, squeezed, activation, squeeze activation, gate)."""
    expanded, outputs, kernel, stride, squeezed, act, squeeze_act, gate = spec
    shortcut = stride == 1 and inputs == outputs
    layers = []  # (timm's name of the convolution, the convolution, activation)
    if expanded != inputs:
        layers.append(("conv_pw", conv(inputs, expanded, 1), act))
    layers.append(("conv_dw", conv(expanded, expanded, kernel, stride, expanded, same), act))
    last = "conv_pwl" if expanded != inputs else "conv_pw"
    layers.append((last, conv(expanded, outputs, 1), identity))
    parts = []
    for number, (name, layer, activation) in enumerate(layers, 1):
        norm = norm_act(layer.out_channels, eps, activation)
        if number == len(layers) and squeezed:
            names = ("conv_reduce", "conv_expand") if timm else ("fc1", "fc2")
            parts.append(("se", SqueezeExcite(expanded, squeezed, names, squeeze_act, gate)))
        parts += (
            [(name, layer), (f"bn{number}", norm)] if timm else [("", nn.Sequential(layer, norm))]
        )
    if timm:
        return TimmBlock(parts, shortcut)
    return Sum([part for _, part in parts], shortcut)


class MobileNetV3Large(nn.Module):
    def __init__(self, timm=False, eps=1e-3, same=False, classes=10):
        super().__init__()
        self.timm = timm
        stem = conv(3, 16, 3, 2, same=same), norm_act(16, eps, F.hardswish)
        head = conv(160, 960, 1), norm_act(960, eps, F.hardswish)
        stages, channels, previous = [], 16, None
        for block in mobilenet_v3.BLOCKS:
            act = F.hardswish if block.hard_swish else F.relu
            squeezed = round_channels(block.expanded / 4) if block.squeeze else 0
            sizes = (block.expanded, block.features, block.kernel, block.stride, squeezed)
            spec = (*sizes, act, F.relu, F.hardsigmoid)
            if block.features != previous:
                stages.append([])
            stages[-1].append(inverted_residual(channels, spec, timm, eps, same))
            channels = previous = block.features
        if timm:
            self.conv_stem, self.bn1 = stem
            last = TimmBlock([("conv", head[0]), ("bn1", head[1])], False)
            self.blocks = nn.Sequential(*(nn.Sequential(*stage) for stage in [*stages, [last]]))
            self.conv_head = nn.Conv2d(960, 1280, 1)
            self.classifier = nn.Linear(1280, classes)
        else:
            blocks = [block for stage in stages for block in stage]
            self.features = nn.Sequential(nn.Sequential(*stem), *blocks, nn.Sequential(*head))
            self.classifier = nn.Sequential(
                nn.Linear(960, 1280), nn.Hardswish(), nn.Dropout(), nn.Linear(1280, classes)
            )

    def forward(self, x):
        if self.timm:
            x = self.blocks(self.bn1(self.conv_stem(x))).mean((2, 3), keepdim=True)
            return F.hardswish(self.conv_head(x)).flatten(1)
        return self.classifier[1](self.classifier[0](self.features(x).mean((2, 3))))


class EfficientNet(nn.Module):
    def __init__(self, scale=0, timm=False, eps=1e-5, same=False, classes=10):
        super().__init__()
        self.timm = timm
        width = efficientnet.SCALES[scale][0]
        channels, outputs = round_channels(32 * width), round_channels(1280 * width)
        stem = conv(3, channels, 3, 2, same=same), norm_act(channels, eps, F.silu)
        stages = []
        for stage, depth in zip(efficientnet.STAGES, efficientnet.depths(scale), strict=True):
            features = round_channels(stage.features * width)
            stages.append([])
            for number in range(depth):
                stride = 1 if number else stage.stride
                sizes = (channels * stage.expansion, features, stage.kernel, stride, channels // 4)
                spec = (*sizes, F.silu, F.silu, torch.sigmoid)
                stages[-1].append(inverted_residual(channels, spec, timm, eps, same))
                channels = features
        head = conv(channels, outputs, 1), norm_act(outputs, eps, F.silu)
        blocks = [nn.Sequential(*stage) for stage in stages]
        if timm:
            self.conv_stem, self.bn1 = stem
            self.blocks = nn.Sequential(*blocks)
            self.conv_head, self.bn2 = head
            self.classifier = nn.Linear(outputs, classes)
        else:
            self.features = nn.Sequential(nn.Sequential(*stem), *blocks, nn.Sequential(*head))
            self.classifier = nn.Sequential(nn.Dropout(), nn.Linear(outputs, classes))

    def forward(self, x):
        if self.timm:
            x = self.bn2(self.conv_head(self.blocks(self.bn1(self.conv_stem(x)))))
        else:
            x = self.features(x)
        return x.mean((2, 3))


class ResidualBlock(nn.Module):
    def __init__(self, inputs, width, stride, bottleneck):
        super().__init__()
        outputs = width * 4 if bottleneck else width
        sizes = [(width, 1, 1), (width, 3, stride), (outputs, 1, 1)]
        sizes = sizes if bottleneck else [(width, 3, stride), (width, 3, 1)]
        self.count, channels = len(sizes), inputs
        for number, (features, kernel, step) in enumerate(sizes, 1):
            self.add_module(f"conv{number}", conv(channels, features, kernel, step))
            self.add_module(f"bn{number}", nn.BatchNorm2d(features))
            channels = features
        self.downsample = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        y = x
        for number in range(1, self.count + 1):
            y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
            y = F.relu(y) if number < self.count else y
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self, blocks, bottleneck, classes=10):
        super().__init__()
        self.conv1, self.bn1 = conv(3, 64, 7, 2), nn.BatchNorm2d(64)
        channels = 64
        for stage, count in enumerate(blocks, 1):
            layer = []
            for number in range(count):
                stride = 2 if stage > 1 and number == 0 else 1
                width = 64 * 2 ** (stage - 1)
                layer.append(ResidualBlock(channels, width, stride, bottleneck))
                channels = width * 4 if bottleneck else width
            self.add_module(f"layer{stage}", nn.Sequential(*layer))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3))


class AlexNet(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, 4, 2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        self.classifier = nn.Sequential(
            nn.Dropout(),
            nn.Linear(9216, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, classes),
        )

    def forward(self, x):
        return self.classifier[:-1](self.avgpool(self.features(x)).flatten(1))


def randomise(network, seed=0):
    """Random weights that keep activations near 1, and random BatchNorm scales and statistics."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.bias, 0, 0.1, generator=generator)
            nn.init.normal_(module.running_mean, 0, 0.1, generator=generator)
            nn.init.uniform_(module.running_var, 0.5, 1.5, generator=generator)
        elif isinstance(module, nn.BatchNorm1d):
            # insightface's last layer, whose scale is fixed.
            nn.init.normal_(module.bias, 0, 0.1, generator=generator)
            nn.init.normal_(module.running_mean, 0, 0.1, generator=generator)
            nn.init.uniform_(module.running_var, 0.5, 1.5, generator=generator)
        elif isinstance(module, nn.PReLU):
            nn.init.uniform_(module.weight, -0.5, 0.5, generator=generator)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.normal_(module.bias, 0, 0.1, generator=generator)
    return network.eval()
