"""The config that a command line of launch.py names, read in the process of a test."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from absl import flags
from ml_collections import ConfigDict, config_flags

from au_jax import cli
from au_jax.errors import UserError


def config_of(*arguments: str, mode: str = "run") -> ConfigDict:
    """What launch.py makes of `--config=FILE[:VARIANT]` and fields.

    Raises:
      UserError: with the sentence that it would print.
    """
    with _own_flags() as given:
        cli.parse(["launch.py", *arguments])
        return cli.load_config(given.config, mode)


@contextmanager
def _own_flags() -> Iterator[flags.FlagValues]:
    """Flags of this command line alone, and mistakes as exceptions."""
    before, arguments, fail = flags.FLAGS, list(sys.argv), cli.fail
    given = flags.FlagValues()
    config_flags.DEFINE_config_file("config", flag_values=given)
    flags.FLAGS, cli.fail = given, _raise
    try:
        yield given
    finally:
        flags.FLAGS, cli.fail, sys.argv[:] = before, fail, arguments


def _raise(error: UserError):
    raise error
