"""What a SUMMARY of results.json says, in words and tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from au_jax.aus import MEANING
from au_jax.report_page import markup
from au_jax.report_page.markup import DASH


def au_score(figures: Mapping[str, Any]) -> float | None:
    """(accuracy + F1) / 2 of one AU of a SUMMARY; None where either is not defined."""
    f1, accuracy = figures["f1"], figures["accuracy"]
    return None if f1 is None or accuracy is None else (f1 + accuracy) / 2


def undefined(figures: Mapping[str, Any]) -> str:
    """A sentence, after a blank, that counts the AUs without F1; nothing where there are none."""
    number = figures["undefined"]
    if not number:
        return ""
    names = ", ".join(au for au, own in figures["au"].items() if own["f1"] is None)
    have, are = ("has", "is") if number == 1 else ("have", "are")
    return (
        f" {number} of them ({names}) {have} no positive example there and {are} left out of mean "
        "F1."
    )


def split_cells(choices: Mapping[str, Any] | None, prints: bool) -> list[str]:
    """As printed (where the table has that column), honest, interval; dashes for no score."""
    if choices is None:
        return [DASH] * (2 + prints)
    printed, honest = choices["as_printed"], choices["honest"]
    first = [markup.number(printed["final_score"] if printed else None)] if prints else []
    return [*first, markup.number(honest["final_score"]), markup.interval(honest["ci"])]


def about_split(choices: Mapping[str, Any]) -> str:
    """The figures of one split over all AUs, in words."""
    printed, honest = choices["as_printed"], choices["honest"]
    text = (
        f"Final score {markup.number(honest['final_score'])}, mean F1 "
        f"{markup.number(honest['f1'])}, mean accuracy {markup.number(honest['accuracy'])}, "
        f"{honest['n']} faces.{undefined(honest)}"
    )
    if printed and printed["final_score"] != honest["final_score"]:
        text += (
            f" As printed {markup.number(printed['final_score'])}. The figures below are the "
            "honest ones; the thresholds are those chosen on the whole split."
        )
    return text


def au_table(choices: Mapping[str, Any]) -> str:
    """The figures of one split, one row for each AU."""
    honest = choices["honest"]
    # Honest figures of the split that was chosen on have another threshold in every fold; the
    # selection's own stands with the printed figures.
    chosen = (choices["as_printed"] or honest)["au"]
    rows = [
        (
            f"{au} {MEANING[au]}",
            markup.number(au_score(own)),
            markup.number(own["f1"]),
            markup.number(own["accuracy"]),
            markup.number(own["auc"]),
            markup.number(chosen[au]["threshold"]),
            f"{own['positives']} of {own['known']}",
            _votes(own["members"]),
        )
        for au, own in honest["au"].items()
    ]
    head = ("AU", "final score", "F1", "accuracy", "AUC", "threshold", "positives", "epochs")
    return markup.table(head, rows, text=("epochs",))


def _votes(members: Sequence[str] | None) -> str:
    """`stage@epoch` names, the epochs of one stage together."""
    if members is None:
        return "last"
    epochs: dict[str, list[str]] = {}
    for member in members:
        stage, _, epoch = member.partition("@")
        epochs.setdefault(stage, []).append(epoch)
    return "; ".join(f"{stage} {', '.join(numbers)}" for stage, numbers in epochs.items())
