"""Plain supervised training with ReCoT's clean head: the baselines of its tables.

Li et al., ReCoT (BMVC 2023), Table 4(a): one network on the clean images, the noisy ones or both;
with two networks, which share nothing but their data, the ensemble of Table 4(b).
"""

from collections.abc import Sequence
from typing import Annotated

import jax

from au_jax.allowed import Range, Share
from au_jax.errors import unknown
from au_jax.methods.base import Context, Method, PyTree
from au_jax.methods.co_training import STREAMS, Networks, joined


def create(
    context: Context,
    *,
    selective_ratios: Sequence[Share],
    views: Annotated[int, Range(ge=1, le=2)] = 1,
) -> Method:
    """The method in a training's context: it learns from all streams, their labels alike.

    Args:
      selective_ratios: see `Networks.of`.
      views: networks, 1 or 2; their mean probability predicts.

    Raises:
      UserError: a stream is neither "clean" nor "noisy"; or see `Networks.of`.
    """
    streams = tuple(context.streams)
    for stream in streams:
        if stream not in STREAMS:
            raise unknown("stream of method supervised", stream, STREAMS)
    networks = Networks.of(context, selective_ratios, views=views, streams=streams)

    def loss(params: PyTree, batch_stats: PyTree, method_state: PyTree, batch: PyTree, step, key):
        forward_key, select_key = jax.random.split(key)
        by_head, batch_stats = networks.forward(forward_key, params, batch_stats, batch, streams)
        labels = joined(batch, streams, "labels")
        value = networks.clean_loss(select_key, by_head["clean"], labels)
        return value, (batch_stats, method_state, {})

    return Method(networks.aus, networks.init, loss, networks.predict, networks.kept)
