"""Trained networks as PyTorch state dicts in a folder, with a loader that PyTorch's users can read.

The folder holds for each network NAME.safetensors, by timm's or torchvision's names, and NAME.json,
what a loader needs beside them; selection.json, how they predict together; load.py; and the
definitions that no library has. PyTorch is not needed to write it.
"""

import dataclasses
import functools
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors.numpy import save

from au_jax import log, methods, run_dir, sharding
from au_jax.compare import weights
from au_jax.compare.backbone_source import backbone_source
from au_jax.ensemble import selection
from au_jax.ensemble.member_scores import read_selection
from au_jax.ensemble.predictor import predicting_stage, without_unused
from au_jax.ensemble.selection import Member, Selection
from au_jax.errors import UserError
from au_jax.models import weight_schemes
from au_jax.models.network_spec import NetworkSpec
from au_jax.models.weight_schemes import Scheme
from au_jax.run_dir import RunFolder
from au_jax.training.model_card import ModelCard, restore
from au_jax.training.start import backbones

Tree = Mapping[str, Any]
_LOADER = Path(__file__).with_name("load_exported.py")
_DEFINITIONS = Path(__file__).parent / "networks"
# The arguments of the PyTorch network that are fields of its specification.
_SPECIFIED = ("dropout", "pose_branch", "pose_mean", "pose_std", "image_mean", "image_std")


def export(run: Path, output: Path, stage: str | None = None) -> None:
    """Writes the networks of a trained run to a folder for PyTorch, whole or not at all.

    Args:
      run: the run's folder.
      output: the folder to write, which must not hold anything yet.
      stage: whose networks: all members of a selection, or the last epoch of a training, of a
        pretraining the backbone alone. By default those that `au_jax.load` takes.

    Raises:
      UserError: `output` holds files; the run has no such stage; a network is one that PyTorch does
        not have, or its checkpoint cannot be read.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"--output={output} is there and not empty; name a new folder")
    folder = RunFolder(run)
    chosen = _chosen(folder, stage)
    place = output.absolute()
    temporary = place.with_name(f".{os.getpid()}.{place.name}")
    try:
        temporary.mkdir(parents=True)
        names = [_write_member(temporary, run, member, chosen) for member in chosen.members]
        if chosen.aus:
            together = {**selection.to_json(chosen), "networks": names}
            run_dir.write_json(temporary / "selection.json", together)
        shutil.copyfile(_LOADER, temporary / "load.py")
        shutil.copyfile(_DEFINITIONS / "au_net.py", temporary / "au_net.py")
        os.replace(temporary, output)
    except OSError as error:
        raise UserError(f"cannot write {output}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    written = [name for of_member in names for name in of_member]
    log.say(f"{output} has {', '.join(written)}; its load.py loads them in PyTorch")


def _chosen(folder: RunFolder, stage: str | None) -> Selection:
    """What is exported; the last epoch of a pretraining is a selection on no AU."""
    if stage is not None:
        named = folder.stage(stage)
        if named.done and named.epochs() and not ModelCard.read(named).aus:
            return selection.of_one(Member(".", stage, named.epochs()[-1]), ())
    return _through_centre_crops(read_selection(predicting_stage(folder, stage)))


def _through_centre_crops(chosen: Selection) -> Selection:
    """The selection without test crops and smoothing, which the loader does not have."""
    crops = sorted({member.crops for member in chosen.members} - {"center"})
    if crops:
        log.say(f"  members read test crops ({', '.join(crops)}); load.py takes the centre alone")
    members = tuple(dataclasses.replace(member, crops="center") for member in chosen.members)
    centred = dataclasses.replace(chosen, members=members)
    return without_unused(selection.unsmoothed(centred))


def _write_member(folder: Path, run: Path, member: Member, chosen: Selection) -> list[str]:
    """Writes the networks of a checkpoint, one for each view; returns their names."""
    stage = RunFolder(run / member.run).stage(member.stage)
    card = ModelCard.read(stage)
    if card.method not in methods.METHODS:
        raise UserError(
            f"method {card.method} of {stage.path} is outside this package, which does not know "
            "how it predicts; name a stage of another method"
        )
    spec = card.context.network
    source = backbone_source(spec, card.image_size)
    if source.library == "au_jax":
        module = source.module.rpartition(".")[2]
        shutil.copyfile(_DEFINITIONS / f"{module}.py", folder / f"{module}.py")
        source = dataclasses.replace(source, module=module)
    thresholds = dict(zip(chosen.aus, chosen.thresholds.tolist(), strict=True))
    described = {
        "aus": list(card.aus),
        "thresholds": {au: thresholds[au] for au in card.aus if au in thresholds},
        "crop": card.crop,
        "crop_size": card.crop_size,
        "image_size": card.image_size,
        "padding": _conventions(spec).padding,
        "backbone": dataclasses.asdict(source),
        "checkpoint": {"member": str(member), "method": card.method, "data": card.data},
    }
    variables = jax.device_get(restore(stage, card.create(), member.epoch, sharding.make_mesh(1)))
    networks = _networks if card.aus else _encoders
    names = []
    for view, params, batch_stats in networks(variables["params"], variables["batch_stats"]):
        name = _file_name(member, view)
        _write_arrays(folder / f"{name}.safetensors", spec, params, batch_stats)
        layers = _layers(card, params)
        predicts = _predicting_head(card, layers["heads"])
        run_dir.write_json(
            folder / f"{name}.json", {**described, "predicts": predicts, "network": layers}
        )
        names.append(name)
    return names


def _networks(params: Tree, batch_stats: Tree) -> Iterator[tuple[str, Tree, Tree]]:
    """Yields (view, params, batch_stats) of every network in a method's variables."""
    if "backbone" in params or "net" in params:
        yield "", params, batch_stats
        return
    for view in sorted(params):
        yield view, params[view], batch_stats.get(view, {})


def _encoders(params: Tree, batch_stats: Tree) -> Iterator[tuple[str, Tree, Tree]]:
    """Yields the same of the one backbone of a pretraining, as of a network without heads."""
    for of_backbone in backbones(params, batch_stats).values():
        yield "", {"backbone": of_backbone["params"]}, {"backbone": of_backbone["batch_stats"]}


def _file_name(member: Member, view: str) -> str:
    """RUN-STAGE@EPOCH-VIEW without what is not needed, in one word."""
    run = [part for part in Path(member.run).parts if part not in ("..", ".", "/")]
    return "-".join([*run, f"{member.stage}@{member.epoch}", *([view] if view else [])])


def _conventions(spec: NetworkSpec) -> Scheme:
    net = spec.build({})
    backbone: Any = net.backbone
    return Scheme(backbone.padding, backbone.bn_epsilon, net.image_mean, net.image_std)


def _write_arrays(path: Path, spec: NetworkSpec, params: Tree, batch_stats: Tree) -> None:
    arrays = weights.state_dict(spec, params, batch_stats)
    counters = {
        name.replace("running_mean", "num_batches_tracked"): np.zeros((), np.int64)
        for name in arrays
        if name.endswith("running_mean")
    }
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()} | counters
    path.write_bytes(save(whole, weight_schemes.metadata(_conventions(spec))))


def _layers(card: ModelCard, params: Tree) -> dict[str, Any]:
    """The arguments, but for the backbone, of the PyTorch `AUNet` that has these parameters."""
    spec = card.context.network
    return {
        "features": _features(spec, card.image_size),
        "heads": _biases(params.get("net", params), "head_"),
        "outputs": _biases(params, "output_"),
        **{field: getattr(spec, field) for field in _SPECIFIED},
    }


def _features(spec: NetworkSpec, image_size: int) -> int:
    """The number of a backbone's pooled features."""
    init = functools.partial(spec.build({}).init_with_output, train=False, method="pooled")
    images = jax.ShapeDtypeStruct((1, image_size, image_size, 3), np.float32)
    return jax.eval_shape(init, jax.random.key(0), images)[0].shape[1]


def _biases(params: Tree, kind: str) -> dict[str, int]:
    """{name: outputs} of the layers whose names begin with `kind`."""
    return {
        part.removeprefix(kind): len(layer["bias"])
        for part, layer in params.items()
        if part.startswith(kind)
    }


def _predicting_head(card: ModelCard, heads: Mapping[str, int]) -> str | None:
    """The head that the method predicts with: its only one, or the one that an option names."""
    if len(heads) > 1:
        return (methods.options_of(card.method) | card.options)["predict_head"]
    return next(iter(heads), None)
