"""Description of a served model: its networks, its honest figures and its training data."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from au_jax import html
from au_jax.data.datasets import EMBEDDED
from au_jax.ensemble import model_folder
from au_jax.ensemble.model_folder import ModelFolder
from au_jax.ensemble.predictor import Networks, Predictor, RunNetworks
from au_jax.files import atomic_files, file_forms
from au_jax.report import stage_figures
from au_jax.report.summaries import FIGURES, interval_of
from au_jax.run_dir import RunFolder
from au_jax.serve.upload import Limits


def about(place: Path, stage: str, model: Predictor, limits: Limits) -> str:
    """The head of the page, as HTML.

    Args:
      place: the folder of a run, or an exported one, of `model`.
      stage: whose selection `model` is; "" of an exported folder, which has none.
    """
    networks: Networks
    if model_folder.is_one(place):
        figures, networks = stage_figures.of_exported(place), ModelFolder.read(place)
    else:
        figures, networks = stage_figures.of_run(RunFolder(place), stage), RunNetworks(place)
    count = len(model.selection.members)
    of_stage = f", stage {stage}" if stage else ""
    return html.render(
        "serve/about.html",
        model=f"Model: {place.resolve().name}{of_stage}: {count} trained "
        f"{'network' if count == 1 else 'networks'}, {len(model.aus)} action units (AUs).",
        figure=figure_of(figures),
        drawn=bool(figures and figures["drawn"]) or _is_drawn(place, networks, model),
        limits=str(limits),
    )


def figure_of(figures: Mapping[str, Any] | None) -> str:
    """How well a model does by the report of its run, honest, in a sentence.

    Args:
      figures: see `stage_figures.of_run`.
    """
    scored = _honest(figures) if figures else None
    if figures is None or scored is None:
        return "How well it does is not known here, as there is no report of its run's figures."
    (split, honest), headline = scored, figures["headline"]
    ends = interval_of(honest, headline)
    between = f" (95 % interval {ends[0]:.3f} to {ends[1]:.3f})" if ends else ""
    return (
        f"{FIGURES[headline].capitalize()} {honest[headline]:.3f}{between} on the {honest['n']} "
        f"faces of the split {split} of {figures['data']}, with epochs and thresholds chosen on "
        "other people."
    )


def _honest(figures: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The split and its honest SUMMARY, of the test split if it can be; None where unknown."""
    splits = figures["split"]
    for split in sorted(splits, key=lambda name: name != "test"):
        honest = splits[split]["honest"]
        if honest and honest[figures["headline"]] is not None:
            return split, honest
    return None


def _is_drawn(place: Path, networks: Networks, model: Predictor) -> bool:
    """Whether any of the networks was trained on faces that a program drew."""
    for member in model.selection.members:
        if networks.card(member).data == EMBEDDED:
            return True
        data = RunFolder(place / member.run).data
        if data.exists() and atomic_files.read_json(data, file_forms.Data)["drawn"]:
            return True
    return False
