"""Imported weights reach every backbone of a method's network, with batch statistics or without."""

from pathlib import Path

import jax
import numpy as np
import pytest
from tiny import make_context

from au_jax import methods
from au_jax.training import start

AUS = ("AU01", "AU12")
MULTI_VIEW = {"multi_view_weight": 1.0, "co_regularization_weight": 1.0}
METHODS = {
    "multi_task": {},
    "multi_view": {},
    "mlcr": {"selective_ratios": (0.3, 0.3), **MULTI_VIEW},
}


def backbones(tree):
    """Every subtree called "backbone", from the outermost names down."""
    for name, part in tree.items():
        if name == "backbone":
            yield part
        elif isinstance(part, dict):
            yield from backbones(part)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("backbone", "pixels"), [("tiny", 32), ("alexnet", 64)])
def test_weights_reach_every_backbone(method, backbone, pixels, monkeypatch):
    context = make_context(
        AUS,
        network={"backbone": backbone},
        augmentation={"image_size": pixels},
        streams=("opt",) if method == "multi_task" else ("clean", "noisy"),
    )
    init = methods.create(method, context, METHODS[method]).init
    shapes = jax.eval_shape(init, jax.random.PRNGKey(0))[:2]
    params, batch_stats = jax.tree.map(lambda s: np.broadcast_to(np.float32(0), s.shape), shapes)

    def load(path, name, *trees):
        assert (path, name) == (Path("net.pth"), backbone)
        return jax.tree.map(lambda a: a + 1, trees)

    monkeypatch.setattr(start.pretrained, "load", load)
    imported = start.import_weights(Path("net.pth"), backbone, params, batch_stats)
    assert jax.tree.structure(imported) == jax.tree.structure((params, batch_stats))
    changed = [leaf for tree in imported for leaf in jax.tree.leaves(tree) if leaf.all()]
    inside = [
        leaf for tree in imported for part in backbones(tree) for leaf in jax.tree.leaves(part)
    ]
    assert len(list(backbones(imported[0]))) == (1 if method == "multi_task" else 2)
    assert bool(jax.tree.leaves(imported[1])) == (backbone == "tiny")
    assert {id(leaf) for leaf in changed} == {id(leaf) for leaf in inside}
