"""The comparison with PyTorch as tables, and its page report/compare.html."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from au_jax import html
from au_jax.aus import MEANING
from au_jax.files import atomic_files
from au_jax.html.numbers import DASH, number
from au_jax.report import charts

Results = Mapping[str, Any]
Table = tuple[Sequence[str], Sequence[Sequence[str]]]


def write(folder: Path, results: Results) -> None:
    """Writes compare.html into the folder of a run's report.

    Args:
      results: the contents of compare.json, see `au_jax.compare.run.measure`.
    """
    trainings = [
        {"name": name, **_of_training(name, training)}
        for name, training in results["trainings"].items()
    ]
    text = html.render(
        "compare.html",
        title=f"{results['recipe']}: JAX beside PyTorch",
        recipe=results["recipe"],
        remarks=results["remarks"],
        agreement=agreement_table(results),
        speed=speed_table(results),
        start_up=start_up_table(results),
        trainings=trainings,
        made_with=list(results["made_with"].items()),
    )
    atomic_files.write_text(folder / "compare.html", text)


def _of_training(name: str, training: Results) -> dict[str, Any]:
    agreement = training["agreement"]
    curves = agreement["curves"]
    chart = charts.two_losses(curves["jax"], curves["torch"], curves["parted"])
    return {
        "sentences": training["notes"],
        "chart": html.Figure(
            chart,
            f"the losses of {name} in JAX and in PyTorch over its steps, and their difference",
            "The losses of the same batches from the same weights. Steps after the orange line "
            "differ because rounding grows from step to step.",
        ),
        "final": _final_table(agreement["final"]) if agreement["final"] else None,
        "split": agreement["final"]["split"] if agreement["final"] else "",
        "gradients": _gradient_table(agreement["gradients"]["each"]),
    }


def agreement_table(results: Results) -> Table:
    """How near the two sides are, a row for each training."""
    head = (
        "training",
        "first loss:\nJAX to PyTorch",
        "gradients:\nJAX to PyTorch",
        "gradients:\nJAX to float64",
        "gradients:\nPyTorch to float64",
        "steps until losses\npart by 1e-3",
        "final F1, JAX",
        "final F1, PyTorch",
        "difference",
    )
    rows: list[tuple[str, ...]] = []
    for name, training in results["trainings"].items():
        agreement = training["agreement"]
        largest, curves = agreement["gradients"]["largest"], agreement["curves"]
        parted = curves["parted"]
        final = agreement["final"]["figures"]["f1"] if agreement["final"] else None
        rows.append(
            (
                name,
                f"{agreement['loss']['relative']:.1e}",
                *(f"{largest[pair]:.1e}" for pair in ("jax_torch", "jax_double", "torch_double")),
                f"more than {len(curves['jax'])}" if parted is None else str(parted - 1),
                *(_final_cells(final) if final else (DASH,) * 3),
            )
        )
    return head, rows


def _final_cells(final: Mapping[str, Sequence[float | None]]) -> tuple[str, str, str]:
    """Both sides' figure and their mean difference, with the seeds' standard deviation of each."""
    pairs = [
        (ours, theirs)
        for ours, theirs in zip(final["jax"], final["torch"], strict=True)
        if ours is not None and theirs is not None
    ]
    if not pairs:
        return DASH, DASH, DASH
    columns = [*zip(*pairs, strict=True), [ours - theirs for ours, theirs in pairs]]
    means = [statistics.fmean(column) for column in columns]
    spreads = [
        f" ± {statistics.stdev(column):.4f}" if len(column) > 1 else "" for column in columns
    ]
    ours, theirs, difference = (
        text + spread
        for text, spread in zip(
            (number(means[0]), number(means[1]), f"{means[2]:+.4f}"), spreads, strict=True
        )
    )
    return ours, theirs, difference


def _final_table(final: Results) -> Table:
    """The final F1 of each AU on both sides."""
    rows = [
        (f"{au} {MEANING.get(au, '')}".strip(), *_final_cells(figures))
        for au, figures in final["au"].items()
    ]
    return ("AU", "F1, JAX", "F1, PyTorch", "difference"), rows


def _gradient_table(each: Mapping[str, Mapping[str, float]]) -> Table:
    head = ("array", "JAX to PyTorch", "JAX to float64", "PyTorch to float64")
    pairs = ("jax_torch", "jax_double", "torch_double")
    rows = [(name, *(f"{of[pair]:.1e}" for pair in pairs)) for name, of in each.items()]
    return head, rows


def speed_table(results: Results) -> Table:
    """How fast the sides are: a row for JAX and for each variant of PyTorch of each training."""
    head = (
        "training and side",
        "images/s\non the device",
        "images/s\nwith input",
        "images/s\npredicting",
        "JAX / this,\non the device",
        "JAX / this,\nwith input",
        "JAX / this,\npredicting",
        "to the first\nstep, s",
        "of that\ncompiling, s",
        "peak memory,\nMiB",
    )
    rows: list[tuple[str, ...]] = []
    for name, training in results["trainings"].items():
        speed = training["speed"]
        if speed is None:
            continue
        for side, figures in speed["sides"].items():
            ratio = speed["ratio"].get(side, {})
            peak = figures.get("peak_memory_mib")
            roles = {"compared": "fastest step", "compared_predicting": "fastest prediction"}
            marks = ", ".join(role for key, role in roles.items() if speed.get(key) == side)
            mark = f" ({marks})" if marks else ""
            rows.append(
                (
                    f"{name}: {_side(side)}{mark}",
                    _rate(figures["on_device"]),
                    _rate(figures.get("with_input")),
                    _rate(figures.get("predicting")),
                    _ratio(ratio.get("on_device")),
                    _ratio(ratio.get("with_input")),
                    _ratio(ratio.get("predicting")),
                    f"{figures['first_step_seconds']:.1f}",
                    f"{figures['compile_seconds']:.1f}",
                    DASH if peak is None else f"{peak:.0f}",
                )
            )
        for side, reason in speed["failed"].items():
            rows.append((f"{name}: {_side(side)}", f"fails: {reason}", *(DASH,) * 8))
    return head, rows


def start_up_table(results: Results) -> Table:
    """Seconds until a new interpreter has each framework and its devices."""
    head = ("training", "JAX, s", "PyTorch, s")
    rows = [
        (name, *(f"{training['speed']['start_up'][side]:.1f}" for side in ("jax", "torch")))
        for name, training in results["trainings"].items()
        if training["speed"]
    ]
    return head, rows


def _side(name: str) -> str:
    return "JAX" if name == "jax" else f"PyTorch {name.replace('_', ' ')}"


def _rate(rate: Results | None) -> str:
    if rate is None:
        return DASH
    return f"{rate['median']:.1f} ({rate['low']:.1f} to {rate['high']:.1f})"


def _ratio(ratio: Results | None) -> str:
    if ratio is None:
        return DASH
    return f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"
