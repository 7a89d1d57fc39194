"""Deep co-training: two networks that agree, and do not fall for each other's adversarial examples.

Qiao et al., "Deep Co-Training for Semi-Supervised Image Recognition" (ECCV 2018,
https://arxiv.org/abs/1803.05984), section 3, with Bernoulli distributions per AU. Noisy images
are used without their labels. CoT of ReCoT's Table 1.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int8

from au_jax import losses
from au_jax.allowed import Share, Weight
from au_jax.methods.base import Context, Method, PyTree
from au_jax.methods.co_training import CLEAN, NOISY, STREAMS, Networks, Seen, rearranged


def adversarial(
    network: Callable[[jax.Array], tuple[jax.Array, Any]],
    images: Float32[Array, "examples height width channels"],
    labels: Int8[Array, "examples aus"],
    epsilon: float,
) -> Float32[Array, "examples height width channels"]:
    """The images, moved by the fast gradient sign method away from `labels`.

    Where a label is not known, it is the network's own decision. No gradient flows.

    Args:
      network: images -> (logits, ...).
      images: in [0, 1].
      epsilon: how far each pixel moves.
    """

    def loss(images: jax.Array) -> jax.Array:
        logits, _ = network(images)
        targets = jnp.where(labels >= 0, labels == 1, logits > 0)
        return losses.binary_cross_entropy(logits, targets).sum()

    moved = images + epsilon * jnp.sign(jax.grad(loss)(images))
    return jax.lax.stop_gradient(jnp.clip(moved, 0, 1))


def view_difference_loss(
    logits: Float[Array, "examples aus"], fooled: Float[Array, "examples aus"]
) -> Float32[Array, ""]:
    """L_dif of one side: H(p1(x), p2(g1(x))), mean over images and AUs.

    Args:
      logits: of the network that the examples g1 were made against, on plain images.
      fooled: of the other network, on the adversarial ones.
    """
    return losses.binary_cross_entropy(fooled, jax.nn.sigmoid(logits)).mean()


def create(
    context: Context,
    *,
    selective_ratios: Sequence[Share],
    agreement_weight: Weight = 10.0,
    difference_weight: Weight = 0.5,
    epsilon: Share = 0.02,
    ramp_up_share: Share = 0.2,
) -> Method:
    """The method in a training's context.

    L = L_clean of view 1 + of view 2 + weights times L_cot (Jensen-Shannon divergence on the noisy
    images) and L_dif (on all images).

    Args:
      selective_ratios: see `Networks.of`.
      agreement_weight, difference_weight: the paper's.
      epsilon: of the adversarial examples, of pixels in [0, 1]; the paper's.
      ramp_up_share: of the steps, over which both weights are let in (ours), see `losses.ramp_up`.
    """
    networks = Networks.of(context, selective_ratios, views=2)
    ramp_up_steps = context.steps_in(ramp_up_share)

    def loss(params: PyTree, batch_stats: PyTree, method_state: PyTree, batch: PyTree, step, key):
        forward_key, select_key = jax.random.split(key)
        labels = batch[CLEAN]["labels"]
        share = len(labels)
        not_known = jnp.full((len(batch[NOISY]["image"]), len(context.aus)), -1, labels.dtype)
        every_label = jnp.concatenate([labels, not_known])
        views, keys = networks.views, list(networks.keys(forward_key))
        seen = [networks.augmented(augment_key, batch, STREAMS) for augment_key, _ in keys]

        def run(number: int, of: Seen, images: jax.Array) -> tuple[jax.Array, PyTree]:
            """Logits, as of the stored images, of one network on `images` made from `of`."""
            view, (_, dropout_key) = views[number], keys[number]
            by_head, stats = networks.apply(
                dropout_key, params[view], batch_stats[view], images, of.pose
            )
            return rearranged(by_head[CLEAN], of.columns), stats

        logits, stats = zip(*(run(n, s, s.images) for n, s in enumerate(seen)), strict=True)
        difference = jnp.zeros(())
        for attacked, other in ((0, 1), (1, 0)):
            of = seen[attacked]
            moved = adversarial(
                functools.partial(run, attacked, of), of.images, every_label, epsilon
            )
            # The running statistics are those of plain images (ours).
            fooled, _ = run(other, of, moved)
            difference += view_difference_loss(logits[attacked], fooled)
        both = jnp.stack(logits)
        logs = {
            "loss_clean": 2 * networks.clean_loss(select_key, both[:, :share], labels),
            "loss_agreement": losses.co_regularization_loss(*both[:, share:]),
            "loss_difference": difference,
        }
        ramp = losses.ramp_up(step, ramp_up_steps)
        value = logs["loss_clean"] + ramp * (
            agreement_weight * logs["loss_agreement"] + difference_weight * logs["loss_difference"]
        )
        return value, (dict(zip(views, stats, strict=True)), method_state, logs)

    return Method(
        networks.aus, networks.init, loss, networks.predict, networks.kept, unlabelled=(NOISY,)
    )
