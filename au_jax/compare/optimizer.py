"""PyTorch's optimisers and learning-rate schedules that make the same updates as ours."""

from collections.abc import Sequence

import torch
from torch.optim import lr_scheduler

from au_jax.errors import unknown


def make(
    module: torch.nn.Module,
    *,
    name: str,
    learning_rate: float,
    momentum: float,
    weight_decay: float,
    schedule: str,
    boundaries: Sequence[float],
    factor: float,
    steps: int,
) -> tuple[torch.optim.Optimizer, lr_scheduler.LRScheduler]:
    """Returns the optimiser of a module's parameters and its schedule, stepped at every update.

    Args:
      name, learning_rate, momentum, weight_decay, schedule, boundaries, factor, steps: as in
        `au_jax.training.optimizer.make_optimizer`. The weights of convolutions and dense layers
        decay; biases, BatchNorm's scales and PReLU's slopes do not.

    Raises:
      UserError: `name` or `schedule` is unknown.
    """
    trained = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizers = {
        "sgd": lambda: torch.optim.SGD(groups, learning_rate, momentum=momentum),
        "adam": lambda: torch.optim.Adam(groups, learning_rate),
    }
    if name not in optimizers:
        raise unknown("optimizer.name", name, optimizers)
    optimizer: torch.optim.Optimizer = optimizers[name]()
    milestones = sorted({round(boundary * steps) for boundary in boundaries})
    schedules = {
        "steps": lambda: lr_scheduler.MultiStepLR(optimizer, milestones, factor),
        "cosine": lambda: lr_scheduler.CosineAnnealingLR(optimizer, steps),
        "constant": lambda: lr_scheduler.ConstantLR(optimizer, 1.0),
    }
    if schedule not in schedules:
        raise unknown("optimizer.schedule", schedule, schedules)
    return optimizer, schedules[schedule]()
