"""Means, spreads and paired differences of a recipe's rows over its seeds."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.special

from au_jax.metrics import mean_over_folds
from au_jax.run_dir import RunFolder
from au_jax.stage_name import StageName

_CONFIDENCE = 0.95
GAINS, LOSES, UNDECIDED = "gains", "loses", "undecided"


def over_seeds(
    folder: RunFolder, config: Mapping[str, Any], stages: Sequence[str]
) -> dict[str, dict[str, dict[str, Any]]]:
    """{stage: {split: {figure: {"values", "mean", "std"}}}} of the honest figures of the seeds."""
    over: dict[str, dict[str, dict[str, Any]]] = {}
    for name in stages if config["seeds"] > 1 else ():
        results = []
        for seed in range(config["seeds"]):
            runs = [folder.stage(n) for n in StageName(name, seed).on_folds(config["folds"])]
            if all(run.done for run in runs):
                results.append(mean_of_folds([run.read_results() for run in runs]))
        over[name] = {
            split: {
                figure: spread([r[split]["honest"][figure] for r in results])
                for figure in ("final_score", "f1")
            }
            for split in results[0]
        }
    return over


def mean_of_folds(each: list[dict[str, Any]]) -> dict[str, Any]:
    """The {split: choices} of one stage, each SUMMARY the mean of those of all folds."""

    def mean(parts: list[dict[str, Any]]) -> dict[str, Any]:
        joined: dict[str, Any] = {}
        for choice in ("as_printed", "honest"):
            figures = [part[choice] for part in parts]
            joined[choice] = mean_over_folds(figures) if all(figures) else None
        groups = {g: mean([p["groups"][g] for p in parts]) for g in parts[0].get("groups", ())}
        return {**joined, "groups": groups}

    # A split that nothing was chosen on has scores of those epochs alone that selections chose.
    everywhere = [split for split in each[0] if all(split in results for results in each)]
    return {split: mean([results[split] for results in each]) for split in everywhere}


def spread(values: Sequence[float | None]) -> dict[str, Any]:
    """The "values" that are defined, their "mean" and their standard deviation, "std"."""
    defined = [v for v in values if v is not None]
    return {
        "values": defined,
        "mean": float(np.mean(defined)) if defined else None,
        "std": float(np.std(defined, ddof=1)) if len(defined) > 1 else None,
    }


def interval(over: Mapping[str, Any]) -> tuple[float, float] | None:
    """The 95 % t-interval of the mean of a `spread`; None for fewer than two values."""
    count = len(over["values"])
    if count < 2:
        return None
    quantile = float(scipy.special.stdtrit(count - 1, (1 + _CONFIDENCE) / 2))
    margin = quantile * over["std"] / math.sqrt(count)
    return over["mean"] - margin, over["mean"] + margin


def differences(
    config: Mapping[str, Any], over: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> list[dict[str, Any]]:
    """The rows' headline figure less that of the rows that they are measured `against`.

    Seeds are compared one by one, as both rows of a seed share its data and initial weights.

    Args:
      over: what `over_seeds` gave.

    Returns:
      For each pair of rows and each split of both {"stage", "against", "split", "values", "mean",
      "std", "interval", "verdict", "paper"}. The verdict is "gains" or "loses" where the interval
      leaves 0 out, and else "undecided"; "paper" is the paper's difference, or None.
    """
    told = []
    for stage, splits in over.items():
        for other in config.get(f"stages.{stage}.against", ()):
            for split in [split for split in splits if split in over.get(other, {})]:
                rows = [over[name][split][config["headline"]]["values"] for name in (stage, other)]
                if any(len(values) != config["seeds"] for values in rows):
                    continue  # a seed is not done, or its figure not defined
                difference = spread(np.subtract(*rows).tolist())
                ends = interval(difference)
                printed = [config.get(f"stages.{name}.paper", 0.0) for name in (stage, other)]
                told.append(
                    {
                        "stage": stage,
                        "against": other,
                        "split": split,
                        **difference,
                        "interval": ends,
                        "verdict": _verdict(*ends) if ends else UNDECIDED,
                        "paper": printed[0] - printed[1] if all(printed) else None,
                    }
                )
    return told


def _verdict(low: float, high: float) -> str:
    if low > 0:
        return GAINS
    return LOSES if high < 0 else UNDECIDED
