"""Selections: which kept checkpoints vote, with which weight per AU, at which threshold per AU.

Everything that the papers do after training is one `Selection`: the best epoch per AU and the
threshold per AU (TAL), the mean of members (Magdeburg), the best model and checkpoint per AU
(ABAW3), a linear ensemble (TAL). `au_jax.ensemble.choose` chooses one from kept scores.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from au_jax import aus as au_names
from au_jax import metrics
from au_jax.errors import UserError, unknown

LINKS = ("probability", "logit")


@dataclasses.dataclass(frozen=True)
class Member:
    """One checkpoint that can vote, seen through one choice of test crops.

    Attributes:
      run: the run's folder, relative to the workdir of the selection ("." is that workdir).
      stage: name of the train stage.
      epoch: as its checkpoint is numbered.
      crops: as in `augment.test_crops`.
    """

    run: str
    stage: str
    epoch: int
    crops: str = "center"

    @property
    def name(self) -> str:
        """Short name for tables: [run/]stage@epoch[:crops]."""
        run = "" if self.run == "." else f"{self.run}/"
        crops = "" if self.crops == "center" else f":{self.crops}"
        return f"{run}{self.stage}@{self.epoch}{crops}"


@dataclasses.dataclass(frozen=True, eq=False)
class Selection:
    """Members, and how they decide on each AU.

    Attributes:
      aus: names [A].
      members: the M checkpoints.
      weights: float64 [M, A]; 0 where the member does not know the AU, or has no vote on it.
      bias: float64 [A], added to the weighted sum.
      link: what is summed: "probability", or "logit" (the sigmoid is then taken of the sum).
      thresholds: float64 [A]; an AU is present where its probability is >= its threshold.
    """

    aus: tuple[str, ...]
    members: tuple[Member, ...]
    weights: np.ndarray
    bias: np.ndarray
    link: str
    thresholds: np.ndarray

    def voters(self) -> list[list[str]]:
        """For each AU the names of the members with a weight on it."""
        return [
            [member.name for member, weight in zip(self.members, column, strict=True) if weight]
            for column in self.weights.T
        ]


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


def apply(
    selection: Selection, member_logits: Sequence[tuple[Sequence[str], np.ndarray]]
) -> np.ndarray:
    """Combines the members' votes.

    Args:
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
        votes = weights != 0
        for a in np.flatnonzero(votes & (where < 0)):
            raise UserError(
                f"the selection gives {member.name} a weight on {selection.aus[a]}, which that "
                "checkpoint does not predict; select again"
            )
        value = logits[:, where[votes]].astype(np.float32)
        if selection.link == "probability":
            value = metrics.probabilities(value)
        total[:, votes] += weights[votes].astype(np.float32) * value
    if selection.link == "logit":
        return metrics.probabilities(total)
    return np.clip(total, 0, 1)  # The weights' rounding may leave a mean just above 1.


def to_json(selection: Selection) -> dict[str, Any]:
    """The content of selection.json; `from_json` gives back the same numbers exactly."""
    return {
        "aus": list(selection.aus),
        "members": [dataclasses.asdict(member) for member in selection.members],
        "weights": selection.weights.tolist(),
        "bias": selection.bias.tolist(),
        "link": selection.link,
        "thresholds": selection.thresholds.tolist(),
    }


def _check_fields(value: Any, cls: type, where: str) -> None:
    """Raises UserError unless the dictionary `value` has exactly the fields of `cls`."""
    fields = [field.name for field in dataclasses.fields(cls)]
    if not isinstance(value, dict):
        raise UserError(f"{where} is not a JSON object with the fields {', '.join(fields)}")
    for name in value:
        if name not in fields:
            raise unknown(f"field in {where}", name, fields)
    for name in fields:
        if name not in value:
            raise UserError(f"{where} lacks the field '{name}'; select again")


def from_json(value: Any, where: str) -> Selection:
    """Reads what `to_json` wrote.

    Args:
      where: the file it comes from, for the error.

    Raises:
      UserError: a field is unknown or missing, an AU or link is unknown, or numbers do not fit.
    """
    _check_fields(value, Selection, where)
    for name in ("aus", "members"):
        if not isinstance(value[name], list) or not value[name]:
            raise UserError(f"'{name}' of {where} is not a list with entries; select again")
    for number, member in enumerate(value["members"]):
        _check_fields(member, Member, f"member {number} of {where}")
    if value["link"] not in LINKS:
        raise unknown(f"link in {where}", value["link"], LINKS)
    aus = au_names.check(value["aus"])
    members = tuple(Member(**member) for member in value["members"])
    shapes = {
        "weights": (len(members), len(aus)),
        "bias": (len(aus),),
        "thresholds": (len(aus),),
    }
    arrays = {}
    for name, shape in shapes.items():
        try:
            arrays[name] = np.array(value[name], np.float64)
        except (TypeError, ValueError):
            arrays[name] = np.array(math.nan)
        if arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
            raise UserError(
                f"'{name}' of {where} is not {' x '.join(map(str, shape))} finite numbers; "
                "select again"
            )
    return Selection(aus=aus, members=members, link=value["link"], **arrays)
