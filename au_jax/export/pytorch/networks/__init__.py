"""The networks of this package in PyTorch, from timm, torchvision or written out here."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from au_jax.errors import UserError
from au_jax.export.pytorch import INSTALL
from au_jax.export.pytorch.backbone_source import BackboneSource, backbone_source
from au_jax.export.pytorch.networks.au_net import AUNet
from au_jax.export.pytorch.networks.batch_norm import biased_batch_norm, set_conventions
from au_jax.models.network_spec import NetworkSpec


def build(
    spec: NetworkSpec,
    heads: Mapping[str, int],
    image_size: int = 112,
    outputs: Mapping[str, int] | None = None,
) -> AUNet:
    """The PyTorch network of a specification, float32, in training mode, randomly initialised.

    Its state dict has the names that `au_jax.export.pytorch.weights.state_dict` gives.

    Args:
      heads: {name: number of outputs}.
      image_size: pixels of the input's side; the last layer of an IResNet has weights for each
        pixel of its maps, and no other network depends on it.
      outputs: {name: number}, of a second layer behind a head and ReLU; none by default.

    Raises:
      UserError: see `backbone`.
    """
    network, features = backbone(backbone_source(spec, image_size))
    return AUNet(
        network,
        features,
        heads,
        outputs or {},
        dropout=spec.dropout,
        pose_branch=spec.pose_branch,
        pose_mean=spec.pose_mean,
        pose_std=spec.pose_std,
        image_mean=spec.image_mean,
        image_std=spec.image_std,
    )


def backbone(source: BackboneSource) -> tuple[nn.Module, int]:
    """A network from normalised images to pooled features, and the number of these.

    Raises:
      UserError: the library that has the network is not installed.
    """
    network = imported(source)(**source.arguments)
    set_conventions(network, source.bn_epsilon, source.bn_momentum)
    if not source.last_layer:
        return network, network.features_out
    features = network.get_submodule(source.last_layer).in_features
    network.set_submodule(source.last_layer, nn.Identity())
    return network, features


def imported(source: BackboneSource) -> Callable[..., Any]:
    """The function of a library, or of this package, that makes the network.

    Raises:
      UserError: the library is not installed, or not for this version of PyTorch.
    """
    try:
        module = importlib.import_module(source.module)
    except Exception as error:  # A library for another PyTorch raises errors of any kind.
        reason = (str(error) or repr(error)).splitlines()[0]
        raise UserError(
            f"the PyTorch network is {source.library}'s, which cannot be imported ({reason}); "
            f"{INSTALL}"
        ) from error
    return getattr(module, source.function)


__all__ = ["AUNet", "backbone", "biased_batch_norm", "build"]
