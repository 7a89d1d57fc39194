"""Who may import whom: each level imports from lower ones only (CONTRIBUTING.md)."""

import ast
import itertools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "au_jax"
# From the lowest level to the highest; a name is a module or a folder of the package.
LEVELS = (
    (
        *("errors", "allowed", "aus", "outside", "stage_name", "files", "process"),
        *("losses", "metrics", "similarity", "starter"),
    ),
    ("data", "models", "faces", "augment", "sharding", "log", "run_dir", "html"),
    ("methods",),
    ("training",),
    ("ensemble",),
    ("report",),
    ("stages", "prepare", "benchmark", "predict", "export"),
    ("compare", "serve"),
    ("experiment",),
    ("cli",),
)
LEVEL = {name: number for number, names in enumerate(LEVELS) for name in names}
# What the files of a folder share; no other of them is imported by another.
SHARED = {
    "methods": ("base", "co_training", "momentum_contrast", "one_network"),
    "stages": ("base",),
}
# Within the two lowest levels a module may use these of its own level.
FOUNDATIONS = {"errors", "allowed", "aus", "outside", "stage_name", "files", "process"}


def modules_of(file: Path) -> set[str]:
    """The dotted modules that a file imports, and the names that it imports from them."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{file} imports relatively"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def part(module: str) -> str | None:
    """`au_jax.stages.train` -> stages."""
    pieces = module.split(".")
    return pieces[1] if len(pieces) > 1 and pieces[0] == "au_jax" else None


def arrows() -> set[tuple[str, str]]:
    """(importing part, imported part) of the whole package; `__init__` stands for its own file."""
    found = set()
    for file in PACKAGE.rglob("*.py"):
        own = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for module in modules_of(file):
            other = part(module)
            if other in LEVEL and other != own:
                found.add((own, other))
    return found


def test_every_part_has_a_level():
    parts = {p.stem for p in PACKAGE.iterdir() if not p.name.startswith("__")}
    assert parts == set(LEVEL), parts ^ set(LEVEL)


def test_every_import_points_downward():
    wrong = []
    for own, other in sorted(arrows()):
        if own == "__init__":  # the public face opens a run, and needs no more than that
            allowed = other == "predict"
        else:
            allowed = LEVEL[other] < LEVEL[own] or (LEVEL[own] == 0 and other in FOUNDATIONS)
        if not allowed:
            wrong.append(f"{own} imports {other}")
    assert not wrong


@pytest.mark.parametrize("folder", ["methods", "stages"])
def test_siblings_do_not_import_each_other(folder):
    wrong = []
    for file in (PACKAGE / folder).glob("*.py"):
        if file.stem == "__init__":
            continue
        for module in modules_of(file):
            pieces = module.split(".")
            inside = pieces[:2] == ["au_jax", folder] and len(pieces) > 2
            if inside and pieces[2] not in (file.stem, *SHARED[folder]):
                wrong.append(f"{file.name} imports {module}")
    assert not wrong


def test_no_two_modules_import_each_other():
    modules = {
        ".".join(("au_jax", *f.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
            ".__init__"
        ): f
        for f in PACKAGE.rglob("*.py")
    }
    uses = {
        name: {m if m in modules else m.rpartition(".")[0] for m in modules_of(file)}
        for name, file in modules.items()
    }
    both = [
        f"{a} and {b}"
        for a, b in itertools.combinations(sorted(modules), 2)
        if b in uses[a] and a in uses[b]
    ]
    assert not both


def test_data_is_numpy_only_and_configs_stand_alone():
    for file in (PACKAGE / "data").rglob("*.py"):
        assert not {"jax", "flax"} & {m.split(".")[0] for m in modules_of(file)}, file
    for file in (ROOT / "configs").glob("*.py"):
        roots = {m.split(".")[0] for m in modules_of(file)}
        assert roots <= {"ml_collections", "configs", "typing", "dataclasses"}, file


def test_only_the_highest_levels_read_configs():
    for file in PACKAGE.rglob("*.py"):
        if any("ml_collections" in m for m in modules_of(file)):
            own = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
            assert own in (*LEVELS[-2], *LEVELS[-1]), file


@pytest.mark.parametrize("module", ["report.run", "predict.run", "export.run"])
def test_what_trains_is_not_imported_by_what_does_not(module):
    heavy = {"grain", "orbax.checkpoint", "tensorflow_datasets", "matplotlib", "au_jax.stages"}
    code = f"import sys, au_jax.{module}; print(*{heavy!r} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr
