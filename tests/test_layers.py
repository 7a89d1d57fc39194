"""Who may import whom: each level imports only from lower ones (CONTRIBUTING.md)."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
LEVELS = (
    ("errors", "aus", "losses", "metrics"),
    ("data", "models", "faces", "augment", "checkpoint", "sharding", "log", "artefacts"),
    ("methods", "selection", "train_step", "trained"),
    (
        "stages",
        "report",
        "report_page",
        "benchmark",
        "prepare",
        "prepare_worker",
        "audit",
        "voters",
    ),
    ("build", "recipe", "cli"),
)
LEVEL = {name: number for number, names in enumerate(LEVELS) for name in names}


def imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def part(module: str) -> str | None:
    """`au_jax.stages.train` -> stages."""
    pieces = module.split(".")
    return pieces[1] if len(pieces) > 1 and pieces[0] == "au_jax" else None


def test_every_part_has_a_level():
    parts = {p.stem for p in (ROOT / "au_jax").iterdir() if not p.name.startswith("__")}
    assert parts <= LEVEL.keys(), sorted(parts - LEVEL.keys())


def test_no_import_points_upward():
    wrong = []
    for file in (ROOT / "au_jax").rglob("*.py"):
        own = file.relative_to(ROOT / "au_jax").parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        for module in imported(file):
            other = part(module)
            if other in LEVEL and LEVEL[other] > LEVEL[own]:
                wrong.append(f"{file.name} imports {module}")
    assert not wrong


def test_data_is_numpy_only_and_configs_stand_alone():
    for file in (ROOT / "au_jax" / "data").rglob("*.py"):
        assert not {"jax", "flax"} & {m.split(".")[0] for m in imported(file)}, file
    for file in (ROOT / "configs").glob("*.py"):
        roots = {m.split(".")[0] for m in imported(file)}
        assert roots <= {"ml_collections", "configs", "typing", "dataclasses"}, file


def test_only_build_and_its_level_read_configs():
    for file in (ROOT / "au_jax").rglob("*.py"):
        if any("ml_collections" in m for m in imported(file)):
            own = file.relative_to(ROOT / "au_jax").parts[0].removesuffix(".py")
            assert own in LEVELS[-1], file


def test_launch_is_short():
    assert len((ROOT / "launch.py").read_text().splitlines()) <= 66
