"""PyTorch's own input: a DataLoader whose worker processes read, decode and augment faces.

Written as a PyTorch user would: one record at a time, uint8 images, torchvision's functional
operations where torchvision is installed (`plain_images` has the same in plain PyTorch).
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from au_jax import aus as au_names
from au_jax.augment import Augment
from au_jax.data.pipeline import BatchRows, Stream
from au_jax.errors import UserError
from au_jax.export.pytorch import INSTALL

try:
    from torchvision.transforms.v2 import functional as operations
except Exception:  # torchvision of another PyTorch's version raises errors of any kind
    from au_jax.compare import plain_images as operations

# (stream, row): one record.
Place = tuple[str, int]
Batch = dict[str, dict[str, torch.Tensor]]


class Augmentation:
    """The operations of `au_jax.augment.Augment` on one image, drawn by PyTorch.

    The same operations with the same probabilities and strengths in the same order as on the
    device, as far as torchvision has them: its draws of whole boxes, not ours.
    """

    def __init__(self, config: Augment):
        """Raises UserError when an operation needs torchvision, which is not installed."""
        self._config = config
        needed = {"hue": config.hue, "jitter": config.jitter, "blur": config.blur}
        lacking = [name for name, probability in needed.items() if probability]
        if lacking and not hasattr(operations, "adjust_hue"):
            raise UserError(
                f"the augmentation {lacking[0]} on PyTorch's side needs torchvision; {INSTALL}"
            )

    def __call__(self, image: torch.Tensor) -> tuple[torch.Tensor, bool]:
        """Returns the augmented crop, uint8 [3, S, S], and whether it is flipped.

        Args:
          image: uint8 [3, H, W].
        """
        config, size = self._config, self._config.image_size
        flipped = _happens(config.flip)
        if _happens(config.resized_crop):
            image = operations.resized_crop(image, *self._box(image), [size, size])
        else:
            top, left = (_whole(0, side - size) for side in image.shape[1:])
            image = operations.crop(image, top, left, size, size)
        if flipped:
            image = operations.horizontal_flip(image)
        for name in ("brightness", "contrast", "saturation", "hue"):
            if _happens(getattr(config, name)):
                image = self._adjust(name, image)
        if _happens(config.jitter):
            for number in torch.randperm(4).tolist():
                image = self._adjust(("brightness", "contrast", "saturation", "hue")[number], image)
        if _happens(config.greyscale):
            image = operations.rgb_to_grayscale(image, num_output_channels=3)
        if _happens(config.blur):
            sigma = _between(config.blur_smallest, config.blur_largest)
            kernel = 2 * int(np.ceil(3 * config.blur_largest)) + 1
            image = operations.gaussian_blur(image, [kernel, kernel], [sigma, sigma])
        if _happens(config.downsample):
            side = max(1, round(_between(config.downsample_smallest, 1) * size))
            image = operations.resize(image, [side, side], antialias=True)
            image = operations.resize(image, [size, size], antialias=True)
        if _happens(config.cutout):
            side = max(1, round(config.cutout_side * size))
            top, left = _whole(0, size - side), _whole(0, size - side)
            image = image.clone()
            image[:, top : top + side, left : left + side] = 0
        return image, flipped

    def _adjust(self, name: str, image: torch.Tensor) -> torch.Tensor:
        strength = getattr(self._config, f"{name}_strength")
        adjust = getattr(operations, f"adjust_{name}")
        if name == "hue":
            return adjust(image, _between(-strength, strength))
        return adjust(image, _between(max(0, 1 - strength), 1 + strength))

    def _box(self, image: torch.Tensor) -> tuple[int, int, int, int]:
        """Top, left, height and width of a random box, as torchvision's RandomResizedCrop draws."""
        config = self._config
        height, width = image.shape[1:]
        limit = np.log(config.resized_crop_aspect)
        for _ in range(10):
            area = height * width * _between(config.resized_crop_smallest, 1)
            ratio = np.exp(_between(-limit, limit))
            tall, wide = round((area / ratio) ** 0.5), round((area * ratio) ** 0.5)
            if 0 < tall <= height and 0 < wide <= width:
                return _whole(0, height - tall), _whole(0, width - wide), tall, wide
        side = min(height, width)
        return (height - side) // 2, (width - side) // 2, side, side


def _happens(probability: float) -> bool:
    return probability > 0 and torch.rand(()).item() < probability


def _between(low: float, high: float) -> float:
    return low + (high - low) * torch.rand(()).item()


def _whole(low: int, high: int) -> int:
    return int(torch.randint(low, high + 1, ()).item())


class Faces(Dataset):
    """The records of all streams of a training, each read, decoded and augmented by itself."""

    def __init__(
        self, streams: Mapping[str, Stream], config: Augment, aus: Sequence[str], views: int
    ):
        """Takes what is read and how it is augmented.

        Args:
          aus: the AUs of the labels. views: augmented images of each record.
        """
        self._streams, self._views = dict(streams), views
        self._augment = Augmentation(config)
        self._mirror = torch.from_numpy(np.array(au_names.mirror_permutation(aus)))
        self._mirrored = torch.from_numpy(np.array(au_names.mirror_known(aus)))

    def __getitem__(self, place: Place) -> tuple[str, dict[str, torch.Tensor]]:
        """The record's stream, and its fields; `image` is uint8 [views, 3, S, S]."""
        name, row = place
        fields = {
            field: torch.from_numpy(values[0])
            if isinstance(values[0], np.ndarray)
            else torch.tensor(values[0])
            for field, values in self._streams[name].read(np.array([row])).items()
        }
        image = fields["image"].permute(2, 0, 1)
        images, flips = zip(*(self._augment(image) for _ in range(self._views)), strict=True)
        if flips[0]:
            for field in ("labels", "soft"):
                if field in fields and len(self._mirror):
                    fields[field] = torch.where(
                        self._mirrored, fields[field][self._mirror], au_names.UNKNOWN
                    ).to(fields[field].dtype)
            fields["pose"] = fields["pose"] * torch.tensor([1.0, -1.0, -1.0])
        return name, {**fields, "image": torch.stack(images)}


class _Batches:
    """The records of every batch, in the order of the training."""

    def __init__(self, rows: BatchRows):
        self._rows = rows

    def __iter__(self) -> Iterator[list[Place]]:
        for step in range(len(self._rows)):
            by_stream = self._rows[step]
            yield [(name, int(row)) for name, rows in by_stream.items() for row in rows]


def collate(records: Sequence[tuple[str, dict[str, torch.Tensor]]]) -> Batch:
    """Stacks the fields of the records of each stream."""
    return {
        name: {
            field: torch.stack([record[field] for record in of_stream]) for field in of_stream[0]
        }
        for name, group in itertools.groupby(records, key=lambda record: record[0])
        for of_stream in [[record for _, record in group]]
    }


def _one_thread(worker: int) -> None:
    del worker
    cv2.setNumThreads(0)  # the workers are the threads


def loader(
    streams: Mapping[str, Stream],
    config: Augment,
    aus: Sequence[str],
    *,
    seed: int,
    steps: int,
    workers: int,
    views: int = 1,
    pin_memory: bool = False,
) -> DataLoader:
    """The loader of batches of a training: the records of `training_batches`, in its order.

    Args:
      config, aus, views: see `Faces`.
      seed: of order and augmentation.
      steps: how many batches.
      workers: processes; 0 for none.
      pin_memory: whether batches lie where a GPU copies them from without waiting.
    """
    spawned: dict[str, Any] = {}
    if not workers:
        torch.manual_seed(seed)  # which the loader does in its workers only
    else:
        # JAX has threads, which a forked process would hang on.
        spawned = {"multiprocessing_context": "spawn", "prefetch_factor": 2}
    initialised: Callable[[int], None] = _one_thread
    return DataLoader(
        Faces(streams, config, aus, views),
        batch_sampler=_Batches(BatchRows.of(streams, seed, steps)),
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=initialised,
        generator=torch.Generator().manual_seed(seed),
        pin_memory=pin_memory,
        **spawned,
    )


def views_in_order(batch: Batch) -> torch.Tensor:
    """All images of a batch, uint8 [views x B, 3, S, S]: the first views of all streams first."""
    images = torch.cat([fields["image"] for fields in batch.values()])
    return images.transpose(0, 1).flatten(0, 1)
