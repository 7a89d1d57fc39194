"""The report of a run: results.json, results.csv, a table on the terminal and index.html."""

import csv
import importlib.metadata
import platform
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from au_jax import artefacts, log, report_page
from au_jax.artefacts import RunFolder, StageFolder
from au_jax.metrics import probabilities, summary
from au_jax.trained import About

_PACKAGES = ("au-jax", "jax", "flax", "optax", "orbax-checkpoint", "grain", "numpy")
_FIGURES = ("final_score", "f1", "f1_macro", "accuracy")


def environment(device: str) -> dict[str, Any]:
    """What a run was made with, kept as environment.json when its stages run."""
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"device": device, "versions": {"python": platform.python_version(), **versions}}


def collect(folder: RunFolder) -> dict[str, Any]:
    """The contents of results.json, from what the finished stages of a run left."""
    config = artefacts.read_json(folder.config)
    made_with = artefacts.read_json(folder.environment)
    names = [name for name in config["order"] if folder.stage(name).done]
    asked = {split for name in names for split in config.get(f"stages.{name}.test", ())}
    stages = {}
    for name in names:
        stage = folder.stage(name)
        kind = config[f"stages.{name}.kind"]
        splits = {}
        if kind == "train":
            splits = _train_results(stage, asked | set(config[f"stages.{name}.validate"]))
        elif kind == "select":
            splits = artefacts.read_json(stage.results)
        stages[name] = {"kind": kind, "split": splits}
    chosen = [name for name in names if stages[name]["kind"] == "select"]
    last = stages[chosen[-1]]["split"] if chosen else {}
    best = last.get("test") or next(iter(last.values()), None)
    return {
        "config": config,
        "data": config["data.name"],
        **made_with,
        "stages": stages,
        "groups": {g: s["honest"] for g, s in best["groups"].items()} if best else {},
        "folds": {},
        "seeds": _over_seeds(folder, config, chosen),
        "final": best["honest"] if best else None,
    }


def _over_seeds(
    folder: RunFolder, config: dict[str, Any], stages: list[str]
) -> dict[str, dict[str, dict[str, Any]]]:
    """{stage: {split: {"values", "mean", "std"}}} of the honest final scores of finished seeds."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for name in stages if config["seeds"] > 1 else ():
        runs = [folder.stage(name + artefacts.seed_suffix(s)) for s in range(config["seeds"])]
        results = [artefacts.read_json(run.results) for run in runs if run.done]
        found[name] = {}
        for split in results[0]:
            values = [r[split]["honest"]["final_score"] for r in results]
            values = [v for v in values if v is not None]
            found[name][split] = {
                "values": values,
                "mean": float(np.mean(values)) if values else None,
                "std": float(np.std(values, ddof=1)) if len(values) > 1 else None,
            }
    return found


def _train_results(stage: StageFolder, splits: set[str]) -> dict[str, Any]:
    """The last epoch at threshold 0.5: nothing was chosen, so both figures are one."""
    about, last = About.read(stage), stage.epochs()[-1]
    results = {}
    for split in sorted(splits):
        if not stage.scores(split, last).exists():
            continue
        scores = stage.read_scores(split, last)
        figures = summary(
            about.aus, probabilities(scores.logits), scores.labels, subjects=scores.subject
        )
        results[split] = {"as_printed": figures, "honest": figures}
    return results


def write(folder: RunFolder) -> None:
    """Writes report/ and prints the table of stages."""
    if jax.process_index():
        return
    results = collect(folder)
    artefacts.write_json(folder.report / "results.json", results)
    with (
        artefacts.replacing(folder.report / "results.csv") as temporary,
        open(temporary, "w", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(("stage", "split", "choice", "au", "figure", "value"))
        writer.writerows(_rows(results))
    report_page.write(folder, results)
    _print_table(results)


def _rows(results: dict[str, Any]):
    """One row for each figure of each AU ("mean" for their mean); undefined ones are empty."""
    for stage, parts in results["stages"].items():
        for split, choices in parts["split"].items():
            for choice in ("as_printed", "honest"):
                figures = choices[choice]
                if figures is None:
                    continue
                for figure in _FIGURES:
                    yield stage, split, choice, "mean", figure, figures[figure]
                for au, own in figures["au"].items():
                    for figure, value in own.items():
                        if figure != "members":
                            yield stage, split, choice, au, figure, value


def _print_table(results: dict[str, Any]) -> None:
    table = Table(
        "stage", "split", "AUs", "final score", "95 % interval", "F1", "accuracy", "as printed"
    )
    for stage, parts in results["stages"].items():
        for split, choices in parts["split"].items():
            honest, printed = choices["honest"], choices["as_printed"]
            table.add_row(
                stage,
                split,
                str(len(honest["au"])),
                _show(honest["final_score"]),
                " to ".join(_show(v) for v in honest["ci"]) if honest["ci"] else "",
                _show(honest["f1"]),
                _show(honest["accuracy"]),
                _show(printed["final_score"]) if printed else "",
            )
    console = Console(width=max(110, Console().width))
    console.print(table)
    if results["seeds"]:
        seeds = Table("stage", "split", "seeds", "mean final score", "standard deviation")
        for stage, splits in results["seeds"].items():
            for split, over in splits.items():
                count = str(len(over["values"]))
                seeds.add_row(stage, split, count, _show(over["mean"]), _show(over["std"]))
        console.print(seeds)
    log.say(
        "as printed: chosen and scored on the same split, as papers do, which flatters; the other "
        "columns: chosen on other subjects, or scored on another split."
    )
    if results["data"] == "synthetic_faces":
        log.say("synthetic faces: these figures say nothing about real faces.")


def _show(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
