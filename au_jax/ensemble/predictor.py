"""Prediction for new images: the checkpoints of a selection, together in one jitted call."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from au_jax import sharding, starter
from au_jax.ensemble import model_folder, selection
from au_jax.ensemble.member_scores import read_selection
from au_jax.ensemble.model_folder import ModelFolder
from au_jax.ensemble.selection import Member, Selection
from au_jax.ensemble.tta import through_crops
from au_jax.errors import UserError, unknown
from au_jax.files import atomic_files, file_forms
from au_jax.methods.base import Method, Variables
from au_jax.metrics import decide
from au_jax.run_dir import RunFolder, StageFolder
from au_jax.stage_name import StageName
from au_jax.training.model_card import ModelCard, restore_all

# Fewer images make a batch of the next power of two, so that few sizes are ever compiled.
_LARGEST_BATCH = 64


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a selection says of N images.

    Attributes:
      probabilities: {AU: float32 [N]}.
      decisions: {AU: bool [N]}, at the selection's threshold of the AU.
    """

    probabilities: dict[str, np.ndarray]
    decisions: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class _Group:
    """The members of one stage and one choice of test crops, which share a network.

    Attributes:
      method: of the stage, through the test crops.
      crop: the prepared crop that it reads.
      variables: of the K checkpoints: every leaf has a leading axis [K].
    """

    method: Method
    crop: str
    variables: Variables


def without_unused(chosen: Selection) -> Selection:
    """The selection without the members that have no weight on any AU.

    The members that are left are ordered by run, stage and crops, so that those of one network
    follow one another.
    """
    used = (chosen.weights != 0).any(1)
    used[0] |= not used.any()  # A selection has a member.
    order = sorted(np.flatnonzero(used), key=lambda m: _network(chosen.members[m]))
    members = tuple(chosen.members[m] for m in order)
    return dataclasses.replace(chosen, members=members, weights=chosen.weights[order])


def _network(member: Member) -> tuple[str, str, str]:
    return member.run, member.stage, member.crops


class Networks(Protocol):
    """Where the networks of a selection's members lie."""

    def card(self, member: Member) -> ModelCard:
        """The model card of a member's stage; raises UserError where there is none."""

    def variables(
        self, members: Sequence[Member], method: Method, mesh: Mesh
    ) -> Sequence[Variables]:
        """What `method.predict` takes of each of these members of one stage, on every device.

        Raises:
          UserError: a checkpoint is missing, damaged, or of another network.
        """


@dataclasses.dataclass(frozen=True)
class RunNetworks:
    """The checkpoints of runs.

    Attributes:
      workdir: the run's folder that the members' runs are relative to.
    """

    workdir: Path

    def _folder(self, member: Member) -> StageFolder:
        return RunFolder(self.workdir / member.run).stage(member.stage)

    def card(self, member: Member) -> ModelCard:
        """See `Networks`."""
        folder = self._folder(member)
        if not folder.model_card.exists():
            raise UserError(
                f"the selection needs {member}, but {folder.path} holds no network that was "
                f"trained; if it was, put that run where it was, seen from {self.workdir}, else "
                "name another stage"
            )
        return ModelCard.read(folder)

    def variables(self, members: Sequence[Member], method: Method, mesh: Mesh) -> list[Variables]:
        """See `Networks`."""
        return restore_all(self._folder(members[0]), method, [m.epoch for m in members], mesh)


class Predictor:
    """The restored checkpoints of a selection, those that have a weight on an AU.

    Every image stands alone here: nothing is smoothed over the frames of a video.

    Attributes:
      over_time: the selection with its smoothing, without the members that have no weight.
      selection: the same without smoothing: a checkpoint is one member, whatever its windows.
      aus: the AUs that it decides on.
      member_aus: the AUs that each member of `selection` predicts.
      crops: {crop: side in pixels} of the prepared crops that images must be given as; several
        where members read different ones.
    """

    def __init__(self, chosen: Selection, networks: Networks):
        """Restores the checkpoints that have a weight on an AU.

        Args:
          chosen: a selection.
          networks: of its members.

        Raises:
          UserError: a checkpoint is missing or damaged, of another shape, or does not predict an AU
            on which it has a weight; two members need one crop in different sizes.
        """
        self.over_time = without_unused(chosen)
        self.selection = without_unused(selection.unsmoothed(self.over_time))
        self.aus = chosen.aus
        self.member_aus: list[tuple[str, ...]] = []
        self.crops: dict[str, int] = {}
        self._groups: list[_Group] = []
        mesh = sharding.make_mesh(1)
        for (_, _, crops), together in itertools.groupby(self.selection.members, _network):
            members = list(together)
            card = networks.card(members[0])
            self._check(card, members)
            method = card.create()
            restored = networks.variables(members, method, mesh)
            variables = jax.tree.map(lambda *leaves: jnp.stack(leaves), *restored)
            method = through_crops(method, card.image_size, crops)
            self._groups.append(_Group(method, card.crop, variables))
            self.member_aus += [tuple(method.aus)] * len(members)
        self._forward = jax.jit(self._logits)

    def _check(self, card: ModelCard, members: list[Member]) -> None:
        """Checks that `members` know the AUs they vote on; notes the crop that they read."""
        for member, weights in zip(self.selection.members, self.selection.weights, strict=True):
            for au in itertools.compress(self.aus, weights if member in members else ()):
                if au not in card.aus:
                    raise UserError(
                        f"the selection gives {member} a weight on {au}, which that "
                        f"checkpoint does not predict ({', '.join(card.aus)}); select again"
                    )
        side = self.crops.setdefault(card.crop, card.crop_size)
        if side != card.crop_size:
            raise UserError(
                f"{members[0]} reads '{card.crop}' crops of {card.crop_size} px, and other "
                f"members such of {side} px; select from models trained on one size"
            )

    def _logits(
        self, variables: list[Variables], images: dict[str, jax.Array], pose: jax.Array
    ) -> list[jax.Array]:
        """The logits [K, B, A_g] of each group."""
        # Running the checkpoints one after another in a loop is as fast as unrolling them and 2 to
        # 4 times as fast as vmapping them (grouped convolutions), and compiles each network once
        # instead of once per epoch.
        return [
            jax.lax.map(lambda of_one, g=group: g.method.predict(of_one, images[g.crop], pose), v)
            for group, v in zip(self._groups, variables, strict=True)
        ]

    def predict(
        self, images: np.ndarray | Mapping[str, np.ndarray], pose: np.ndarray | None = None
    ) -> Prediction:
        """Predicts the AUs of prepared crops; the arguments and errors of `probabilities`."""
        probabilities = self.probabilities(images, pose)
        decisions = decide(probabilities, self.selection.thresholds)
        return Prediction(
            dict(zip(self.aus, probabilities.T, strict=True)),
            dict(zip(self.aus, decisions.T, strict=True)),
        )

    def probabilities(
        self, images: np.ndarray | Mapping[str, np.ndarray], pose: np.ndarray | None = None
    ) -> np.ndarray:
        """The probabilities that the selection gives these images: float32 [N, A], as `aus` orders.

        Args:
          images: prepared crops, uint8 [N, H, W, 3], RGB; {crop: such an array} where `crops` holds
            several.
          pose: float32 [N, 3], pitch, yaw and roll in degrees, NaN where not known. The networks
            take the mean pose of their training for unknown angles, as for all when none are given.

        Raises:
          UserError: the images are not the crops that the networks were trained on.
        """
        count = len(next(iter(self._checked(images).values())))
        if not count:
            _poses(pose, count)
            return np.zeros((0, len(self.aus)), np.float32)
        logits = self.member_logits(images, pose)
        return selection.apply(self.selection, list(zip(self.member_aus, logits, strict=True)))

    def member_logits(
        self,
        images: np.ndarray | Mapping[str, np.ndarray],
        pose: np.ndarray | None = None,
        batch: int = 0,
    ) -> list[np.ndarray]:
        """What each member of `selection` says of these images.

        Args:
          images, pose: at least one; see `probabilities`, which also has the errors.
          batch: images in each batch, the last one filled up; 0: as the number of images suggests.

        Returns:
          For each member its logits float32 [N, A_m], as `member_aus` orders them.
        """
        by_crop = self._checked(images)
        count = len(next(iter(by_crop.values())))
        poses = _poses(pose, count)
        size = batch or min(_LARGEST_BATCH, 1 << (count - 1).bit_length())
        variables = [group.variables for group in self._groups]
        batches = []
        for start in range(0, count, size):
            rows = slice(start, start + size)
            part = {crop: _filled(x[rows], size) for crop, x in by_crop.items()}
            batches.append(self._forward(variables, part, _filled(poses[rows], size)))
        by_group = [np.concatenate(group, 1)[:, :count] for group in zip(*batches, strict=True)]
        return [of_member for logits in by_group for of_member in logits]

    def _checked(self, images: np.ndarray | Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """The images of each crop that the networks read, or the error that says what is amiss."""
        needed = ", ".join(f"'{crop}'" for crop in self.crops)
        if not isinstance(images, Mapping):
            if len(self.crops) > 1:
                raise UserError(
                    f"this selection reads the crops {needed}; give images as a dictionary of one "
                    "array for each of them"
                )
            images = dict.fromkeys(self.crops, images)
        checked: dict[str, np.ndarray] = {}
        for crop, side in self.crops.items():
            if crop not in images:
                raise UserError(f"images lack the crop '{crop}'; this selection reads {needed}")
            checked[crop] = array = _array(images[crop], crop)
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
        if len({len(array) for array in checked.values()}) > 1:
            raise UserError(f"images hold different numbers of images for the crops {needed}")
        return checked


def _poses(pose: np.ndarray | None, count: int) -> np.ndarray:
    """The head angles float32 [count, 3], NaN where none are given.

    Raises:
      UserError: they are of another shape, no numbers, or infinite.
    """
    if pose is None:
        return np.full((count, 3), np.nan, np.float32)
    try:
        angles = np.asarray(pose, np.float32)
    except (TypeError, ValueError):
        angles = np.empty(0, np.float32)
    if angles.shape != (count, 3) or np.isinf(angles).any():
        raise UserError(
            f"pose is not {count} x 3 angles; give pitch, yaw and roll of each image in degrees, "
            "NaN where one is not known"
        )
    return angles


def _array(images: Any, crop: str) -> np.ndarray:
    """The images of one crop; raises UserError where they are not alike."""
    try:
        return np.asarray(images)
    except ValueError as error:
        raise UserError(
            f"images of the crop '{crop}' differ in size; give an array uint8 [N, height, width, 3]"
        ) from error


def _filled(rows: np.ndarray, size: int) -> np.ndarray:
    """`rows` with zeros behind them, up to `size`."""
    return np.concatenate([rows, np.zeros((size - len(rows), *rows.shape[1:]), rows.dtype)])


def predicting_stage(folder: RunFolder, stage: str | None) -> StageFolder:
    """The finished stage of a run that predicts: `stage`, else its last selection or training.

    Of a run on folds it is that of the first fold, whose name ends in ".fold1".

    Raises:
      UserError: `folder` is not a run's folder, or has no such stage that still holds a network.
    """
    config = atomic_files.read_json(folder.config, file_forms.Order)
    names = [
        on_fold
        for name in config["order"]
        for on_fold in reversed(StageName.parse(name).on_folds(config.get("folds", 0)))
    ]
    done = [s for s in map(folder.stage, names) if s.done]
    selecting = [s for s in done if s.selection.exists()]
    # A pretraining tells no AUs.
    training = [s for s in done if s.model_card.exists() and ModelCard.read(s).aus]
    if stage is not None:
        usable = {s.name: s for s in done if s in selecting or s in training}
        if stage not in usable:
            raise unknown(f"finished stage in {folder.path}", stage, usable)
        chosen = usable[stage]
    elif selecting or training:
        chosen = (selecting or training)[-1]
    else:
        raise UserError(
            f"no stage of {folder.path} that predicts is finished; run its config to the end"
        )
    return chosen


def opened(place: Path, stage: str | None) -> tuple[Selection, Networks]:
    """The selection of a run or of an exported folder, and its members' networks.

    Raises:
      UserError: `place` is neither; see `predicting_stage` and `ModelFolder.read`; `stage` names
        one of an exported folder, which has none.
    """
    if not model_folder.is_one(place):
        return read_selection(predicting_stage(RunFolder(place), stage)), RunNetworks(place)
    if stage is not None:
        raise UserError(f"{place} was exported and has no stages; leave out the stage {stage}")
    exported = ModelFolder.read(place)
    return exported.selection, exported


def stage_name(place: Path, stage: str | None) -> str:
    """The name of the stage that predicts; "" in an exported folder, which has none."""
    return "" if model_folder.is_one(place) else predicting_stage(RunFolder(place), stage).name


def load(run: str | Path, stage: str | None = None) -> Predictor:
    """Loads a run for prediction: `au_jax.load`, which documents the arguments.

    Raises:
      UserError: see `opened` and `Predictor`.
    """
    return Predictor(*opened(starter.folder_of(run), stage))
