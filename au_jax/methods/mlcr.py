"""Multi-label co-regularisation: two networks that agree on unlabelled images, by other weights.

Niu et al., "Multi-Label Co-Regularization for Semi-Supervised Facial Action Unit Recognition"
(NeurIPS 2019, https://arxiv.org/abs/1910.11012), with its graph of AU relations. Noisy images are
used without their labels. MLCR in ReCoT's tables.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32

from au_jax import losses
from au_jax.allowed import Share, Weight
from au_jax.methods.base import Context, Method, PyTree, Variables
from au_jax.methods.co_training import CLEAN, NOISY, STREAMS, Networks
from au_jax.models.au_graph import AUGraph, adjacency

# The part of params that is the graph's, beside the networks.
GRAPH = "graph"
CLASSIFIERS = f"output_{CLEAN}"


def create(
    context: Context,
    *,
    selective_ratios: Sequence[Share],
    lambda_mv: Weight = 400.0,
    lambda_cr: Weight = 100.0,
    graph: bool = True,
) -> Method:
    """The method in a training's context.

    L = mean of both views' L_clean + weights times L_mv, of the output layers, and L_cr, on clean
    and noisy images.

    The classifiers [w_ij, b_ij] of each view are the nodes of one graph convolution, which both
    views share, and the classifiers that come out tell the AUs; L_mv is of those that go in, as
    released. The nodes are the classifiers as trained (ours: the released code keeps those of its
    first pass, which goes without the graph). What is kept for prediction has the classifiers that
    come out, so that it is two plain networks.

    Args:
      selective_ratios: see `Networks.of`.
      lambda_mv, lambda_cr: as released, for a recognition loss summed over the AUs. Ours is a
        mean, so that both are divided by the number of AUs.
      graph: whether there is the graph; its edges follow from the labels of the clean stream.
    """
    networks = Networks.of(context, selective_ratios, views=2)
    count = len(context.aus)
    relation, edges = AUGraph(), adjacency(context.streams[CLEAN].dependencies, count)

    def init(key: jax.Array) -> tuple[PyTree, PyTree, PyTree]:
        params, batch_stats, method_state = networks.init(key)
        if graph:
            nodes = _nodes(params[networks.views[0]])
            # The keys before this one are the views'.
            graph_key = jax.random.fold_in(key, len(networks.views))
            params |= {GRAPH: relation.init(graph_key, nodes, edges)["params"]}
        return params, batch_stats, method_state

    @jax.jit
    def related(params: PyTree) -> PyTree:
        """The views, each with the classifiers that come out of the graph."""
        if not graph:
            return params
        changed = {}
        for view in networks.views:
            nodes: Any = relation.apply({"params": params[GRAPH]}, _nodes(params[view]), edges)
            layer = {"kernel": nodes[:, :-1].T, "bias": nodes[:, -1]}
            changed[view] = params[view] | {CLASSIFIERS: layer}
        return changed

    def loss(params: PyTree, batch_stats: PyTree, method_state: PyTree, batch: PyTree, step, key):
        forward_key, select_key = jax.random.split(key)
        by_head, batch_stats = networks.forward(
            forward_key, related(params), batch_stats, batch, STREAMS
        )
        logits, labels = by_head[CLEAN], batch[CLEAN]["labels"]
        layers = [params[view][CLASSIFIERS] for view in networks.views]
        logs = {
            "loss_clean": networks.clean_loss(select_key, logits[:, : len(labels)], labels),
            "loss_multi_view": losses.multi_view_loss(
                *(layer[part] for layer in layers for part in ("kernel", "bias"))
            ),
            "loss_co_regularization": losses.co_regularization_loss(*logits),
        }
        value = (
            logs["loss_clean"]
            + lambda_mv / count * logs["loss_multi_view"]
            + lambda_cr / count * logs["loss_co_regularization"]
        )
        return value, (batch_stats, method_state, logs)

    def kept(params: PyTree, batch_stats: PyTree, method_state: PyTree) -> Variables:
        return networks.kept(related(params), batch_stats, method_state)

    return Method(networks.aus, init, loss, networks.predict, kept, unlabelled=(NOISY,))


def _nodes(view: PyTree) -> Float32[Array, "aus features"]:
    """The classifiers of a view: the weights of each AU, and then its bias."""
    layer = view[CLASSIFIERS]
    return jnp.concatenate([layer["kernel"], layer["bias"][None]]).T
