"""The config of a workdir: a folder belongs to one config, and keeps what that config says."""

from collections.abc import Collection, Mapping
from typing import Any

from ml_collections import ConfigDict

from au_jax import run_dir
from au_jax.errors import UserError
from au_jax.files import atomic_files
from au_jax.run_dir import RunFolder

# What may differ between calls on one workdir: it changes no result.
FREE = ("data.threads", "compare.")
# The same, but the report shows it, so that the workdir keeps what was said last.
_SHOWN = "quoted."
_MEND = "give another --workdir, or delete the file to let this config take the workdir over"


def fields_of(config: ConfigDict) -> dict[str, Any]:
    """{dotted field: value} of all that a config sets and a workdir belongs to."""
    return {k: v for k, v in run_dir.flat(config.to_dict()).items() if not k.startswith(FREE)}


def check_workdir(config: ConfigDict, run: RunFolder, free_stages: Collection[str] = ()) -> None:
    """Checks that a workdir is new or belongs to this config.

    `seeds` may be raised: what ran from the first seeds stays, and that of the others is added.

    Args:
      free_stages: stages of the config that may differ.

    Raises:
      UserError: the workdir belongs to another config; names the fields that differ.
    """
    if not run.config.exists():
        return
    mine, theirs = fields_of(config), atomic_files.read_json(run.config, Mapping[str, Any], _MEND)
    free = (_SHOWN, *(f"stages.{name}." for name in free_stages))
    if theirs.get("seeds") in range(1, mine["seeds"]):
        free += ("seeds",)
    differing = [
        f"{k} ({theirs.get(k, 'absent')} there, {mine.get(k, 'absent')} here)"
        for k in sorted(mine.keys() | theirs.keys())
        if mine.get(k) != theirs.get(k) and not k.startswith(free)
    ]
    if differing:
        shown = "; ".join(differing[:8]) + ("; ..." if len(differing) > 8 else "")
        raise UserError(
            f"{run.path} belongs to another config; it differs in {shown}. Give another --workdir, "
            "or the config that made it"
        )


def is_kept(config: ConfigDict, run: RunFolder) -> bool:
    """Whether a workdir has the config as it is, what only the report shows included."""
    if not run.config.exists():
        return False
    return atomic_files.read_json(run.config, Mapping[str, Any], _MEND) == fields_of(config)


def keep_config(config: ConfigDict, run: RunFolder) -> None:
    """Writes the config into a workdir that `check_workdir` let pass, unless it is there."""
    if not is_kept(config, run):
        atomic_files.write_json(run.config, fields_of(config))
