"""The shipped configs and their variants, and the fields of a config's tree, for tests."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

_FOLDER = Path(__file__).parents[1] / "configs"
NAMES = [f.stem for f in sorted(_FOLDER.glob("*.py")) if "def get_config(" in f.read_text()]
VARIANTS = [
    (name, variant)
    for name in NAMES
    for variant in importlib.import_module(f"configs.{name}").VARIANTS
]


def get_config(name: str = "noisy_student", variant: str = "default") -> ConfigDict:
    return importlib.import_module(f"configs.{name}").get_config(variant)


def leaves(tree: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple, Any]]:
    """(path, annotation) of every field of `experiment.fields.tree_of`."""
    for name, hint in tree.items():
        if isinstance(hint, dict):
            yield from leaves(hint, (*path, name))
        else:
            yield (*path, name), hint
