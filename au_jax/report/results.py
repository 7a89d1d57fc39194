"""The report of a run: results.json, results.csv, a table on the terminal and index.html."""

import csv
import importlib.metadata
import io
import json
import platform
from collections.abc import Collection
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from au_jax import log, run_dir
from au_jax.data.corruptions import units_of_copies
from au_jax.files import atomic_files, file_forms
from au_jax.metrics import probabilities, summary
from au_jax.report import over_seeds, page, summaries, whole
from au_jax.report.summaries import FIGURES, interval_of, table_rows
from au_jax.run_dir import RunFolder, StageFolder
from au_jax.stage_name import StageName
from au_jax.training.model_card import ModelCard

_PACKAGES = ("au-jax", "jax", "flax", "optax", "orbax-checkpoint", "grain", "numpy")
_FIGURES = ("final_score", "f1", "f1_macro", "accuracy")
_ROW = ("label", "depth", "paper")
# The column of the 95 % interval on the terminal: right of the headline figure.
_INTERVAL_AT = {"final_score": 4, "f1": 5}


# The groups of AUs that results.json sums the final selection up for.
_GROUPS = ("expression", "pose")


def environment(device: str) -> dict[str, Any]:
    """What a run was made with, kept as environment.json when its stages run."""
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"device": device, "versions": {"python": platform.python_version(), **versions}}


def collect(folder: RunFolder) -> dict[str, Any]:
    """The contents of results.json, from what the finished stages of a run left.

    Where there are folds, a stage's figures are their mean over folds; "folds" has those of each
    fold, and those of all folds' records together.
    """
    config, data = folder.resolved_config(), atomic_files.read_json(folder.data, file_forms.Data)
    for name in config["order"]:
        if config.get(f"stages.{name}.label") == "":  # a row without a title is called as its stage
            config[f"stages.{name}.label"] = name
    made_with = atomic_files.read_json(folder.environment, file_forms.Environment)
    runs = {
        name: [folder.stage(on_fold) for on_fold in StageName(name).on_folds(config["folds"])]
        for name in config["order"]
    }
    runs = {name: of_folds for name, of_folds in runs.items() if all(s.done for s in of_folds)}
    tested = {split for name in runs for split in config.get(f"stages.{name}.test", ())}
    stages: dict[str, Any] = {}
    folds: dict[str, Any] = {}
    for name, of_folds in runs.items():
        kind = outcome(of_folds[0])
        if kind in ("network", "probe"):
            validated = config[f"stages.{name}.validate"]
            each = [_last_epoch(stage, validated, tested) for stage in of_folds]
        elif kind == "selection":
            each = [stage.read_results() for stage in of_folds]
        else:
            each = [{}]
        if len(each) > 1:
            each, folds[name] = [over_seeds.mean_of_folds(each)], _by_fold(of_folds, each)
        stages[name] = {
            "kind": config[f"stages.{name}.kind"],
            "outcome": kind,
            "split": each[0],
        }
    chosen = [name for name in runs if stages[name]["outcome"] == "selection"]
    rows = table_rows(config, chosen) or chosen
    last = stages[rows[-1]]["split"] if rows else {}
    best = last.get("test") or next(iter(last.values()), None)
    seeds = over_seeds.over_seeds(folder, config, chosen)
    return {
        "config": config,
        "data": data["name"],
        "drawn": data["drawn"],
        **made_with,
        "stages": stages,
        "groups": {g: best["groups"][g]["honest"] for g in _GROUPS if g in best["groups"]}
        if best
        else {},
        "folds": {name: by_fold for name, by_fold in folds.items() if by_fold},
        "seeds": seeds,
        "differences": over_seeds.differences(config, seeds),
        "final": best["honest"] if best else None,
        "maps": {
            name: _neighbours(of_folds[0])
            for name, of_folds in runs.items()
            if stages[name]["outcome"] == "map"
        },
        "quoted": _quoted(config),
    }


def outcome(stage: StageFolder) -> str:
    """What a finished stage left.

    It is a "selection", a "network" that was trained, a "probe" fitted on frozen features,
    "labels", "features", a "map" or nothing but "scores".
    """
    if stage.results.exists():
        return "selection"
    if stage.model_card.exists():
        return "network" if stage.metrics.exists() else "probe"
    if stage.labelled_splits():
        return "labels"
    if stage.encoded_splits():
        return "features"
    return "map" if stage.mapped_stages() else "scores"


def _neighbours(stage: StageFolder) -> dict[str, Any]:
    """{input: figures} of a feature_map stage: how alike neighbours in the feature space are.

    The figures are "library", that made the map, "records", their number, and [share, chance] of
    neighbours with the "same_emotion", and with the "same_label" of the AU; null where undefined.
    """

    def defined(shares: np.ndarray) -> list[float] | None:
        return None if np.isnan(shares).any() else shares.tolist()

    figures = {}
    for name in stage.mapped_stages():
        arrays = stage.read_map(name)
        figures[name] = {
            "library": str(arrays["library"]),
            "records": len(arrays["points"]),
            "same_emotion": defined(arrays["same_emotion"]),
            "same_label": defined(arrays["same_label"]),
        }
    return figures


def _quoted(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """{name: {"label", "paper", "paper_au"}} of the rows that the config quotes from papers."""
    quoted: dict[str, dict[str, Any]] = {}
    for field, value in config.items():
        section, _, path = field.partition(".")
        if section != "quoted":
            continue
        name, _, inner = path.partition(".")
        row = quoted.setdefault(name, {"label": name, "paper": None, "paper_au": {}})
        if inner.startswith("paper_au."):
            row["paper_au"][inner.removeprefix("paper_au.")] = value
        else:
            row[inner] = value
    return quoted


def _by_fold(of_folds: list[StageFolder], each: list[dict[str, Any]]) -> dict[str, Any]:
    """{split: {"each": [SUMMARY], "pooled": SUMMARY}} of a selection; nothing of other stages."""
    by_split = {}
    for split in each[0]:
        if not all(stage.decided(split).exists() for stage in of_folds):
            continue
        decided = [stage.read_decided(split) for stage in of_folds]
        pooled = summary(
            decided[0]["aus"].tolist(),
            np.concatenate([fold["probabilities"] for fold in decided]),
            np.concatenate([fold["labels"] for fold in decided]),
            np.concatenate(
                [np.broadcast_to(fold["thresholds"], fold["labels"].shape) for fold in decided]
            ),
            np.concatenate([fold["subject"] for fold in decided]),
        )
        by_split[split] = {"each": [r[split]["honest"] for r in each], "pooled": pooled}
    return by_split


def _last_epoch(
    stage: StageFolder, validated: Collection[str], tested: Collection[str]
) -> dict[str, Any]:
    """{split: choices} of the last epoch at threshold 0.5, where nothing was chosen.

    Args:
      validated: the splits that training scored. tested: those that a selection may have.
    """
    last = ModelCard.read(stage).context.epochs
    results = {}
    for split in sorted({*validated, *tested}):
        if split not in validated and not stage.scores(split, last).exists():
            continue
        scores = stage.read_scores(split, last)
        subjects = units_of_copies(scores.subject, scores.video, scores.keys)
        figures = summary(
            scores.aus.tolist(), probabilities(scores.logits), scores.labels, subjects=subjects
        )
        results[split] = {"as_printed": figures, "honest": figures}
    return results


def write(folder: RunFolder) -> None:
    """Writes report/, in the place of an older one, and prints the table of stages.

    Nothing is written before all of it is made.

    Raises:
      UserError: a file of the run is missing or damaged, or report/ cannot be written.
    """
    if jax.process_index():
        return
    results = collect(folder)
    shown = run_dir.FirstFold(folder.path, results["config"]["folds"])
    files = {
        "results.json": (json.dumps(results, indent=1) + "\n").encode(),
        "results.csv": _table(results).encode(),
        **page.files(shown, results),
    }
    with whole.replaced(folder.report, files):
        for name, content in files.items():
            with atomic_files.replacing(folder.report / name) as temporary:
                temporary.write_bytes(content)
    _print_table(results)


def _table(results: dict[str, Any]) -> str:
    """The content of results.csv."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(("stage", "split", "choice", "au", "figure", "value"))
    writer.writerows(_rows(results))
    return text.getvalue()


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
                for au, of_au in figures["au"].items():
                    for figure, value in of_au.items():
                        if figure != "members":
                            yield stage, split, choice, au, figure, value


def _print_table(results: dict[str, Any]) -> None:
    config = results["config"]
    headline = config["headline"]
    figures = ["split", "AUs", "as printed", "final score", "F1", "accuracy"]
    figures.insert(_INTERVAL_AT[headline], "95 % interval")
    trained, chosen = Table("trained network", *figures), Table("", "in the paper", *figures)
    for stage, parts in results["stages"].items():
        selects = parts["outcome"] == "selection"
        for number, (split, choices) in enumerate(parts["split"].items()):
            honest, printed = choices["honest"], choices["as_printed"]
            cells = [
                split,
                str(len(honest["au"])),
                _show(printed["final_score"]) if printed and selects else "",
                _show(honest["final_score"]),
                _show(honest["f1"]),
                _show(honest["accuracy"]),
            ]
            ends = interval_of(honest, headline)
            cells.insert(_INTERVAL_AT[headline], " to ".join(map(_show, ends)) if ends else "")
            if not selects:
                trained.add_row("" if number else stage, *cells)
                continue
            label, depth, paper = (config[f"stages.{stage}.{f}"] for f in _ROW)
            head = ("", "") if number else ("  " * depth + label, _show(paper or None))
            chosen.add_row(*head, *cells)
    console = Console(width=max(120, Console().width), markup=False)  # labels may have brackets
    for table in (trained, chosen):
        if table.row_count:
            console.print(table)
    for title, table in (*_seed_tables(results), *_difference_tables(results)):
        console.print(title)
        console.print(table)
    if chosen.row_count:
        log.say(
            "as printed: chosen and scored on the same split, as papers do, which flatters; the "
            "other columns: chosen on other subjects, or scored on another split."
        )
    if any(config.get(f"stages.{name}.paper") for name in results["stages"]):
        log.say(
            f"in the paper: the authors' {FIGURES[headline]}, on their data and at "
            "their training lengths."
        )
    if results["drawn"]:
        log.say("faces drawn by a program: these figures say nothing about real faces.")


def _difference_tables(results: dict[str, Any]):
    """The paired differences over the seeds of rows that a config measures against others."""
    config = results["config"]
    if not results["differences"]:
        return
    table = Table(*summaries.DIFFERENCES)
    for difference in results["differences"]:
        table.add_row(*summaries.difference_cells(config, difference))
    figure = summaries.FIGURES[config["headline"]]
    yield f"differences of {figure} over {config['seeds']} seeds, one by one", table


def _seed_tables(results: dict[str, Any]):
    """Mean and standard deviation over the seeds, a table for each split."""
    seeds, config = results["seeds"], results["config"]
    for split in dict.fromkeys(split for splits in seeds.values() for split in splits):
        table = Table("", "seeds", "final score", "F1")
        for stage, splits in seeds.items():
            if split in splits:
                over = splits[split]
                cells = (f"{_show(o['mean'])} ± {_show(o['std'])}" for o in over.values())
                count = str(len(over["final_score"]["values"]))
                table.add_row(config[f"stages.{stage}.label"], count, *cells)
        yield f"Mean and standard deviation over seeds on {split}, honest:", table


def _show(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
