"""PyTorch's training step, in the variants that a PyTorch user would choose among."""

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import torch

from au_jax.compare import optimizer
from au_jax.compare.counterpart import Counterpart, Drawn, PyTree, load_state


@dataclasses.dataclass(frozen=True)
class Variant:
    """How PyTorch computes a step.

    Attributes:
      channels_last: whether images and kernels lie in memory with their channels last.
      compiled: whether `torch.compile` compiles the networks and the loss.
      autocast: whether layers compute in bfloat16 where torch.autocast has them do so.
    """

    channels_last: bool = False
    compiled: bool = False
    autocast: bool = False


VARIANTS = {
    "eager": Variant(),
    "channels_last": Variant(channels_last=True),
    "compile": Variant(channels_last=True, compiled=True),
    "amp": Variant(channels_last=True, autocast=True),
    "compile_amp": Variant(channels_last=True, compiled=True, autocast=True),
}


class TorchTraining:
    """A training in PyTorch: a method's counterpart, its optimiser and the way of computing.

    Attributes:
      counterpart: the method. variant: how a step is computed.
    """

    def __init__(
        self,
        counterpart: Counterpart,
        settings: Mapping[str, Any],
        variant: Variant = VARIANTS["eager"],
        *,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ):
        """Moves the networks to where they are trained.

        Args:
          settings: keywords of `optimizer.make`.
          device: such as "cpu" or "cuda".
          dtype: of parameters and images, float32 or float64.
        """
        self.counterpart, self.variant = counterpart, variant
        self._device, self._dtype = torch.device(device), dtype
        self._layout = torch.channels_last if variant.channels_last else torch.contiguous_format
        self._module = counterpart.module.to(self._device, dtype)
        self._module.to(memory_format=self._layout)  # type: ignore[call-overload]
        self._loss, self._predict = counterpart.loss, counterpart.predict
        if variant.compiled:
            self._loss, self._predict = torch.compile(self._loss), torch.compile(self._predict)
        self._optimizer, self._scheduler = optimizer.make(self._module, **settings)

    def load(self, params: PyTree, batch_stats: PyTree, method_state: PyTree) -> None:
        """Begins with the values of the JAX side's trees."""
        load_state(self._module, self.counterpart.state(params, batch_stats))
        self.counterpart.begin(method_state)

    def place(self, drawn: Drawn) -> Drawn:
        """What `Counterpart.draw` returns as tensors on the device, images [B, 3, S, S].

        Tensors stay as they are.
        """
        return jax.tree.map(self._tensor, drawn)

    def gradients(self, drawn: Drawn) -> dict[str, np.ndarray]:
        """The gradient of every parameter; 0 where none flows.

        It is of a training pass, after which statistics and queues are other ones: `load` again.
        """
        self._backward(drawn)
        return {
            name: (torch.zeros_like(p) if p.grad is None else p.grad).cpu().numpy()
            for name, p in self._module.named_parameters()
        }

    def update(self, drawn: Drawn) -> torch.Tensor:
        """One update; returns its loss on the device, for which nothing has waited yet."""
        loss = self._backward(drawn)
        self._optimizer.step()
        self._scheduler.step()
        self.counterpart.after_update()
        return loss

    def step(self, drawn: Drawn) -> float:
        """One update; returns its loss, nats."""
        return float(self.update(drawn))

    def predict(self, images: torch.Tensor, pose: torch.Tensor) -> torch.Tensor:
        """Logits [B, A] of images on the device; see `Counterpart.predict`."""
        with self._precision():
            return self._predict(images, pose)

    def _backward(self, drawn: Drawn) -> torch.Tensor:
        self._optimizer.zero_grad()
        with self._precision():
            loss, _ = self._loss(self.place(drawn))
        loss.backward()
        return loss.detach()

    def _precision(self) -> contextlib.AbstractContextManager:
        if self.variant.autocast:
            return torch.autocast(self._device.type, torch.bfloat16)
        return contextlib.nullcontext()

    def _tensor(self, leaf: Any) -> torch.Tensor:
        if isinstance(leaf, torch.Tensor):
            return leaf
        tensor = torch.tensor(np.asarray(leaf), device=self._device)
        if tensor.is_floating_point():
            tensor = tensor.to(self._dtype)
        if tensor.ndim == 4:
            tensor = tensor.permute(0, 3, 1, 2).contiguous(memory_format=self._layout)
        return tensor
