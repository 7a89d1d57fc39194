"""A config file, read before the flags are: what is wrong with it is said with file and line."""

import runpy
import traceback
from pathlib import Path

from ml_collections import ConfigDict

from au_jax.errors import UserError


def load(reference: str) -> ConfigDict:
    """The config that `FILE[:VARIANT]` names, without what the command line changes.

    Raises:
      UserError: there is no such file, it is not Python or raises an exception, or it has no
        function `get_config` that returns a config.
    """
    file, _, variant = reference.partition(":")
    path = Path(file)
    try:
        is_there = path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        is_there = False
    if not is_there:
        shipped = ", ".join(sorted(f"configs/{p.name}" for p in Path("configs").glob("*.py")))
        raise UserError(f"there is no file {file}; configs here: {shipped or 'none'}")
    try:
        get_config = runpy.run_path(file).get("get_config")
        if not callable(get_config):
            raise UserError(
                f"{file} has no function get_config(variant), which returns the config; it is no "
                "config of au_jax"
            )
        config = get_config(variant) if variant else get_config()
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, ValueError) and variant and variant in str(error):
            raise UserError(str(error)) from error  # what the config says of its variant
        raise UserError(_what_failed(path, error)) from error
    if not isinstance(config, ConfigDict):
        raise UserError(
            f"get_config of {file} returns {_article(config)}, and no config; begin with "
            "base.base() of configs/base.py and return that"
        )
    return config


def _article(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _what_failed(path: Path, error: BaseException) -> str:
    """File, line and cause of an exception that a config raised, in one sentence."""
    where, line = str(path), 0
    for frame in traceback.extract_tb(error.__traceback__):
        if Path(frame.filename).resolve() == path.resolve():
            line = frame.lineno or 0
    if isinstance(error, SyntaxError) and error.lineno:
        where, line = error.filename or where, error.lineno
    at = f"{where}, line {line}" if line else where
    cause = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())
    return f"{at}: {type(error).__name__}{f': {cause}' if cause else ''}; mend the config"
