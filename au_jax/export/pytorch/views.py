"""The networks in the variables of a method: one, or several views that predict together."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from au_jax import methods
from au_jax.export.chosen import Network, NoForm
from au_jax.models.au_net import HEAD_PREFIX
from au_jax.training.model_card import ModelCard
from au_jax.training.start import backbones

Tree = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class View:
    """One network.

    Attributes:
      name: "" of the only one.
      params, batch_stats: its variables, see `weights.state_dict`.
      head: the one that the method predicts with; None of a pretraining.
    """

    name: str
    params: Tree
    batch_stats: Tree
    head: str | None

    @property
    def heads(self) -> dict[str, int]:
        """{name: outputs} of its layers on the features."""
        return _biases(self.params.get("net", self.params), HEAD_PREFIX)

    @property
    def outputs(self) -> dict[str, int]:
        """{name: outputs} of the layers behind those."""
        return _biases(self.params, "output_")


def views(network: Network) -> list[View]:
    """The networks of a checkpoint; of a pretraining its backbone, as of a network without heads.

    Raises:
      NoForm: the method is outside this package, which does not know how it predicts.
    """
    card, variables = network.card, network.variables
    if card.method not in methods.METHODS:
        raise NoForm(
            f"method {card.method} of {network.name} is outside this package, which does not know "
            "how it predicts in PyTorch"
        )
    parts = _networks if card.aus else _encoders
    return [
        View(name, params, batch_stats, _predicting_head(card, params))
        for name, params, batch_stats in parts(variables["params"], variables["batch_stats"])
    ]


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


def _biases(params: Tree, kind: str) -> dict[str, int]:
    """{name: outputs} of the layers whose names begin with `kind`."""
    return {
        part.removeprefix(kind): len(layer["bias"])
        for part, layer in params.items()
        if part.startswith(kind)
    }


def _predicting_head(card: ModelCard, params: Tree) -> str | None:
    """The head that the method predicts with: its only one, or the one that an option names."""
    heads = _biases(params.get("net", params), HEAD_PREFIX)
    if len(heads) > 1:
        return (methods.options_of(card.method) | card.options)["predict_head"]
    return next(iter(heads), None)
