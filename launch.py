"""The entry point: `python launch.py --config=configs/NAME.py[:VARIANT]`."""

import os
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from au_jax import cli
from au_jax.errors import UserError

config_flags.DEFINE_config_file("config", help_string="configs/NAME.py[:VARIANT].")
flags.DEFINE_string("mode", "run", "run, report or benchmark.")
flags.DEFINE_string("workdir", None, "The run's folder; runs/NAME-VARIANT by default.")
flags.DEFINE_string("data_dir", None, "Where data sets lie; AU_JAX_CACHE or ~/.cache/au_jax.")


def main(_) -> None:
    logging.set_verbosity(logging.ERROR)
    # The stack is imported only now, so that a mistyped flag is answered at once.
    import jax

    from au_jax import recipe

    # Compiled steps are kept, so that a second start of the same config begins at once.
    jax.config.update("jax_compilation_cache_dir", str(cli.cache_dir() / "xla"))
    if "JAX_COORDINATOR_ADDRESS" in os.environ:  # several hosts, one process on each
        jax.distributed.initialize()
    asked = flags.FLAGS
    data_dir = Path(asked.data_dir) if asked.data_dir else cli.cache_dir()

    def config():
        if asked.config is None:
            raise UserError("name a config: --config=configs/noisy_student.py")
        return asked.config

    def workdir() -> Path:
        return Path(asked.workdir) if asked.workdir else cli.default_workdir(config())

    modes = {
        "run": lambda: recipe.run(config(), workdir(), data_dir),
        "report": lambda: recipe.report_only(workdir()),
        "benchmark": lambda: recipe.measure(config(), data_dir),
    }
    cli.dispatch(modes, asked.mode)


if __name__ == "__main__":
    app.run(main, flags_parser=cli.parse)
