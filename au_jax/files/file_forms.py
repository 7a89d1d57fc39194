"""Forms of the files of a run: the fields of its JSON files and the arrays of its .npz files.

Each is said once, here, and checked whenever a file is read, so that a file that was cut, edited or
comes from elsewhere is found where it lies, and not by what goes wrong behind it.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypedDict

import numpy as np

from au_jax.allowed import AU, Count, CountOrNone, OneOf, Share
from au_jax.aus import MEANING

# ---- JSON: the fields that are read; a file may have more. ----


class _Order(TypedDict):
    order: Sequence[str]


class Order(_Order, total=False):
    """config.json, as far as prediction needs it."""

    folds: CountOrNone


# config.json has dotted fields, which a class cannot spell.
Config = TypedDict(
    "Config",
    {
        "name": str,
        "variant": str,
        "order": Sequence[str],
        "seed": int,
        "seeds": Count,
        "folds": CountOrNone,
        "headline": Annotated[str, OneOf(("final_score", "f1"))],
        "checkpoint.keep": Count,
    },
)


class Data(TypedDict):
    """data.json."""

    name: str
    drawn: bool


class Environment(TypedDict):
    """environment.json."""

    device: str
    versions: Mapping[str, str]


class _Stage(TypedDict):
    kind: str


class Stage(_Stage, total=False):
    """stage.json: those of the fields of any kind of stage that reports show."""

    validate: Sequence[str]
    test: Sequence[str]
    inputs: Sequence[str]
    split: str
    crop: str
    group: str
    au: str
    streams: Mapping[str, Mapping[str, Any]]
    model: Mapping[str, Any]
    label: str
    depth: int
    paper: float
    paper_au: Mapping[AU, float]
    curve: str
    line: str
    at: float


class _Counts(TypedDict):
    rows: int
    of: Mapping[AU, tuple[int, int, int]]


class LabelCounts(_Counts, total=False):
    """What label_counts.json says of a stream."""

    before: _Counts


class _AUFigures(TypedDict):
    f1: Share | None
    f1_macro: Share | None
    accuracy: Share | None
    auc: Share | None
    threshold: float | None
    members: Sequence[str] | None
    positives: int
    known: int


class AUFigures(_AUFigures, total=False):
    """What a SUMMARY says of an AU; older ones lack the last two."""

    kappa: float | None
    ece: Share | None


class _Summary(TypedDict):
    f1: Share | None
    f1_macro: Share | None
    accuracy: Share | None
    final_score: Share | None
    ci: tuple[float, float] | None
    n: int
    undefined: int
    au: Mapping[AU, AUFigures]


class Summary(_Summary, total=False):
    """A SUMMARY, see `metrics.summary`; older ones lack the last."""

    f1_ci: tuple[float, float] | None


class Both(TypedDict):
    """The figures of some AUs on a split."""

    as_printed: Summary | None
    honest: Summary


class Choices(Both, total=False):
    """The figures of a split."""

    groups: Mapping[str, Both]


SelectionResults = Mapping[str, Choices]  # results.json of a select stage


class _Results(TypedDict):
    config: Mapping[str, Any]
    data: str
    stages: Mapping[str, Mapping[str, Any]]


class Results(_Results, total=False):
    """report/results.json; older ones lack some."""

    drawn: bool
    seeds: Mapping[str, Mapping[str, Any]]
    folds: Mapping[str, Mapping[str, Any]]


class StageFigures(TypedDict):
    """figures.json of an exported folder, see `report.stage_figures.of_run`."""

    data: str
    drawn: bool
    headline: Annotated[str, OneOf(("final_score", "f1"))]
    split: Mapping[str, Mapping[str, Any]]
    seeds: Mapping[str, Mapping[str, Any]]
    folds: Mapping[str, Sequence[Mapping[str, Any]]]


# ---- Arrays. ----


@dataclasses.dataclass(frozen=True)
class Array:
    """One array of an .npz file.

    Attributes:
      kinds: of its dtype, as NumPy's letters.
      axes: a letter for each axis; arrays of a file are as long along axes of one letter.
        Alternatives are separated by a bar.
      allows: whether the values are possible. words: what they are to be.
      optional: whether files may lack it.
    """

    kinds: str
    axes: str
    allows: Callable[[np.ndarray], bool] = lambda values: True
    words: str = ""
    optional: bool = False


Arrays = Mapping[str, Array]
_LABEL = (lambda labels: bool(((labels >= -1) & (labels <= 1)).all()), "1, 0 or -1")
_FINITE = (lambda values: bool(np.isfinite(values).all()), "finite")
_SHARES = (lambda values: bool(((values >= 0) & (values <= 1)).all()), "from 0 to 1")


def _are_aus(names: np.ndarray) -> bool:
    return (
        all(name in MEANING for name in names.tolist()) and len(set(names.tolist())) == names.size
    )


_AUS = Array("U", "A", _are_aus, "different AUs, such as AU12")
_TRUE_AUS = dataclasses.replace(_AUS, axes="T")
_TEXT = Array("U", "N")
_NUMBERS = Array("iu", "N")

SCORES: Arrays = {
    "logits": Array("f", "NA", *_FINITE),
    "labels": Array("i", "NA", *_LABEL),
    "aus": _AUS,
    "keys": _TEXT,
    "subject": _TEXT,
    "video": _TEXT,
    "frame": _NUMBERS,
}
FEATURES: Arrays = {
    "features": Array("f", "NF", *_FINITE),
    "labels": Array("i", "NA", *_LABEL),
    "aus": _AUS,
    "emotion": _NUMBERS,
    "face": Array("b", "N"),
    "keys": _TEXT,
    "subject": _TEXT,
}
DECIDED: Arrays = {
    "keys": _TEXT,
    "subject": _TEXT,
    "aus": _AUS,
    "labels": Array("i", "NA", *_LABEL),
    "probabilities": Array("f", "NA", *_SHARES),
    "thresholds": Array("f", "A|NA", *_FINITE),
}
MADE_LABELS: Arrays = {
    "keys": _TEXT,
    "aus": _AUS,
    "labels": Array("i", "NA", *_LABEL),
    "probabilities": Array("f", "NA", *_SHARES),
}
LABEL_TABLE: Arrays = {
    "aus": _AUS,
    "probabilities": Array("f", "NA", *_FINITE),
    "labels": Array("i", "NA", *_LABEL),
    "true": Array("i", "NA", *_LABEL, optional=True),
}
GIVEN_LABELS: Arrays = {
    "aus": _AUS,
    "labels": Array("i", "NA", *_LABEL),
    "true_aus": _TRUE_AUS,
    "true": Array("i", "NT", *_LABEL),
    "conditions": Array("U", "C"),
    "held": Array("f", "NC", *_FINITE),
}
MAP: Arrays = {
    "points": Array("f", "NP", *_FINITE),
    "emotion": _NUMBERS,
    "present": Array("i", "N", *_LABEL),
    "library": Array("U", ""),
    "same_emotion": Array("f", "S"),
    "same_label": Array("f", "S"),
}


def fault_of_arrays(arrays: Mapping[str, np.ndarray], forms: Arrays) -> str | None:
    """What is wrong with the arrays of a file, as a clause; None where nothing is."""
    sizes: dict[str, tuple[int, str]] = {}
    for name, form in forms.items():
        if name not in arrays:
            if form.optional:
                continue
            return f"it lacks the array '{name}'"
        array = arrays[name]
        axes = next((a for a in form.axes.split("|") if len(a) == array.ndim), None)
        if array.dtype.kind not in form.kinds or axes is None:
            return f"its array '{name}' is {array.dtype} {list(array.shape)}"
        for axis, size in zip(axes, array.shape, strict=True):
            expected, other = sizes.setdefault(axis, (size, name))
            if size != expected:
                return f"its arrays '{other}' and '{name}' have {expected} and {size} entries"
        if not form.allows(array):
            return f"not all values of its array '{name}' are {form.words}"
    return None
