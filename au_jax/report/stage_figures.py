"""The figures of one stage: as its run's report has them, or as an exported folder keeps them."""

from pathlib import Path
from typing import Any

from au_jax.files import atomic_files, file_forms
from au_jax.run_dir import RunFolder
from au_jax.stage_name import StageName


def of_run(run: RunFolder, stage: str) -> dict[str, Any] | None:
    """What the report of a run says of a stage; None where it has no figures of it.

    Returns:
      {"data": the data set, "drawn": whether a program drew it, "headline": a name in
      `summaries.FIGURES`, "split": {split: {"as_printed", "honest": SUMMARY or None}}, "seeds":
      {split: {figure: {"values", "mean", "std"}}}, "folds": {split: [SUMMARY of each fold]}}. The
      last two are empty where the recipe ran once; of several folds, "split" has the mean.

    Raises:
      UserError: results.json is damaged.
    """
    path = run.report / "results.json"
    results = atomic_files.read_json(path, file_forms.Results) if path.exists() else {"stages": {}}
    name = StageName.parse(stage).base
    splits = results["stages"].get(name, {}).get("split")
    if not splits:
        return None
    folds = results.get("folds", {}).get(name, {})
    return {
        "data": results["data"],
        "drawn": results.get("drawn", False),
        "headline": results["config"]["headline"],
        "split": splits,
        "seeds": results.get("seeds", {}).get(name, {}),
        "folds": {split: by_fold["each"] for split, by_fold in folds.items()},
    }


def write(folder: Path, figures: dict[str, Any]) -> None:
    """Keeps the figures in an exported folder, as figures.json."""
    atomic_files.write_json(folder / "figures.json", figures)


def of_exported(folder: Path) -> dict[str, Any] | None:
    """The figures in an exported folder; None where the run had none, or au_jax was older.

    Raises:
      UserError: figures.json is damaged.
    """
    path = folder / "figures.json"
    return (
        atomic_files.read_json(path, file_forms.StageFigures, "export the run again")
        if path.exists()
        else None
    )
