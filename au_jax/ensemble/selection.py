"""A selection: the kept checkpoints that decide together, their weights and thresholds per AU.

Everything that the papers do after training is one `Selection`: the best epoch per AU and the
threshold per AU (TAL), the mean of members (Magdeburg), the best model and checkpoint per AU
(ABAW3), a linear ensemble (TAL). `au_jax.ensemble.choose` chooses one from kept scores.
"""

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Annotated, Any, TypedDict

import numpy as np

from au_jax import allowed, metrics
from au_jax import aus as au_names
from au_jax.augment import TEST_CROPS
from au_jax.ensemble.calibration import Calibration
from au_jax.ensemble.smoothing import check_window
from au_jax.errors import UserError, unknown

LINKS = ("probability", "logit")


class _MemberFields(TypedDict):
    """A member in selection.json."""

    run: Annotated[str, allowed.Text(least=1, most=4096)]
    stage: allowed.Name
    epoch: allowed.Count
    crops: Annotated[str, allowed.OneOf(TEST_CROPS)]
    window: int


@dataclasses.dataclass(frozen=True)
class Member:
    """One checkpoint of a selection, applied to one choice of test crops and smoothed over time.

    Its text is `[RUN/]STAGE@EPOCH[:CROPS][~WINDOW]`, such as `train@3`, `train@3~15` or
    `../other/train.seed1@12:five`; the run ".", the crops "center" and the window 1 are left out.

    Attributes:
      run: the run's folder, relative to the workdir of the selection ("." is that workdir).
      stage: name of the train stage.
      epoch: the number of its checkpoint.
      crops: as in `augment.test_crops`.
      window: frames of a video that its logits are the mean of, see `smoothing`; 1 for none.
    """

    run: str
    stage: str
    epoch: int
    crops: str = "center"
    window: int = 1

    def __post_init__(self) -> None:
        """Raises UserError where the window is not odd."""
        check_window(self.window)

    @classmethod
    def parse(cls, text: str) -> "Member":
        """Reads what `str` wrote.

        Raises:
          UserError: `text` is not of this form, or the window is not odd.
        """
        match = re.fullmatch(r"(?:(.+)/)?([^/@]+)@(\d+)(?::(\w+))?(?:~(\d+))?", text)
        if match is None:
            raise UserError(
                f"'{text}' is no member's name; write [RUN/]STAGE@EPOCH[:CROPS][~WINDOW]"
            )
        run, stage, epoch, crops, window = match.groups()
        return cls(run or ".", stage, int(epoch), crops or "center", int(window or 1))

    @property
    def stage_path(self) -> str:
        """[RUN/]STAGE, the part before the "@"."""
        return self.stage if self.run == "." else f"{self.run}/{self.stage}"

    @property
    def version(self) -> str:
        """EPOCH[:CROPS][~WINDOW], the part behind the "@"."""
        crops = "" if self.crops == "center" else f":{self.crops}"
        window = "" if self.window == 1 else f"~{self.window}"
        return f"{self.epoch}{crops}{window}"

    def __str__(self) -> str:
        return f"{self.stage_path}@{self.version}"


@dataclasses.dataclass(frozen=True, eq=False)
class Selection:
    """Members, and how they decide on each AU.

    Attributes:
      aus: names [A].
      members: the M checkpoints.
      weights: float64 [M, A]; 0 where the member does not know the AU, or is not used on it.
      bias: float64 [A], added to the weighted sum.
      link: what is summed: "probability", or "logit" (the sigmoid is then taken of the sum).
      thresholds: float64 [A]; an AU is present where its probability is >= its threshold.
      calibration: of the probabilities behind the link; the thresholds are on those it gives.
    """

    aus: tuple[str, ...]
    members: tuple[Member, ...]
    weights: np.ndarray
    bias: np.ndarray
    link: str
    thresholds: np.ndarray
    calibration: Calibration | None = None

    def members_per_au(self) -> list[list[str]]:
        """For each AU the names of the members with a weight on it."""
        return [
            [str(member) for member, weight in zip(self.members, column, strict=True) if weight]
            for column in self.weights.T
        ]


def unsmoothed(selection: Selection) -> Selection:
    """The same checkpoints, weights and thresholds without any smoothing over time."""
    members = [dataclasses.replace(member, window=1) for member in selection.members]
    distinct = list(dict.fromkeys(members))
    # A checkpoint that is there with several windows gets the sum of their weights.
    weights = np.zeros((len(distinct), len(selection.aus)))
    for member, row in zip(members, selection.weights, strict=True):
        weights[distinct.index(member)] += row
    return dataclasses.replace(selection, members=tuple(distinct), weights=weights)


def of_one(member: Member, aus: Sequence[str]) -> Selection:
    """The selection of a single checkpoint, at the default threshold."""
    size = len(aus)
    return Selection(
        aus=tuple(aus),
        members=(member,),
        weights=np.ones((1, size)),
        bias=np.zeros(size),
        link="probability",
        thresholds=np.full(size, metrics.DEFAULT_THRESHOLD),
    )


def on(selection: Selection, aus: Sequence[str]) -> Selection:
    """The same decisions on some of the AUs of a selection alone, in the order of `aus`."""
    at = au_names.positions(selection.aus, aus)
    maps = selection.calibration
    return dataclasses.replace(
        selection,
        aus=tuple(aus),
        weights=selection.weights[:, at],
        bias=selection.bias[at],
        thresholds=selection.thresholds[at],
        calibration=maps and Calibration(maps.slope[at], maps.offset[at]),
    )


def apply(
    selection: Selection, member_logits: Sequence[tuple[Sequence[str], np.ndarray]]
) -> np.ndarray:
    """Combines what the members say of N examples: weighted sum, bias, link, calibration.

    Args:
      selection: of M members on A AUs.
      member_logits: for each member, in order, its AU names and its logits float32 [N, A_m].

    Returns:
      probabilities float32 [N, A], in the order of `selection.aus`.

    Raises:
      UserError: a member has a weight on an AU that its logits lack.
    """
    total = np.zeros((len(member_logits[0][1]), len(selection.aus)), np.float32)
    total += selection.bias.astype(np.float32)
    for member, weights, (aus, logits) in zip(
        selection.members, selection.weights, member_logits, strict=True
    ):
        where = au_names.positions(aus, selection.aus)
        used = weights != 0
        for a in np.flatnonzero(used & (where < 0)):
            raise UserError(
                f"the selection gives {member} a weight on {selection.aus[a]}, which that "
                "checkpoint does not predict; select again"
            )
        value = logits[:, where[used]].astype(np.float32)
        if selection.link == "probability":
            value = metrics.probabilities(value)
        total[:, used] += weights[used].astype(np.float32) * value
    # The weights' rounding may leave a mean just above 1.
    by_logit = selection.link == "logit"
    combined = metrics.probabilities(total) if by_logit else np.clip(total, 0, 1)
    return selection.calibration.probabilities(combined) if selection.calibration else combined


def calibrated(selection: Selection, calibration: Calibration | None) -> Selection:
    """The same decisions from calibrated probabilities: the thresholds move with them."""
    if calibration is None:
        return selection
    # Of probabilities in float32, the lowest that reaches a threshold becomes the new threshold.
    lowest = selection.thresholds.astype(np.float32)
    below = lowest < selection.thresholds
    lowest[below] = np.nextafter(lowest[below], np.float32(np.inf))
    thresholds = calibration.probabilities(lowest).astype(np.float64)
    return dataclasses.replace(selection, thresholds=thresholds, calibration=calibration)


def to_json(selection: Selection) -> dict[str, Any]:
    """The content of selection.json, from which `from_json` makes exactly the same numbers."""
    value: dict[str, Any] = {
        "aus": list(selection.aus),
        "members": [dataclasses.asdict(member) for member in selection.members],
        "weights": selection.weights.tolist(),
        "bias": selection.bias.tolist(),
        "link": selection.link,
        "thresholds": selection.thresholds.tolist(),
    }
    if selection.calibration:
        maps = dataclasses.asdict(selection.calibration)
        value["calibration"] = {name: of_aus.tolist() for name, of_aus in maps.items()}
    return value


def _check_fields(value: Any, cls: type, where: str) -> None:
    """Raises UserError unless the dictionary `value` has exactly the fields of `cls`."""
    fields = [field.name for field in dataclasses.fields(cls)]
    if not isinstance(value, dict):
        raise UserError(f"{where} is not a JSON object with the fields {', '.join(fields)}")
    for field in value:
        if field not in fields:
            raise unknown(f"field in {where}", field, fields)
    for field in fields:
        if field not in value:
            raise UserError(f"{where} lacks the field '{field}'; select again")


def from_json(value: Any, where: str) -> Selection:
    """Reads what `to_json` wrote.

    Args:
      value: the parsed JSON.
      where: the file that it comes from, which the errors name.

    Raises:
      UserError: a field is unknown or missing, an AU or link is unknown, or numbers do not fit.
    """
    # Selections that calibrate nothing, and those from before there was calibration, name none.
    value = {"calibration": None, **value} if isinstance(value, dict) else value
    _check_fields(value, Selection, where)
    for field in ("aus", "members"):
        if not isinstance(value[field], list) or not value[field]:
            raise UserError(f"'{field}' of {where} is not a list with entries; select again")
    # Selections from before there was smoothing name no window.
    given = [{"window": 1, **m} if isinstance(m, dict) else m for m in value["members"]]
    for number, member in enumerate(given):
        _check_fields(member, Member, f"member {number} of {where}")
        fault = allowed.fault(member, _MemberFields)
        if fault:
            raise UserError(f"member {number} of {where} is damaged, as {fault}; select again")
    if value["link"] not in LINKS:
        raise unknown(f"link in {where}", value["link"], LINKS)
    if not all(isinstance(au, str) for au in value["aus"]):
        raise UserError(f"'aus' of {where} is not a list of names; select again")
    try:
        aus = au_names.check(value["aus"])
        members = tuple(Member(**member) for member in given)
    except UserError as error:
        raise UserError(f"{where} is damaged: {error}") from error
    shapes = {
        "weights": (len(members), len(aus)),
        "bias": (len(aus),),
        "thresholds": (len(aus),),
    }
    arrays = {name: _numbers(value[name], shape, name, where) for name, shape in shapes.items()}
    calibration = _calibration(value["calibration"], len(aus), where)
    return Selection(aus, members, link=value["link"], calibration=calibration, **arrays)


def _numbers(value: Any, shape: tuple[int, ...], field: str, where: str) -> np.ndarray:
    """The array float64 of this shape; raises UserError where `value` is none."""
    try:
        array = np.array(value, np.float64)
    except (TypeError, ValueError):
        array = np.array(math.nan)
    if array.shape != shape or not np.isfinite(array).all():
        raise UserError(
            f"'{field}' of {where} is not {' x '.join(map(str, shape))} finite numbers; "
            "select again"
        )
    return array


def _calibration(value: Any, size: int, where: str) -> Calibration | None:
    if value is None:
        return None
    _check_fields(value, Calibration, f"the calibration of {where}")
    slope, offset = (_numbers(value[name], (size,), name, where) for name in ("slope", "offset"))
    if not (slope > 0).all():
        raise UserError(f"'slope' of {where} is not above 0 for every AU; select again")
    return Calibration(slope, offset)
