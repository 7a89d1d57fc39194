"""Image operations in plain PyTorch under torchvision's names, where torchvision is not there."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

_LUMA = (0.2989, 0.587, 0.114)


def crop(image: torch.Tensor, top: int, left: int, height: int, width: int) -> torch.Tensor:
    """The box of an image [3, H, W]."""
    return image[:, top : top + height, left : left + width]


def horizontal_flip(image: torch.Tensor) -> torch.Tensor:
    """The mirror image."""
    return image.flip(-1)


def resize(image: torch.Tensor, size: Sequence[int], antialias: bool = True) -> torch.Tensor:
    """Resizes a uint8 image to `size`, bilinear."""
    resized = F.interpolate(image[None].float(), tuple(size), mode="bilinear", antialias=antialias)
    return _to_uint8(resized[0])


def resized_crop(
    image: torch.Tensor, top: int, left: int, height: int, width: int, size: Sequence[int]
) -> torch.Tensor:
    """The box of an image, resized to `size`."""
    return resize(crop(image, top, left, height, width), size)


def rgb_to_grayscale(image: torch.Tensor, num_output_channels: int = 3) -> torch.Tensor:
    """The grey values of a uint8 image, in each of the channels."""
    return _to_uint8(_grey(image)).expand(num_output_channels, -1, -1)


def adjust_brightness(image: torch.Tensor, factor: float) -> torch.Tensor:
    """Multiplies a uint8 image by `factor`."""
    return _to_uint8(image.float() * factor)


def adjust_contrast(image: torch.Tensor, factor: float) -> torch.Tensor:
    """Scales the distance of a uint8 image to its mean grey value by `factor`."""
    mean = _grey(image).mean()
    return _to_uint8(factor * image.float() + (1 - factor) * mean)


def adjust_saturation(image: torch.Tensor, factor: float) -> torch.Tensor:
    """Scales the distance of a uint8 image to its grey values by `factor`."""
    return _to_uint8(factor * image.float() + (1 - factor) * _grey(image))


def _grey(image: torch.Tensor) -> torch.Tensor:
    weights = torch.tensor(_LUMA).view(3, 1, 1)
    return (image.float() * weights).sum(0, keepdim=True)


def _to_uint8(image: torch.Tensor) -> torch.Tensor:
    return image.clamp(0, 255).round().to(torch.uint8)
