"""Trained networks as PyTorch state dicts in a folder, with a loader that PyTorch's users can read.

The folder holds for each network NAME.safetensors, by timm's or torchvision's names, and NAME.json,
what a loader needs beside them; selection.json, how they predict together; load.py; and the
definitions that no library has. PyTorch is not needed to write it.
"""

import dataclasses
import functools
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors.numpy import save

from au_jax import log
from au_jax.ensemble import selection
from au_jax.ensemble.model_folder import checkpoint
from au_jax.ensemble.predictor import without_unused
from au_jax.ensemble.selection import Selection
from au_jax.errors import UserError
from au_jax.export.chosen import Chosen, Network, NoForm
from au_jax.export.pytorch import weights
from au_jax.export.pytorch.backbone_source import backbone_source
from au_jax.export.pytorch.views import View, views
from au_jax.files import atomic_files
from au_jax.models import weight_schemes
from au_jax.models.network_spec import NetworkSpec
from au_jax.models.weight_schemes import Scheme
from au_jax.training.model_card import ModelCard

_LOADER = Path(__file__).with_name("load.py")
_DEFINITIONS = Path(__file__).parent / "networks"
# The arguments of the PyTorch network that are fields of its specification.
_SPECIFIED = ("dropout", "pose_branch", "pose_mean", "pose_std", "image_mean", "image_std")


def check(chosen: Chosen) -> None:
    """Raises NoForm where a network is one that PyTorch does not have."""
    for network in chosen.networks:
        views(network)
        try:
            backbone_source(network.card.context.network, network.card.image_size)
        except UserError as error:
            raise NoForm(str(error)) from error


def write(folder: Path, chosen: Chosen) -> None:
    """Writes the networks, which `check` has passed, to a new folder.

    Raises:
      UserError: the folder cannot be written.
    """
    folder.mkdir()
    centred = _through_centre_crops(chosen.selection)
    written = {
        checkpoint(network.members[0]): _write_network(folder, network, centred)
        for network in chosen.networks
    }
    if chosen.selection.aus:
        names = [written[checkpoint(member)] for member in centred.members]
        together = {**selection.to_json(centred), "networks": names}
        atomic_files.write_json(folder / "selection.json", together)
    shutil.copyfile(_LOADER, folder / "load.py")
    shutil.copyfile(_DEFINITIONS / "au_net.py", folder / "au_net.py")


def _through_centre_crops(chosen: Selection) -> Selection:
    """The selection without test crops and smoothing, which the loader does not have."""
    crops = sorted({member.crops for member in chosen.members} - {"center"})
    if crops:
        log.say(f"  members read test crops ({', '.join(crops)}); load.py takes the centre alone")
    members = tuple(dataclasses.replace(member, crops="center") for member in chosen.members)
    centred = dataclasses.replace(chosen, members=members)
    return without_unused(selection.unsmoothed(centred))


def _write_network(folder: Path, network: Network, chosen: Selection) -> list[str]:
    """Writes the networks of a checkpoint, one for each view; returns their names."""
    card = network.card
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
        "checkpoint": {"member": network.name, "method": card.method, "data": card.data},
    }
    names = []
    for view in views(network):
        name = f"{network.name}-{view.name}" if view.name else network.name
        _write_arrays(folder / f"{name}.safetensors", spec, view)
        layers = _layers(card, view)
        atomic_files.write_json(
            folder / f"{name}.json", {**described, "predicts": view.head, "network": layers}
        )
        names.append(name)
    return names


def _conventions(spec: NetworkSpec) -> Scheme:
    net = spec.build({})
    backbone: Any = net.backbone
    return Scheme(backbone.padding, backbone.bn_epsilon, net.image_mean, net.image_std)


def _write_arrays(path: Path, spec: NetworkSpec, view: View) -> None:
    whole = weights.whole_state_dict(spec, view.params, view.batch_stats)
    path.write_bytes(save(whole, weight_schemes.metadata(_conventions(spec))))


def _layers(card: ModelCard, view: View) -> dict[str, Any]:
    """The arguments, but for the backbone, of the PyTorch `AUNet` that has these parameters."""
    spec = card.context.network
    return {
        "features": _features(spec, card.image_size),
        "heads": view.heads,
        "outputs": view.outputs,
        **{field: getattr(spec, field) for field in _SPECIFIED},
    }


def _features(spec: NetworkSpec, image_size: int) -> int:
    """The number of a backbone's pooled features."""
    init = functools.partial(spec.build({}).init_with_output, train=False, method="pooled")
    images = jax.ShapeDtypeStruct((1, image_size, image_size, 3), np.float32)
    return jax.eval_shape(init, jax.random.key(0), images)[0].shape[1]
