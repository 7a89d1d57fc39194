"""The only reader of configs."""

from au_jax.experiment.build import Build
from au_jax.experiment.optimizer import make_optimizer
from au_jax.experiment.workdir import check_workdir

__all__ = ["Build", "check_workdir", "make_optimizer"]
