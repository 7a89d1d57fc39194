"""The only reader of configs."""

from au_jax.build.optimizer import make_optimizer
from au_jax.build.stages import Build
from au_jax.build.workdir import check_workdir

__all__ = ["Build", "check_workdir", "make_optimizer"]
