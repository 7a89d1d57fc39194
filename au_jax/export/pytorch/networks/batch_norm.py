"""Conventions of BatchNorm in a PyTorch network: epsilon, momentum, and the running variance."""

from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def set_conventions(module: nn.Module, epsilon: float, momentum: float) -> None:
    """Sets epsilon and momentum (the share of the new batch) of every BatchNorm in `module`."""
    for norm in _norms(module):
        norm.eps, norm.momentum = epsilon, momentum


def biased_batch_norm(module: nn.Module) -> None:
    """Makes every BatchNorm in `module` keep the biased running variance, as ours do.

    PyTorch divides the sum of n squared deviations by n - 1 for its running variance; ours, and
    TensorFlow's, divide it by n. With this they agree to rounding.
    """
    for norm in _norms(module):
        norm.register_forward_pre_hook(_keep_old)
        norm.register_forward_hook(_remove_correction)


def _norms(module: nn.Module) -> list[Any]:
    return [part for part in module.modules() if isinstance(part, _BatchNorm)]


def _keep_old(norm: Any, inputs: tuple[Tensor]) -> None:
    if norm.training:
        norm.old_share = (1 - norm.momentum) * norm.running_var


def _remove_correction(norm: Any, inputs: tuple[Tensor], output: Tensor) -> None:
    if norm.training:
        values = inputs[0].numel() // inputs[0].shape[1]
        # What the batch added shrinks by (n - 1) / n. Autograd keeps the variance without using it,
        # and must not see that it changes: hence `data`.
        norm.running_var.data.lerp_(norm.old_share, 1 / values)
