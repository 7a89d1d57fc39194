"""The modes of the command line over a config: run, select again, benchmark, compare."""

import contextlib
import dataclasses
import importlib.util
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from au_jax import log, models, sharding
from au_jax.benchmark import dry, throughput
from au_jax.compare.subject import Subject
from au_jax.data import datasets
from au_jax.errors import UserError
from au_jax.experiment.check import stages_read
from au_jax.experiment.claim import claimed, stages_in_turn, unfinished
from au_jax.experiment.recipe import Recipe
from au_jax.experiment.workdir import check_workdir, is_kept, keep_config
from au_jax.export.pytorch import INSTALL
from au_jax.faces.align import SIDE
from au_jax.files import atomic_files, file_forms
from au_jax.process import large_pages
from au_jax.report import results, whole
from au_jax.report import run as reporting
from au_jax.run_dir import RunFolder
from au_jax.stage_name import StageName
from au_jax.stages.select import Select
from au_jax.stages.train import Train
from au_jax.training.loop import Training


def run(config: ConfigDict, workdir: Path, data_dir: Path, share: bool = False) -> None:
    """Runs every stage of `config` that is not done yet, then writes the report.

    Args:
      share: whether other processes run some of the stages meanwhile.
    """
    folder = RunFolder(workdir)
    recipe = Recipe(config, folder, data_dir)
    recipe.check_networks()  # a mistake in any of them is found before the first one runs
    check_workdir(config, folder)
    finished = not unfinished(recipe) and whole.is_whole(folder.report)
    if finished and is_kept(config, folder):  # perhaps on a disk to read only
        log.say(f"all is done; the report is {folder.report / 'index.html'}")
        return
    with claimed(folder, share):
        _run_claimed(config, recipe, share)


def _run_claimed(config: ConfigDict, recipe: Recipe, share: bool) -> None:
    folder = recipe.run
    memory = ", with large memory pages" if large_pages.in_use() else ""
    device = f"{sharding.describe(recipe.mesh)}{memory}"
    log.say(f"{config.name}:{config.variant} in {folder.path}, on {device}")
    todo = unfinished(recipe)
    if todo:
        recipe.check()  # before the folder is this config's, so that a mistake can be mended in it
    with reporting.locked(folder) if share else contextlib.nullcontext():
        check_workdir(config, folder)  # another run may have begun it in the meantime
        if jax.process_index() == 0:
            keep_config(config, folder)
        if todo:
            _describe(recipe)
    started = time.perf_counter()
    heads = {
        name: f"[{number}/{len(recipe.names)}] {name} ({_kind(config, name)})"
        for number, name in enumerate(recipe.names, 1)
    }
    for name in recipe.names:
        if name not in todo:
            log.say(f"{heads[name]}: done")
    for name in stages_in_turn(recipe) if share else todo:
        log.say(heads[name])
        _run_stage(recipe, name)
    # Who has run the last stage has written the report; but a run without any left wants it anew.
    _report(folder, started, anew=not (share and todo))


def select(config: ConfigDict, workdir: Path, data_dir: Path, runs: Sequence[Path]) -> None:
    """Makes the selections of `config` again, from what trained stages kept; nothing is trained.

    The selections that are there are replaced when all of the new ones are made.

    Args:
      runs: where the trained stages are. When none is named they are those of `workdir`, whose
        selections are then replaced; several runs vote together.

    Raises:
      UserError: the config selects nothing, `workdir` belongs to a config that trains otherwise,
        something in it has learned from a selection that would change, or one of `runs` is no run's
        folder.
    """
    folder = RunFolder(workdir)
    voting = [RunFolder(run) for run in runs]
    for voter in voting:
        atomic_files.read_json(voter.config, file_forms.Order)
    if any(voter.path.resolve() == workdir.resolve() for voter in voting):
        raise UserError(f"--from names the workdir {workdir} itself; give another --workdir")
    recipe = Recipe(config, folder, data_dir, voting)
    selecting = [name for name in recipe.names if isinstance(recipe.stage(name), Select)]
    if not selecting:
        raise UserError(f"config {config.name} has no selection to make")
    _check_learned(recipe, selecting)
    free = {StageName.parse(name).base for name in selecting}
    with claimed(folder):
        check_workdir(config, folder, free_stages=free)
        _select_claimed(config, recipe, selecting)


def _check_learned(recipe: Recipe, selecting: Sequence[str]) -> None:
    """Raises UserError where a finished stage read a selection that is to be another now."""
    for name in recipe.names:
        if name in selecting or not recipe.run.stage(name).done:
            continue
        for read in stages_read(recipe.stage(name)):
            folder = recipe.run.stage(read)
            if read not in selecting or not folder.settings.exists():
                continue
            kept = atomic_files.read_json(folder.settings, Mapping[str, Any])
            if kept != json.loads(json.dumps(_settings(recipe, read))):
                raise UserError(
                    f"{name} has learned from {read} as it is in {recipe.run.path}; choose in "
                    "another --workdir, with --from for this one"
                )


def _select_claimed(config: ConfigDict, recipe: Recipe, selecting: Sequence[str]) -> None:
    folder = recipe.run
    log.say(f"{config.name}:{config.variant} selects in {folder.path}")
    started = time.perf_counter()
    chosen = {}
    for number, name in enumerate(selecting, 1):
        log.say(f"[{number}/{len(selecting)}] {name} ({_kind(config, name)})")
        stage: Any = recipe.stage(name)
        chosen[name] = stage.choose(recipe.context(name))
    if jax.process_index() == 0:
        # So that none of the old ones is taken for one of the config that is kept now.
        for name in selecting:
            folder.stage(name).mark_undone()
        keep_config(config, folder)
    _describe(recipe)
    for name, of_stage in chosen.items():
        of_stage.write(folder.stage(name))
        _finish(recipe, name)
    _report(folder, started)


def measure(config: ConfigDict, data_dir: Path) -> None:
    """Times the parts of the config's first training, and the step of every method beside it.

    Where there are several devices, its step is timed on fewer of them, too.
    """
    recipe = Recipe(config, RunFolder(Path("benchmark")), data_dir)
    trainings = recipe.trainings()
    name, training = next(iter(trainings.items()))
    figures = throughput.measure(training, recipe.mesh)
    throughput.show(figures, recipe.mesh, f"{config.name}:{config.variant}, stage {name}")
    if recipe.mesh.devices.size > 1:
        throughput.show_scaling(throughput.measure_scaling(training, recipe.mesh), recipe.mesh)
    if len(trainings) > 1:
        throughput.show_steps(throughput.measure_steps(trainings, recipe.mesh))


def measure_dry(config: ConfigDict, workdir: Path, data_dir: Path) -> None:
    """Tells memory, work and faults of every training's step from shapes alone, alike ones once.

    Prints a table, and a sentence on the checks of each training; writes dry.json into `workdir`:
    {"config", "devices", "trainings": {NAME: the figures of `benchmark.dry.measure`, and "alike",
    the trainings whose figures are the same}}.
    """
    recipe = Recipe(config, RunFolder(workdir), data_dir)
    data = config.data
    drawn = data.synthetic.size if data.name == datasets.EMBEDDED else 0
    figures: dict[str, dict[str, Any]] = {}
    first: dict[str, str] = {}
    for name in config.order:
        stage = recipe.stage(name)
        if not isinstance(stage, Train):
            continue
        alike = dataclasses.replace(stage, start="", seed=0, validate=(), streams={})
        streams = {
            n: (s["share"], s.get("soft"), s.get("head", "opt")) for n, s in stage.streams.items()
        }
        kind = repr((alike, streams, bool(stage.validate)))
        if kind in first:
            figures[first[kind]]["alike"].append(name)
            continue
        first[kind] = name
        precision = stage.model["precision"]
        log.say(f"{name}: {stage.method}, {stage.model['backbone']} in {precision}")
        outline = stage.outline(data.size or drawn or SIDE.get(stage.crop, SIDE["closeup"]))
        figures[name] = {**dry.measure(*outline, recipe.mesh, precision), "alike": []}
        for sentence in dry.verdict(figures[name]):
            log.say(f"  {sentence}")
    if not figures:
        raise UserError(f"config {config.name} has no training stage to measure")
    dry.show(figures, recipe.mesh)
    results = {
        "config": f"{config.name}:{config.variant}",
        "devices": sharding.describe(recipe.mesh),
        "trainings": figures,
    }
    atomic_files.write_json(recipe.run.dry, results)
    log.say(f"the figures are in {recipe.run.dry}")


def compare(config: ConfigDict, workdir: Path, data_dir: Path) -> None:
    """Trains beside PyTorch: what `measure` would train, where its method has a counterpart.

    Writes compare.json and report/compare.html into `workdir`, and prints their tables.

    Raises:
      UserError: PyTorch is not installed, or no training has a counterpart.
    """
    if importlib.util.find_spec("torch") is None:
        raise UserError(f"the comparison needs PyTorch; {INSTALL}")
    from au_jax.compare import run as comparison  # PyTorch

    recipe = Recipe(config, RunFolder(workdir), data_dir)
    stages = {name: without_dropout(s) for name, s in recipe.distinct_trainings().items()}
    known = {name: stage for name, stage in stages.items() if comparison.known(stage.method)}
    remarks = _left_out(recipe, {n: s.method for n, s in stages.items() if n not in known})
    for remark in remarks:
        log.say(remark)
    if not known:
        raise UserError(
            f"no training of config {config.name} has a method with a counterpart in PyTorch; "
            "compare another config"
        )
    with claimed(recipe.run):
        results = comparison.measure(
            {name: subject_of(recipe, name, stage) for name, stage in known.items()},
            recipe=f"{config.name}:{config.variant}",
            remarks=remarks,
            **config.compare,
        )
        comparison.write(workdir, results)
    comparison.show(results)
    log.say(f"the report is {recipe.run.report / 'compare.html'}")


def without_dropout(stage: Train) -> Train:
    """The training without dropout and stochastic depth, whose draws PyTorch does not share."""
    of_backbone = models.fields_of(stage.model["backbone"])
    off = {field: 0.0 for field in ("dropout", "drop_path") if field in of_backbone}
    fields = {**stage.model["fields"], **off}
    return dataclasses.replace(stage, model={**stage.model, "dropout": 0.0, "fields": fields})


def _left_out(recipe: Recipe, without: Mapping[str, str]) -> list[str]:
    """Sentences on what a comparison leaves out; `without` has the methods of such stages."""
    remarks = ["Dropout and stochastic depth are off on both sides, as their draws would differ."]
    if without:
        named = ", ".join(f"{name} ({method})" for name, method in without.items())
        remarks.append(f"Left out, as their method has no counterpart in PyTorch: {named}.")
    stages = {name: recipe.stage(name) for name in recipe.config.order}
    waiting = [n for n, s in stages.items() if isinstance(s, Train) and not s.stands_alone]
    if waiting:
        remarks.append(f"Left out, as they wait for another stage: {', '.join(waiting)}.")
    return remarks


def subject_of(recipe: Recipe, name: str, stage: Train) -> tuple[Subject, Training]:
    """The training of `stage`, called `name`, for both sides and for JAX's."""
    training, card = stage.prepare(recipe.context(name))
    training = training.from_disk()
    subject = Subject(card, stage.optimizer, training.streams, training.seed, training.threads)
    return subject, training


def _kind(config: ConfigDict, name: str) -> str:
    return config.stages[StageName.parse(name).base].kind


def _describe(recipe: Recipe) -> None:
    """Writes what the run is made with and of: environment.json and data.json.

    The report, where there is one, is no longer that of the stages.
    """
    data = recipe.data()
    if jax.process_index() == 0:
        whole.mark_outdated(recipe.run.report)
        environment = results.environment(sharding.describe(recipe.mesh))
        atomic_files.write_json(recipe.run.environment, environment)
        atomic_files.write_json(recipe.run.data, data)
    sharding.barrier("begin")


def _run_stage(recipe: Recipe, name: str) -> None:
    """Runs one stage, or goes on with it, and marks it done."""
    recipe.stage(name).run(recipe.context(name))
    _finish(recipe, name)


def _finish(recipe: Recipe, name: str) -> None:
    """Keeps the fields of a stage whose files are whole, and marks it done."""
    folder = recipe.run.stage(name)
    if jax.process_index() == 0:
        atomic_files.write_json(folder.settings, _settings(recipe, name))
        folder.mark_done()
    sharding.barrier(f"{name} is done")


def _settings(recipe: Recipe, name: str) -> dict[str, Any]:
    """All fields of a stage, resolved: stage.json."""
    fields: Any = recipe.stage(name)
    return {"kind": _kind(recipe.config, name), **dataclasses.asdict(fields)}


def _report(folder: RunFolder, started: float, anew: bool = True) -> None:
    reporting.write(folder, anew)
    seconds = time.perf_counter() - started
    log.say(f"finished in {seconds:.0f} s; the report is {folder.report / 'index.html'}")
