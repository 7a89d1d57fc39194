"""From prepared crops to logits in PyTorch, as one module: what is converted to ONNX."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from au_jax.export.pytorch.networks import AUNet


class CropLogits(nn.Module):
    """The logits of the views of a method together, as `Method.predict` of this package gives them.

    Args:
      views: networks that predict together. head: the head of each that predicts.
      image_size: side of their input, pixels, cut from the centre of the crops.
    """

    def __init__(self, views: Sequence[AUNet], head: str, image_size: int):
        super().__init__()
        self.views = nn.ModuleList(views)
        self.head, self.image_size = head, image_size

    def forward(self, images: Tensor, pose: Tensor | None = None) -> Tensor:
        """The logits [B, A].

        Args:
          images: uint8 [B, S, S, 3]. pose: degrees, float32 [B, 3], NaN where not known.
        """
        start = (images.shape[1] - self.image_size) // 2
        end = start + self.image_size
        faces = images[:, start:end, start:end].permute(0, 3, 1, 2).to(torch.float32) / 255
        each = [view(faces, pose)[self.head] for view in self.views]
        if len(each) == 1:
            return each[0]
        # The logits of the views' mean probability.
        stacked = torch.stack(each)
        return _log_sum(_log_sigmoid(stacked)) - _log_sum(_log_sigmoid(-stacked))


# PyTorch's own functions of these names overflow at large logits once they are ONNX.
def _log_sigmoid(logits: Tensor) -> Tensor:
    return logits.clamp(max=0) - torch.log(1 + torch.exp(-logits.abs()))


def _log_sum(values: Tensor) -> Tensor:
    """log(sum(exp(values))) over the first axis."""
    largest = values.amax(0, keepdim=True)
    return (largest + torch.log(torch.exp(values - largest).sum(0, keepdim=True))).squeeze(0)
