"""Description of a served model: its networks, its honest figures and its training data."""

from typing import Any

from au_jax import html, run_dir
from au_jax.data.datasets import EMBEDDED
from au_jax.ensemble.predictor import Predictor
from au_jax.report.summaries import FIGURES, interval_of
from au_jax.run_dir import RunFolder, StageFolder
from au_jax.serve.upload import Limits
from au_jax.training.model_card import ModelCard


def about(stage: StageFolder, model: Predictor, limits: Limits) -> str:
    """The head of the page, as HTML.

    Args:
      stage: whose selection `model` is, in its run's folder.
    """
    run = RunFolder(stage.path.parent.parent)
    networks = len(model.selection.members)
    noun = "network" if networks == 1 else "networks"
    return html.render(
        "serve/about.html",
        model=f"Model: {run.path.resolve().name}, stage {stage.name}: {networks} trained {noun}, "
        f"{len(model.aus)} action units (AUs).",
        figure=figure_of(run, stage.name),
        drawn=is_drawn(run, model),
        limits=str(limits),
    )


def figure_of(run: RunFolder, stage: str) -> str:
    """How well a stage does by the report of its run, honest, in a sentence."""
    results = run.report / "results.json"
    scored = _honest(run_dir.read_json(results), stage) if results.exists() else None
    if scored is None:
        return "How well it does is not known here, as the run has no report of this stage."
    split, figures, headline, data = scored
    ends = interval_of(figures, headline)
    between = f" (95 % interval {ends[0]:.3f} to {ends[1]:.3f})" if ends else ""
    return (
        f"{FIGURES[headline].capitalize()} {figures[headline]:.3f}{between} on the {figures['n']} "
        f"faces of the split {split} of {data}, with epochs and thresholds chosen on other people."
    )


def _honest(results: dict[str, Any], stage: str) -> tuple[str, dict[str, Any], str, str] | None:
    """The split, its honest SUMMARY, the headline figure and the data set; None where unknown."""
    splits = results["stages"].get(stage, {}).get("split", {})
    headline = results["config"]["headline"]
    for split in sorted(splits, key=lambda name: name != "test"):
        figures = splits[split]["honest"]
        if figures and figures[headline] is not None:
            return split, figures, headline, results["data"]
    return None


def is_drawn(run: RunFolder, model: Predictor) -> bool:
    """Whether any of the networks was trained on faces that a program drew."""
    for member in model.selection.members:
        home = RunFolder(run.path / member.run)
        if ModelCard.read(home.stage(member.stage)).data == EMBEDDED:
            return True
        if home.data.exists() and run_dir.read_json(home.data)["drawn"]:
            return True
    return False
