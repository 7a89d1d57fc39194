"""The two sides of a timing: JAX's training step and loop, and those of a variant of PyTorch."""

import dataclasses
import resource
import time
from pathlib import Path
from typing import Any

import jax
import torch
from tqdm import tqdm

from au_jax import sharding
from au_jax.compare import input_pipeline
from au_jax.compare import methods as counterparts
from au_jax.compare.step import VARIANTS, TorchTraining
from au_jax.compare.subject import Subject
from au_jax.data.pipeline import training_batches
from au_jax.training.loop import run_epoch
from au_jax.training.step import init_state, make_train_step

_MIB = 2**20
_ENDLESS = 10**6  # batches


@dataclasses.dataclass(frozen=True)
class Parcel:
    """What PyTorch's process is given by JAX's, in arrays of the host.

    Attributes:
      params, batch_stats, method_state: before the first step.
      drawn: what `Counterpart.draw` returned for a batch that is not augmented.
    """

    params: Any
    batch_stats: Any
    method_state: Any
    drawn: Any


def first_batch(subject: Subject) -> Any:
    """The first batch of a training, in host memory."""
    streams, seed, readers = subject.streams, subject.seed, subject.readers
    return next(training_batches(streams, seed=seed, steps=1, threads=readers))


class JaxSide:
    """The training step and the loop of this package."""

    def __init__(self, subject: Subject):
        self._subject, self._mesh = subject, sharding.make_mesh(1)
        self._memory = _Memory()
        self._in_memory = sharding.put_batch(first_batch(subject), self._mesh)
        self._batches = training_batches(
            subject.streams, seed=subject.seed, steps=_ENDLESS, threads=subject.readers
        )

    def first_step(self) -> dict[str, Any]:
        started = time.perf_counter()
        self._method, optimizer = self._subject.method(), self._subject.transformation()
        self._state = init_state(self._method, optimizer, self._subject.seed, self._mesh)
        self._step = make_train_step(self._method, optimizer, self._mesh)
        self._state, logs = self._step(self._state, self._in_memory)
        jax.block_until_ready((self._state, logs))
        seconds = time.perf_counter() - started
        plain = self._subject.without_augmentation().method()
        self._plain_step = make_train_step(plain, optimizer, self._mesh)
        self._predict = jax.jit(self._method.predict)
        return {"first_step_seconds": seconds, "device": sharding.describe(self._mesh)}

    def steps(self, count: int) -> float:
        started = time.perf_counter()
        for _ in range(count):
            self._state, logs = self._plain_step(self._state, self._in_memory)
        jax.block_until_ready((self._state, logs))
        return time.perf_counter() - started

    def predictions(self, count: int) -> float:
        stream = next(iter(self._in_memory.values()))
        variables = self._method.kept(
            self._state.params, self._state.batch_stats, self._state.method_state
        )
        started = time.perf_counter()
        for _ in range(count):
            logits = self._predict(variables, stream["image"], stream["pose"])
        jax.block_until_ready(logits)
        return time.perf_counter() - started

    def fed_steps(self, count: int) -> float:
        self._feed(_ahead(self._subject))
        started = time.perf_counter()
        self._feed(count)
        return time.perf_counter() - started

    def _feed(self, count: int) -> None:
        bar = tqdm(disable=True)
        self._state, *_ = run_epoch(self._step, self._state, self._batches, count, self._mesh, bar)
        jax.block_until_ready(self._state)

    def peak_memory(self) -> float:
        told = self._mesh.devices.flat[0].memory_stats() or {}
        peak = told.get("peak_bytes_in_use")
        return peak / _MIB if peak else self._memory.growth()

    def close(self) -> None:
        """The threads that read end with the process."""


class TorchSide:
    """A variant of PyTorch's training step, and the loop with PyTorch's own input."""

    def __init__(self, subject: Subject, parcel: Parcel, variant: str, threads: int):
        torch.set_num_threads(threads)
        self._subject, self._parcel, self._variant = subject, parcel, variant
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._memory = _Memory()
        self._batches: Any = None

    def first_step(self) -> dict[str, Any]:
        started = time.perf_counter()
        card, parcel = self._subject.card, self._parcel
        counterpart = counterparts.create(card.method, card.context, card.options)
        settings = {**self._subject.optimizer, "steps": _ENDLESS}
        self._training = TorchTraining(
            counterpart, settings, VARIANTS[self._variant], device=self._device
        )
        self._training.load(parcel.params, parcel.batch_stats, parcel.method_state)
        self._drawn = self._training.place(parcel.drawn)
        self._training.step(self._drawn)
        seconds = time.perf_counter() - started
        name = torch.cuda.get_device_name() if self._device == "cuda" else "CPU"
        return {"first_step_seconds": seconds, "device": name}

    def steps(self, count: int) -> float:
        started = time.perf_counter()
        for _ in range(count):
            loss = self._training.update(self._drawn)
        float(loss)  # waits for the device
        return time.perf_counter() - started

    def predictions(self, count: int) -> float:
        images = next(leaf for leaf in jax.tree.leaves(self._drawn) if leaf.ndim == 4)
        images = images[: self._subject.images_per_prediction]
        pose = images.new_zeros(len(images), 3)
        started = time.perf_counter()
        for _ in range(count):
            logits = self._training.predict(images, pose)
        logits.sum().item()  # waits for the device
        return time.perf_counter() - started

    def fed_steps(self, count: int) -> float:
        if self._batches is None:
            self._batches = iter(self._loader())
        self._feed(_ahead(self._subject))
        started = time.perf_counter()
        self._feed(count)
        return time.perf_counter() - started

    def _feed(self, count: int) -> None:
        for _ in range(count):
            images = input_pipeline.views_in_order(next(self._batches))
            on_device = images.to(self._device, non_blocking=True)
            loss = self._training.update(_with_images(self._drawn, on_device))
        float(loss)

    def _loader(self) -> Any:
        context = self._subject.context
        images = sum(len(leaf) for leaf in jax.tree.leaves(self._drawn) if leaf.ndim == 4)
        return input_pipeline.loader(
            self._subject.streams,
            context.augmentation,
            context.aus,
            seed=self._subject.seed,
            steps=_ENDLESS,
            workers=self._subject.readers,
            views=images // self._subject.images_per_step,
            pin_memory=self._device == "cuda",
        )

    def peak_memory(self) -> float:
        if self._device == "cuda":
            return torch.cuda.max_memory_allocated() / _MIB
        return self._memory.growth()

    def close(self) -> None:
        """Ends the processes that read, which PyTorch does when their iterator is let go.

        At the end of this process they would be killed first, of which PyTorch complains.
        """
        self._batches = None


def _with_images(drawn: Any, images: torch.Tensor) -> Any:
    """What a step draws with other images, the rest, which takes no time, as it was.

    Args:
      images: uint8 [N, 3, S, S], N being the number of all images in `drawn`.
    """
    scaled = iter(
        images.float()
        .div_(255)
        .split([len(leaf) for leaf in jax.tree.leaves(drawn) if leaf.ndim == 4])
    )

    def replaced(leaf: torch.Tensor) -> torch.Tensor:
        if leaf.ndim != 4:
            return leaf
        channels_last = leaf.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        return next(scaled).contiguous(memory_format=layout)

    return jax.tree.map(replaced, drawn)


def _ahead(subject: Subject) -> int:
    """The batches that both sides' readers may have ready, which the clock must not count."""
    return max(1, 2 * subject.readers)


def precision_of(variant: str) -> str:
    """The name in `network_spec.PRECISIONS` of what a variant of PyTorch computes in."""
    return "bfloat16" if VARIANTS[variant].autocast else "float32"


class _Memory:
    """The growth of this process's peak memory."""

    def __init__(self) -> None:
        self._before = _peak()

    def growth(self) -> float:
        """MiB since this object was made."""
        return _peak() - self._before


def _peak() -> float:
    """MiB, the most that this process has held at once."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage's figure begins with that of the process that started this one
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
