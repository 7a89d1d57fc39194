"""Starting weights of a training: imported ones, or the network of a stage or of a file."""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
from jax.sharding import Mesh

from au_jax import aus as au_names
from au_jax import log, methods, starter
from au_jax.allowed import Form
from au_jax.errors import UserError
from au_jax.models import BACKBONES, pretrained
from au_jax.models.au_net import HEAD_PREFIX
from au_jax.models.network_spec import IMAGE_CONVENTIONS, NetworkSpec
from au_jax.run_dir import RunFolder, StageFolder
from au_jax.training import weights_file
from au_jax.training.checkpoint import first_difference
from au_jax.training.model_card import ModelCard, kept_shapes, last_epoch, restore

# The last layers of a plain IResNet, which one with a feature pyramid does not have.
_PLAIN_TAIL = "embedding"
# Values of a config's `model.weights` that name no file.
NONE, ASK = "none", "ask"


@dataclasses.dataclass(frozen=True)
class KeptEpoch:
    """A kept epoch of a training, as configs name it: `[RUN:]STAGE[@EPOCH]`.

    Attributes:
      stage: the stage's name.
      run: the folder of another run, or "" for the same one.
      epoch: its number; 0 for the last.
    """

    stage: str
    run: str = ""
    epoch: int = 0

    @classmethod
    def parse(cls, text: str) -> "KeptEpoch":
        """Reads what `str` wrote.

        Raises:
          UserError: `text` is not of this form.
        """
        match = re.fullmatch(r"(?:(.+):)?([^:/@]+)(?:@(\d+))?", text)
        if match is None:
            raise UserError(f"start '{text}' names no training; write [RUN:]STAGE[@EPOCH]")
        run, stage, epoch = match.groups()
        return cls(stage, run or "", int(epoch or 0))

    def __str__(self) -> str:
        run = f"{self.run}:" if self.run else ""
        return f"{run}{self.stage}{f'@{self.epoch}' if self.epoch else ''}"

    def renamed(self, rename: Callable[[str], str]) -> "KeptEpoch":
        """The same with another name of its stage; stages of other runs keep theirs."""
        return self if self.run else dataclasses.replace(self, stage=rename(self.stage))

    def folder(self, of_stage: Callable[[str], StageFolder]) -> StageFolder:
        """The stage's folder, `of_stage` giving those of the same run.

        Raises:
          UserError: the stage is not finished.
        """
        if not self.run:
            return of_stage(self.stage)
        folder = RunFolder(Path(self.run)).stage(self.stage)
        if not folder.done:
            raise UserError(
                f"start '{self}': {folder.path} is no finished stage; run its recipe first, or "
                "name another folder"
            )
        return folder


def exported_file(start: str) -> Path | None:
    """The exported network that `start` names, if it is a file, or "starter"."""
    if start == starter.NAME:
        return starter.NETWORK
    return Path(start) if start.endswith(".safetensors") else None


Start = Annotated[
    str,
    Form(
        lambda text: not text or exported_file(text) or KeptEpoch.parse(text),
        "[RUN:]STAGE[@EPOCH], an exported networks/NAME.safetensors, or starter",
    ),
]


def renamed(start: str, rename: Callable[[str], str]) -> str:
    """A stage's field `start` with the name of its stage put through `rename`; others stay."""
    if not start or exported_file(start):
        return start
    return str(KeptEpoch.parse(start).renamed(rename))


def starting_weights(
    start: str,
    model: Mapping[str, Any],
    network: NetworkSpec,
    of_stage: Callable[[str], StageFolder],
    mesh: Mesh,
    aus: Sequence[str] = (),
) -> Callable | None:
    """(params, batch_stats) as initialised -> those to start from; None to start from these.

    Args:
      start: a `KeptEpoch`, an `exported_file`, or "".
      model: the section of a config. Its `weights` may name a PyTorch file of ImageNet weights, in
        which "{backbone}" stands for the backbone's name; "none" is as good as "", but meant.
      network: that is to be started.
      of_stage: gives the folders of the same run's stages.
      aus: that the outputs are for.

    Raises:
      UserError: `start` names no finished stage; or `weights` is "ask", which a config says where
        its paper starts from ImageNet weights.
    """
    weights, backbone = model["weights"], model["backbone"]
    if file := exported_file(start):
        return functools.partial(continue_from_file, file, network, tuple(aus))
    if start:
        kept = KeptEpoch.parse(start)
        folder = kept.folder(of_stage)
        return functools.partial(continue_from, folder, kept.epoch, mesh, network, tuple(aus))
    if weights == ASK:
        raise UserError(
            f"the paper's {backbone} starts from ImageNet weights; give "
            "--config.model.weights=FILE, a PyTorch file ({backbone} in its name stands for the "
            "backbone's), or --config.model.weights=none for random ones"
        )
    if weights and weights != NONE:
        file = Path(weights.replace("{backbone}", backbone))
        return functools.partial(import_weights, file, backbone)
    return None


def continue_from(
    folder: StageFolder,
    epoch: int,
    mesh: Mesh,
    network: NetworkSpec,
    aus: Sequence[str],
    params: Any,
    batch_stats: Any,
) -> tuple[Any, Any]:
    """The trained network of another stage in the place of the one given, see `_taken_over`.

    Args:
      epoch: that is kept; 0 for the last one.
      network: of the network given.
      aus: of its outputs.

    Raises:
      UserError: the epoch is not kept, or not even the backbones agree.
    """
    card = ModelCard.read(folder)
    variables = jax.device_get(restore(folder, card.create(), epoch or last_epoch(folder), mesh))
    source = f"stage {folder.name}"
    _refuse_other_conventions(source, card.context.network, network)
    return _taken_over(source, card, variables, aus, params, batch_stats)


def continue_from_file(
    file: Path, network: NetworkSpec, aus: Sequence[str], params: Any, batch_stats: Any
) -> tuple[Any, Any]:
    """An exported network in the place of the one given.

    A network that is finetuned should begin as good as it was, whatever AUs the labels are of. So
    beside what `_taken_over` takes, the outputs for AUs that both know begin as they were.

    Args:
      file: NAME.safetensors, with its model card NAME.json beside it.
      network: of the network given.
      aus: of its outputs.

    Raises:
      UserError: one of the two is missing or damaged, or not even the backbones agree.
    """
    card = ModelCard.from_file(file.with_suffix(".json"), weights_file.AGAIN)
    variables = weights_file.read(file, kept_shapes(card.create()))
    _refuse_other_conventions(str(file), card.context.network, network)
    taken, batch_stats = _taken_over(str(file), card, variables, aus, params, batch_stats)
    head = _head_that_predicts(card, variables["params"])
    known = au_names.positions(card.context.aus, aus)
    if head is None or not (known >= 0).any():
        return taken, batch_stats
    of_file, fitting = variables["params"], []

    def with_outputs(net: Mapping, given: Mapping) -> dict[str, Any]:
        """An `AUNet`'s parameters, its heads from `given` with the columns that are known."""
        heads = {name: layer for name, layer in given.items() if name.startswith(HEAD_PREFIX)}
        for name, layer in heads.items():
            if layer["kernel"].shape == (len(of_file[head]["kernel"]), len(aus)):
                fitting.append(name)
                heads[name] = {
                    part: np.where(known >= 0, of_file[head][part][..., known], layer[part])
                    for part in layer
                }
        angles = {"pose": of_file["pose"]} if "pose" in of_file and "pose" in net else {}
        return {**net, **heads, **angles}

    started = _of_each_net(with_outputs, taken, params)
    if fitting:
        said = ", ".join(au for au, column in zip(aus, known, strict=True) if column >= 0)
        log.say(f"  from {file.name}: the backbone, and the outputs for {said}")
    return started, batch_stats


def _refuse_other_conventions(source: str, theirs: NetworkSpec, ours: NetworkSpec) -> None:
    """Raises UserError where the weights of a network mean something else in ours."""

    def shown(value: Any) -> str:
        return str(value) if isinstance(value, str | float) else ",".join(map(str, value))

    layers = [(f, theirs.fields.get(f), ours.fields.get(f)) for f in ("padding", "bn_epsilon")]
    images = [(f, tuple(getattr(theirs, f)), tuple(getattr(ours, f))) for f in IMAGE_CONVENTIONS]
    for field, needed, chosen in (*layers, *images):
        if None not in (needed, chosen) and needed != chosen:
            raise UserError(
                f"{source} cannot be started from: it was trained with {field} {shown(needed)}, "
                f"and here that is {shown(chosen)}; give --config.model.{field}={shown(needed)}"
            )


def _head_that_predicts(card: ModelCard, params: Mapping) -> str | None:
    """The head of an `AUNet` whose logits are its predictions; None if `params` are not of one."""
    heads = [name for name in params if name.startswith(HEAD_PREFIX)]
    if len(heads) == 1:
        return heads[0]
    options = methods.options_of(card.method) | card.options
    return name if (name := f"{HEAD_PREFIX}{options.get('predict_head')}") in heads else None


def _of_each_net(change: Callable, params: Mapping, given: Mapping) -> dict[str, Any]:
    """`params` with what `change` makes of each network in them, and of the same in `given`."""
    if "backbone" in params:
        return change(params, given)
    return {
        name: _of_each_net(change, tree, given[name]) if isinstance(tree, Mapping) else tree
        for name, tree in params.items()
    }


def _taken_over(
    source: str, card: ModelCard, variables: Any, aus: Sequence[str], params: Any, batch_stats: Any
) -> tuple[Any, Any]:
    """The variables of a trained network in the place of those given, whose outputs are for `aus`.

    Where the two differ, its backbone alone is taken over (into every backbone of the network
    given): a pretraining has other outputs than what starts from it. Parts of ours that a plain
    IResNet lacks (`pretrained.initialised_parts`) stay as they are, which is said.

    Args:
      source: what the network is called in a sentence.

    Raises:
      UserError: not even the backbones agree.
    """
    given = {"params": params, "batch_stats": batch_stats}
    if card.context.aus == tuple(aus) and first_difference(variables, given) is None:
        return variables["params"], variables["batch_stats"]
    theirs = backbones(variables["params"], variables["batch_stats"])
    ours = backbones(params, batch_stats)
    if len(theirs) not in (1, len(ours)):
        raise UserError(
            f"{source} cannot be started from: it has {len(theirs)} backbones, and here "
            f"there are {len(ours)}; start from a stage with one"
        )
    for number, path in enumerate(ours):
        taken = list(theirs.values())[number % len(theirs)]
        lacked = _lacked_parts(card.context.network.backbone, taken["params"], ours[path]["params"])
        if lacked:
            log.say(f"  not in {source}, so initialised anew: {', '.join(lacked)}")
            taken = _with_parts(taken, ours[path], lacked)
        differing = first_difference(taken, ours[path])
        if differing is not None:
            leaf, is_there, is_here = differing
            raise UserError(
                f"{source} cannot be started from: its '{leaf}' is {is_there}, and here it is "
                f"{is_here}; give both one backbone"
            )
        params, batch_stats = with_backbone(params, batch_stats, path, taken)
    return params, batch_stats


def _lacked_parts(backbone: str, theirs: Mapping, ours: Mapping) -> list[str]:
    """Our parts that `backbone`, theirs, may lack; one outside this package may lack none."""
    parts = pretrained.initialised_parts(backbone, ours) if backbone in BACKBONES else []
    return [part for part in parts if part not in theirs]


def _with_parts(
    taken: Mapping[str, Mapping], ours: Mapping[str, Mapping], parts: list[str]
) -> dict[str, dict]:
    """A plain network's backbone with further parts of ours, without its tail if ours has none."""
    trees = {}
    for collection, tree in taken.items():
        shared = {
            module: tree[module]
            for module in tree
            if module != _PLAIN_TAIL or _PLAIN_TAIL in ours["params"]
        }
        added = {part: ours[collection][part] for part in parts if part in ours[collection]}
        trees[collection] = shared | added
    return trees


def backbones(params: Mapping, batch_stats: Mapping) -> dict[tuple[str, ...], dict[str, Any]]:
    """Every backbone in a method's trees: {path: {"params", "batch_stats"}}, in order of paths.

    A backbone without BatchNorm has empty statistics.
    """
    if "backbone" in params:
        stats = batch_stats.get("backbone", {})
        return {("backbone",): {"params": params["backbone"], "batch_stats": stats}}
    return {
        (name, *path): backbone
        for name in sorted(params)
        if isinstance(params[name], Mapping)
        for path, backbone in backbones(params[name], batch_stats.get(name, {})).items()
    }


def with_backbone(
    params: Mapping, batch_stats: Mapping, path: tuple[str, ...], backbone: Mapping[str, Any]
) -> tuple[dict, dict]:
    """The trees with another backbone at `path`."""
    name, *rest = path
    if rest:
        of_name = with_backbone(params[name], batch_stats.get(name, {}), tuple(rest), backbone)
    else:
        of_name = backbone["params"], backbone["batch_stats"]
    stats = {name: of_name[1]} if of_name[1] else {}
    return {**params, name: of_name[0]}, {**batch_stats, **stats}


def import_weights(
    weights: Path, backbone: str, params: Mapping, batch_stats: Mapping
) -> tuple[Any, Any]:
    """Puts the weights of a PyTorch file into every backbone of a method's network.

    Says which parts of the backbone the file has no weights for, and which parts of the file, as
    the heads of a whole network, are left out.
    """
    state, others = pretrained.backbone_of(pretrained.read(weights))
    if others:
        log.say(f"  of {weights} the backbone is taken; left out: {', '.join(others)}")
    for path, ours in backbones(params, batch_stats).items():
        trees = ours["params"], ours["batch_stats"]
        loaded, stats = pretrained.convert(state, backbone, *trees, str(weights))
        taken = {"params": loaded, "batch_stats": stats}
        params, batch_stats = with_backbone(params, batch_stats, path, taken)
        initialised = pretrained.initialised_parts(backbone, ours["params"], state)
        if initialised:
            log.say(f"  not in {weights}, so initialised anew: {', '.join(initialised)}")
    return params, batch_stats
