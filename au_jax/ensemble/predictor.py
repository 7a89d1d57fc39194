"""A selection at work on new pictures: only the checkpoints that vote, in one jitted call."""

import dataclasses
import itertools
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from au_jax import run_dir, sharding
from au_jax.ensemble import selection
from au_jax.ensemble.member_scores import read_selection
from au_jax.ensemble.selection import Member, Selection
from au_jax.ensemble.tta import through_crops
from au_jax.errors import UserError, unknown
from au_jax.methods.base import Method, Variables
from au_jax.metrics import decide
from au_jax.run_dir import RunFolder, StageFolder
from au_jax.training.model_card import ModelCard, restore_all

# Fewer pictures make a batch of the next power of two, so that few sizes are ever compiled.
_LARGEST_BATCH = 64


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a selection says of N pictures.

    Attributes:
      probabilities: {AU: float32 [N]}.
      decisions: {AU: bool [N]}, at the selection's threshold of the AU.
    """

    probabilities: dict[str, np.ndarray]
    decisions: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class _Group:
    """The voting checkpoints of one stage through one choice of test crops.

    Attributes:
      method: of the stage, through the test crops.
      crop: the prepared crop that it reads.
      variables: of the K checkpoints: every leaf has a leading axis [K].
    """

    method: Method
    crop: str
    variables: Variables


def voting(chosen: Selection) -> Selection:
    """The selection without the members that have no weight on any AU; a stage's stand together."""
    votes = (chosen.weights != 0).any(1)
    votes[0] |= not votes.any()  # A selection has a member.
    order = sorted(np.flatnonzero(votes), key=lambda m: _network(chosen.members[m]))
    members = tuple(chosen.members[m] for m in order)
    return dataclasses.replace(chosen, members=members, weights=chosen.weights[order])


def _network(member: Member) -> tuple[str, str, str]:
    return member.run, member.stage, member.crops


class Predictor:
    """The members of a selection that vote, restored.

    Attributes:
      selection: the selection, of the voting members only.
      aus: the AUs that it decides on.
      crops: the prepared crop that pictures must be given as, and its side in pixels; of several
        where members read different ones.
    """

    def __init__(self, chosen: Selection, workdir: Path):
        """Restores the checkpoints that vote.

        Args:
          chosen: a selection. workdir: the run's folder that its members' runs are relative to.

        Raises:
          UserError: a checkpoint is missing or damaged, of another shape, or does not predict an AU
            on which it has a weight; two members need one crop in different sizes.
        """
        self.selection = voting(chosen)
        self.aus = chosen.aus
        self.crops: dict[str, int] = {}
        self._groups: list[_Group] = []
        mesh = sharding.make_mesh(1)
        for (run, _, crops), together in itertools.groupby(self.selection.members, _network):
            members = list(together)
            folder = RunFolder(workdir / run).stage(members[0].stage)
            about = self._checked_about(folder, members, workdir)
            method = about.create()
            each = restore_all(folder, method, [member.epoch for member in members], mesh)
            variables = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
            method = through_crops(method, about.image_size, crops)
            self._groups.append(_Group(method, about.crop, variables))
        self._forward = jax.jit(self._votes)

    def _checked_about(
        self, folder: StageFolder, members: list[Member], workdir: Path
    ) -> ModelCard:
        """What the checkpoints of `members` say of themselves; also notes the crop they read."""
        if not folder.model_card.exists():
            raise UserError(
                f"the selection needs {members[0].name}, but {folder.path} is not the folder of a "
                f"trained stage; put that run where it was, seen from {workdir}"
            )
        about = ModelCard.read(folder)
        for member, weights in zip(self.selection.members, self.selection.weights, strict=True):
            for au in itertools.compress(self.aus, weights if member in members else ()):
                if au not in about.aus:
                    raise UserError(
                        f"the selection gives {member.name} a weight on {au}, which that "
                        f"checkpoint does not predict ({', '.join(about.aus)}); select again"
                    )
        side = self.crops.setdefault(about.crop, about.crop_size)
        if side != about.crop_size:
            raise UserError(
                f"{members[0].name} reads '{about.crop}' crops of {about.crop_size} px, and other "
                f"members such of {side} px; select from models trained on one size"
            )
        return about

    def _votes(
        self, variables: list[Variables], images: dict[str, jax.Array], pose: jax.Array
    ) -> list[jax.Array]:
        """The logits [K, B, A_g] of each group."""
        # Checkpoints one after another in a loop: as fast as unrolled and 2 to 4 times as fast as
        # vmapped (grouped convolutions), and each network is compiled once, not once per epoch.
        return [
            jax.lax.map(lambda own, g=group: g.method.predict(own, images[g.crop], pose), v)
            for group, v in zip(self._groups, variables, strict=True)
        ]

    def predict(
        self, images: np.ndarray | Mapping[str, np.ndarray], pose: np.ndarray | None = None
    ) -> Prediction:
        """Predicts from prepared crops; see `probabilities` for the arguments."""
        probabilities = self.probabilities(images, pose)
        decisions = decide(probabilities, self.selection.thresholds)
        return Prediction(
            dict(zip(self.aus, probabilities.T, strict=True)),
            dict(zip(self.aus, decisions.T, strict=True)),
        )

    def probabilities(
        self, images: np.ndarray | Mapping[str, np.ndarray], pose: np.ndarray | None = None
    ) -> np.ndarray:
        """What `selection.apply` gives for these pictures: float32 [N, A], in the order of `aus`.

        Args:
          images: prepared crops, uint8 [N, H, W, 3], RGB; {crop: such an array} where `crops` holds
            several.
          pose: float32 [N, 3]: pitch, yaw and roll in degrees, NaN where not known (as all are when
            not given): the networks then take the mean pose of their training.

        Raises:
          UserError: the pictures are not the crops that the networks were trained on.
        """
        by_crop = self._checked(images)
        number = len(next(iter(by_crop.values())))
        if not number:
            return np.zeros((0, len(self.aus)), np.float32)
        poses = np.full((number, 3), np.nan, np.float32)
        if pose is not None:
            poses[:] = pose
        size = min(_LARGEST_BATCH, 1 << (number - 1).bit_length())
        variables = [group.variables for group in self._groups]
        batches = []
        for start in range(0, number, size):
            rows = slice(start, start + size)
            part = {crop: _filled(x[rows], size) for crop, x in by_crop.items()}
            batches.append(self._forward(variables, part, _filled(poses[rows], size)))
        logits = [np.concatenate(group, 1)[:, :number] for group in zip(*batches, strict=True)]
        return selection.apply(
            self.selection,
            [
                (group.method.aus, own)
                for group, votes in zip(self._groups, logits, strict=True)
                for own in votes
            ],
        )

    def _checked(self, images: np.ndarray | Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        needed = ", ".join(f"'{crop}'" for crop in self.crops)
        if not isinstance(images, Mapping):
            if len(self.crops) > 1:
                raise UserError(
                    f"this selection reads the crops {needed}; give images as a dictionary of one "
                    "array for each of them"
                )
            images = dict.fromkeys(self.crops, images)
        for crop, side in self.crops.items():
            if crop not in images:
                raise UserError(f"images lack the crop '{crop}'; this selection reads {needed}")
            array = np.asarray(images[crop])
            if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != 3:
                raise UserError(
                    f"images of the crop '{crop}' are {array.dtype} {list(array.shape)}; give "
                    "uint8 [N, height, width, 3]"
                )
            if array.shape[1:3] != (side, side):
                raise UserError(
                    f"images of the crop '{crop}' are {array.shape[1]} x {array.shape[2]} pixels, "
                    f"and the networks were trained on {side} x {side}; prepare them alike"
                )
        if len({len(images[crop]) for crop in self.crops}) > 1:
            raise UserError(f"images hold different numbers of pictures of the crops {needed}")
        return {crop: np.asarray(images[crop]) for crop in self.crops}


def _filled(rows: np.ndarray, size: int) -> np.ndarray:
    """`rows` with zeros behind them, up to `size`."""
    return np.concatenate([rows, np.zeros((size - len(rows), *rows.shape[1:]), rows.dtype)])


def load(run: str | Path, stage: str | None = None) -> Predictor:
    """Loads a run for prediction.

    Args:
      run: its workdir.
      stage: whose selection (of a train stage: its last epoch); of all that are done the last one
        that selects, or else the last one that trains, when not given.

    Raises:
      UserError: `run` is not a run's folder or has no such stage; see also `Predictor`.
    """
    folder = RunFolder(Path(run))
    order = run_dir.read_json(folder.config)["order"]
    done = [folder.stage(name) for name in order if folder.stage(name).done]
    selecting = [s for s in done if s.selection.exists()]
    training = [s for s in done if s.model_card.exists()]
    if stage is not None:
        usable = {s.name: s for s in done if s in selecting or s in training}
        if stage not in usable:
            raise unknown(f"finished stage in {run}", stage, usable)
        chosen = usable[stage]
    elif selecting or training:
        chosen = (selecting or training)[-1]
    else:
        raise UserError(f"no stage of {run} that predicts is finished; run its config to the end")
    if chosen in training and not chosen.epochs():
        raise UserError(f"{chosen.model} holds no checkpoint any more; train {chosen.name} again")
    return Predictor(read_selection(chosen), folder.path)
