"""Multi-task supervised training: one output per AU and data set.

Werner, Saxen and Al-Hamadi, "Facial Action Unit Recognition in the Wild with Multi-Task CNN
Self-Training for the EmotioNet Challenge" (CVPR Workshops 2020), section 2. With one stream and
one head it is plain supervised training; with pseudo-labels in the second stream it is the student.
"""

from collections.abc import Sequence

import jax.numpy as jnp

from au_jax import losses
from au_jax.allowed import Name, Share, Weight
from au_jax.errors import UserError, unknown
from au_jax.methods.base import Context, Method, PyTree
from au_jax.methods.one_network import OneNetwork


def create(
    context: Context,
    *,
    predict_head: Name = "opt",
    damping: Share = 0.5,
    label_smoothing: Share = 0.2,
    lambda_m: Sequence[Weight] = (),
) -> Method:
    """The method in a training's context.

    Streams that name one head share it (the paper's ablation "no multi-task"). A stream with the
    field `soft`, float32 [b, A], learns those probabilities, not its labels.

    Args:
      predict_head: the head that predicts; the paper's is that of the manually labelled set.
      damping: alpha of each stream's class weights, see `losses.damped_class_weights`; the paper
        has 0.5 for expression AUs and 0.7 for pose AUs.
      label_smoothing: see `losses.smooth_labels`; the paper's.
      lambda_m: the weight of each stream's losses, in the streams' order; () for 1 each. The paper
        names the weights and gives no values: 1 is ours.

    Raises:
      UserError: no stream has the head that predicts, or there are not as many weights as streams.
    """
    aus = context.aus
    heads = {name: facts.head for name, facts in context.streams.items()}
    if predict_head not in heads.values():
        raise unknown("predict_head", predict_head, dict.fromkeys(heads.values()))
    if lambda_m and len(lambda_m) != len(heads):
        raise UserError(
            f"lambda_m has {len(lambda_m)} weights for {', '.join(heads)}; give one for each "
            "stream, or () for 1 each"
        )
    network = OneNetwork.of(context, heads.values(), predict_head)
    lambdas = lambda_m or (1.0,) * len(heads)
    weights = {
        name: weight
        * jnp.asarray(losses.damped_class_weights(facts.positives, facts.negatives, damping))
        for weight, (name, facts) in zip(lambdas, context.streams.items(), strict=True)
    }

    def loss(params: PyTree, batch_stats: PyTree, method_state: PyTree, batch: PyTree, step, key):
        labels = jnp.concatenate(
            [batch[stream].get("soft", batch[stream]["labels"]) for stream in heads]
        )
        by_head, labels, stats = network.forward(key, params, batch_stats, batch, labels)
        logits, entry_weights, start = [], [], 0
        for stream, head in heads.items():
            share = batch[stream]["labels"].shape[0]
            logits.append(by_head[head][start : start + share])
            entry_weights.append(jnp.broadcast_to(weights[stream], (share, len(aus), 2)))
            start += share
        value = losses.weighted_bce(
            jnp.concatenate(logits), labels, jnp.concatenate(entry_weights), label_smoothing
        )
        return value, (stats, method_state, {})

    return Method(aus=aus, init=network.init, loss=loss, predict=network.predict)
