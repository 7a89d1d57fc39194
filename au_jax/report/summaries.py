"""The words and table rows for the figures of one stage on one split (`metrics.summary`)."""

from collections.abc import Mapping, Sequence
from typing import Any

from au_jax.aus import MEANING
from au_jax.ensemble.selection import Member
from au_jax.html.numbers import DASH, interval, number

# The figures that a config's `headline` may name.
FIGURES = {"final_score": "final score", "f1": "mean F1"}
# The columns of the differences between rows over seeds.
DIFFERENCES = (
    "row",
    "against",
    "split",
    "in the paper",
    "difference",
    "95 % interval",
    "every seed",
    "here",
)
_INTERVALS = {"final_score": "ci", "f1": "f1_ci"}


def au_score(figures: Mapping[str, Any]) -> float | None:
    """(accuracy + F1) / 2 of one AU of a SUMMARY; None where either is not defined."""
    f1, accuracy = figures["f1"], figures["accuracy"]
    return None if f1 is None or accuracy is None else (f1 + accuracy) / 2


def of_au(figures: Mapping[str, Any], headline: str) -> float | None:
    """The headline figure of one AU of a SUMMARY; None where it is not defined."""
    return figures["f1"] if headline == "f1" else au_score(figures)


def interval_of(figures: Mapping[str, Any], headline: str) -> Sequence[float] | None:
    """The 95 % interval of the headline figure of a SUMMARY.

    None where it has none, as the mean over folds, or F1 in a workdir from before it had one.
    """
    return figures.get(_INTERVALS[headline])


def table_rows(config: Mapping[str, Any], selections: Sequence[str]) -> list[str]:
    """Those of the selections that are no points of a curve."""
    return [name for name in selections if not config.get(f"stages.{name}.curve")]


def undefined(figures: Mapping[str, Any]) -> str:
    """A sentence, after a blank, that counts the AUs without F1; nothing where there are none."""
    count = figures["undefined"]
    if not count:
        return ""
    names = ", ".join(au for au, scores in figures["au"].items() if scores["f1"] is None)
    have, are = ("has", "is") if count == 1 else ("have", "are")
    return (
        f" {count} of them ({names}) {have} no positive example there and {are} left out of mean "
        "F1."
    )


def split_cells(choices: Mapping[str, Any] | None, prints: bool, headline: str) -> dict[str, str]:
    """{column: cell}: as printed (where the table has that column), honest, and its interval.

    Dashes for no score.
    """
    printed, honest = (choices[c] if choices else None for c in ("as_printed", "honest"))
    cells = {"as printed": number(printed[headline] if printed else None)} if prints else {}
    cells["honest"] = number(honest[headline] if honest else None)
    cells["95 % interval"] = interval(interval_of(honest, headline) if honest else None)
    return cells


def about_split(choices: Mapping[str, Any]) -> str:
    """The figures of one split over all AUs, in words."""
    printed, honest = choices["as_printed"], choices["honest"]
    text = (
        f"Final score {number(honest['final_score'])}, mean F1 "
        f"{number(honest['f1'])}, mean accuracy {number(honest['accuracy'])}, "
        f"{honest['n']} faces.{undefined(honest)}"
    )
    if printed and printed["final_score"] != honest["final_score"]:
        text += (
            f" As printed {number(printed['final_score'])}. The figures below are the "
            "honest ones; the thresholds are those chosen on the whole split."
        )
    return text


def au_rows(choices: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The figures of one split, a row of cells for each AU."""
    honest = choices["honest"]
    # Honest figures of the split that was chosen on have another threshold in every fold; the
    # selection's own stands with the printed figures.
    chosen = (choices["as_printed"] or honest)["au"]
    return [
        (
            f"{au} {MEANING[au]}",
            number(au_score(figures)),
            number(figures["f1"]),
            number(figures["accuracy"]),
            number(figures["auc"]),
            number(figures.get("ece")),  # which runs have that are not older than this figure
            number(chosen[au]["threshold"]),
            f"{figures['positives']} of {figures['known']}",
            _votes(figures["members"]),
        )
        for au, figures in honest["au"].items()
    ]


def _votes(members: Sequence[str] | None) -> str:
    """`stage@epoch` names, the epochs of one stage together."""
    if members is None:
        return "last"
    epochs: dict[str, list[str]] = {}
    for member in map(Member.parse, members):
        epochs.setdefault(member.stage_path, []).append(member.version)
    return "; ".join(f"{stage} {', '.join(numbers)}" for stage, numbers in epochs.items())


def difference_cells(config: Mapping[str, Any], difference: Mapping[str, Any]) -> list[str]:
    """One of `over_seeds.differences` as the cells under `DIFFERENCES`."""
    low, high = difference["interval"] or (None, None)
    return [
        config[f"stages.{difference['stage']}.label"],
        config[f"stages.{difference['against']}.label"],
        difference["split"],
        _signed(difference["paper"]),
        _signed(difference["mean"]),
        f"{_signed(low)} to {_signed(high)}",
        ", ".join(map(_signed, difference["values"])),
        difference["verdict"],
    ]


def _signed(value: float | None) -> str:
    return DASH if value is None else f"{value:+.3f}"
