"""A recipe: the stages of a config, run in order, finished ones skipped, killed ones resumed."""

import time
from collections.abc import Sequence
from pathlib import Path

import jax
from ml_collections import ConfigDict

from au_jax import experiment, log, run_dir, sharding
from au_jax.benchmark import throughput
from au_jax.errors import UserError
from au_jax.report import results
from au_jax.run_dir import RunFolder


def run(config: ConfigDict, workdir: Path, data_dir: Path) -> None:
    """Runs every stage of `config` that is not done yet, then writes the report."""
    folder = RunFolder(workdir)
    parts = experiment.Build(config, folder, data_dir)
    experiment.check_workdir(config, folder)
    log.say(f"{config.name}:{config.variant} in {workdir}, on {sharding.describe(parts.mesh)}")
    todo = [name for name in parts.names if not folder.stage(name).done]
    if todo:
        parts.check_streams()
    _run_stages(parts, parts.names, todo)


def select(config: ConfigDict, workdir: Path, data_dir: Path, runs: Sequence[Path]) -> None:
    """Makes the selections of `config` again, from what trained stages kept; nothing is trained.

    Args:
      runs: where the trained stages are. When none is named they are those of `workdir`, whose
        selections are then replaced; several runs vote together.

    Raises:
      UserError: the config selects nothing, `workdir` belongs to a config that trains otherwise, or
        one of `runs` is no run's folder.
    """
    folder = RunFolder(workdir)
    voting = [RunFolder(run) for run in runs]
    for run in voting:
        run_dir.read_json(run.config)
    if any(run.path.resolve() == workdir.resolve() for run in voting):
        raise UserError(f"--from names the workdir {workdir} itself; give another --workdir")
    parts = experiment.Build(config, folder, data_dir, voting)
    selecting = [name for name in parts.names if parts.kind(name) == "select"]
    if not selecting:
        raise UserError(f"config {config.name} has no selection to make")
    experiment.check_workdir(config, folder, may_select_otherwise=True)
    log.say(f"{config.name}:{config.variant} selects in {workdir}")
    for name in selecting:
        folder.stage(name).clear()
    _run_stages(parts, selecting, selecting)


def _run_stages(parts: experiment.Build, names: Sequence[str], todo: Sequence[str]) -> None:
    """Runs those of the stages `names` that are `todo`, then writes the report."""
    folder = parts.run
    if todo and jax.process_index() == 0:
        made_with = results.environment(sharding.describe(parts.mesh))
        run_dir.write_json(folder.environment, made_with)
    sharding.barrier("begin")
    started = time.perf_counter()
    for number, name in enumerate(names, 1):
        stage = folder.stage(name)
        head = f"[{number}/{len(names)}] {name} ({parts.kind(name)})"
        if name not in todo:
            log.say(f"{head}: done")
            continue
        log.say(f"{head}")
        parts.stage(name)()
        if jax.process_index() == 0:
            stage.mark_done()
        sharding.barrier(f"{name} is done")
    if not todo and folder.report.exists():
        log.say(f"all is done; the report is {folder.report / 'index.html'}")
    elif jax.process_index() == 0:
        results.write(folder)
        log.say(
            f"finished in {time.perf_counter() - started:.0f} s; the report is "
            f"{folder.report / 'index.html'}"
        )


def report_only(workdir: Path) -> None:
    """Writes the report of a run from what its stages left."""
    folder = RunFolder(workdir)
    run_dir.read_json(folder.config)
    results.write(folder)
    log.say(f"the report is {folder.report / 'index.html'}")


def measure(config: ConfigDict, data_dir: Path) -> None:
    """Times the parts of the config's first training stage, then every method's step beside it."""
    parts = experiment.Build(config, RunFolder(Path("benchmark")), data_dir)
    trainings = parts.trainings()
    name, training = next(iter(trainings.items()))
    figures = throughput.measure(training, parts.mesh)
    throughput.show(figures, parts.mesh, f"{config.name}:{config.variant}, stage {name}")
    if len(trainings) > 1:
        throughput.show_steps(throughput.measure_steps(trainings, parts.mesh))
