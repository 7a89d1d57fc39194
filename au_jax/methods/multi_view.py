"""Multi-view co-regularisation: two networks that agree, by weights that differ.

Shi et al. (TAL), "Facial Action Unit Recognition Using Multi-View Co-Regularization" (EmotioNet
Challenge 2020), section 2.2, after Niu et al. (MLCR, NeurIPS 2019), which adds unlabelled images.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from au_jax import augment, losses
from au_jax.errors import known
from au_jax.methods.method import Method, PyTree, Variables
from au_jax.methods.networks import NetworkSpec
from au_jax.methods.views import mean_logits

VIEWS = ("view1", "view2")
_HEAD = "aus"
_SMALLEST_SQUARE = 1e-12


def multi_view_loss(
    kernel1: jax.Array,
    bias1: jax.Array,
    kernel2: jax.Array,
    bias2: jax.Array,
    signed: bool = False,
) -> jax.Array:
    """L_mv: the mean over AUs of the cosine between the two views' classifiers W_ij = [w_ij, b_ij].

    The paper prints the signed cosine, whose minimum is at opposite weights, and says that weights
    shall become orthogonal; the absolute cosine (the default here, ours) does that, and MLCR's
    released code takes it too.

    Args:
      kernel1, kernel2: [D, C]. bias1, bias2: [C].
      signed: the cosine as printed.

    Returns:
      float32 scalar, in [0, 1] ([-1, 1] where signed).
    """
    first = jnp.concatenate([kernel1, bias1[None]]).astype(jnp.float32)
    second = jnp.concatenate([kernel2, bias2[None]]).astype(jnp.float32)
    # A floor under the squares: the norm of a zero vector has no gradient.
    norms = [jax.lax.rsqrt(jnp.maximum((w * w).sum(0), _SMALLEST_SQUARE)) for w in (first, second)]
    cosine = (first * second).sum(0) * norms[0] * norms[1]
    return (cosine if signed else jnp.abs(cosine)).mean()


def co_regularization_loss(logits1: jax.Array, logits2: jax.Array) -> jax.Array:
    """L_cr: the mean over images and AUs of H((p1 + p2) / 2) - (H(p1) + H(p2)) / 2.

    This is the Jensen-Shannon divergence of the two predicted Bernoulli distributions, in nats. It
    is written as such and from the logits: no difference of nearly equal entropies is taken, and
    probabilities of 0 and 1 are finite in value and gradient.

    Args:
      logits1, logits2: [..., C], finite.

    Returns:
      float32 scalar, in [0, log 2].
    """
    logits1, logits2 = logits1.astype(jnp.float32), logits2.astype(jnp.float32)

    def half(sign: int) -> jax.Array:
        """-(q1 log(m / q1) + q2 log(m / q2)) / 2 of one of the two outcomes, m = (q1 + q2) / 2."""
        log1, log2 = jax.nn.log_sigmoid(sign * logits1), jax.nn.log_sigmoid(sign * logits2)
        # log(m / q1) = log((1 + q2 / q1) / 2).
        ratio1 = jax.nn.softplus(log2 - log1) - np.float32(np.log(2))
        ratio2 = jax.nn.softplus(log1 - log2) - np.float32(np.log(2))
        return -(jnp.exp(log1) * ratio1 + jnp.exp(log2) * ratio2) / 2

    return (half(1) + half(-1)).mean()


def balanced_mask(
    key: jax.Array,
    labels: jax.Array,
    alpha: float | Sequence[float],
    rule: str = "printed",
) -> jax.Array:
    """Batch balancing: which entries of a batch count, a random part of the negatives left out.

    The rule as TAL prints it (section 2.3): where alpha N_neg > N_pos for an AU, alpha N_neg of its
    negatives are drawn and the others ignored (alpha 0.2, 90 negatives, 10 positives: 18 stay). The
    rule of MLCR's released code has N_known in the place of N_neg. Fractions are rounded up, as
    MLCR's are; the paper does not say.

    Args:
      key: PRNG key.
      labels: int8 [N, C].
      alpha: one number, or one per AU [C]; 0 leaves nothing out.
      rule: "printed" or "released".

    Returns:
      bool [N, C]: False for unknown labels and for the negatives left out.

    Raises:
      UserError: `rule` is neither.
    """
    if rule not in ("printed", "released"):
        raise known("rule of batch balancing", rule, ("printed", "released"))
    negative, positive = labels == 0, labels == 1
    negatives, positives = negative.sum(0), positive.sum(0)
    # Rounded up on the host in double precision: 0.2 x 90 is 18 and never a little more.
    size = len(labels)
    shares = np.arange(size + 1)[:, None] * np.asarray(alpha, np.float64).reshape(1, -1)
    whole = jnp.asarray(np.ceil(shares.round(9)).astype(np.int32))
    whole = jnp.broadcast_to(whole, (size + 1, labels.shape[1]))
    base = negatives if rule == "printed" else negatives + positives
    quota = jnp.take_along_axis(whole, base[None], 0)
    draw = jnp.where(negative, jax.random.uniform(key, labels.shape), 2)
    rank = jnp.argsort(jnp.argsort(draw, 0), 0)
    stays = (positives[None] >= quota) | (rank < quota)
    return positive | (negative & stays)


def recognition_loss(logits: jax.Array, labels: jax.Array, counted: jax.Array) -> jax.Array:
    """L_rec of a view: binary cross entropy over the entries that count, divided by N C.

    The divisor does not depend on how many entries count (ours: MLCR's released loss, which sums
    over AUs and divides by N, over the number of AUs C).

    Args:
      logits: [N, C].
      labels: int8 [N, C].
      counted: bool [N, C], such as `balanced_mask`.
    """
    # The logit itself is replaced, as an infinite one would still give a NaN gradient.
    entries = losses.binary_cross_entropy(jnp.where(counted, logits, 0), labels == 1)
    return jnp.where(counted, entries, 0).mean()


def create(
    *,
    aus: Sequence[str],
    network: Mapping[str, Any],
    image_size: int,
    augmentation: Mapping[str, Any],
    streams: Sequence[str],
    balance_alpha: float | Sequence[float],
    balance_rule: str,
    multi_view_weight: float,
    co_regularization_weight: float,
    signed: bool,
) -> Method:
    """The method, from JSON-able values.

    Both views see the same augmented batch (ours: the paper's views are two networks over one
    image), and each begins from its own random weights.

    Args:
      aus: the AUs, in order.
      network: the fields of `NetworkSpec`, of either view.
      image_size: pixels of the square input.
      augmentation: the fields of `augment.Augment`, less the image size.
      streams: names of the streams, all of them labelled: A alone, or A and the filtered set C.
      balance_alpha, balance_rule: see `balanced_mask`; 0.2 and "printed" in the paper.
      multi_view_weight, co_regularization_weight: not given in the paper. MLCR's released 400 and
        100 belong to a recognition loss summed over AUs: divided by C here.
      signed: see `multi_view_loss`.
    """
    net = NetworkSpec(**network).build({_HEAD: len(aus)})
    noise = augment.Augment(image_size=image_size, **augmentation)

    def init(key: jax.Array) -> tuple[PyTree, PyTree, PyTree]:
        images = jnp.zeros((2, image_size, image_size, 3))
        variables = {
            view: net.init(k, images, jnp.zeros((2, 3)), train=False)
            for view, k in zip(VIEWS, jax.random.split(key), strict=True)
        }
        params = {view: v["params"] for view, v in variables.items()}
        batch_stats = {view: v["batch_stats"] for view, v in variables.items()}
        return params, batch_stats, {}

    def loss(params: PyTree, batch_stats: PyTree, method_state: PyTree, batch: PyTree, key):
        augment_key, balance_key, *dropout_keys = jax.random.split(key, 4)
        # One pass over all streams, so that batch statistics are those of the whole batch.
        images, labels, pose = (
            jnp.concatenate([batch[stream][field] for stream in streams])
            for field in ("image", "labels", "pose")
        )
        images, labels, pose = augment.augment(augment_key, images, labels, pose, noise, aus)
        counted = balanced_mask(balance_key, labels, balance_alpha, balance_rule)
        logits, updated = {}, {}
        for view, dropout_key in zip(VIEWS, dropout_keys, strict=True):
            by_head, changed = net.apply(
                {"params": params[view], "batch_stats": batch_stats[view]},
                images,
                pose,
                train=True,
                rngs={"dropout": dropout_key},
                mutable=["batch_stats"],
            )
            logits[view], updated[view] = by_head[_HEAD], changed["batch_stats"]
        recognition = sum(recognition_loss(logits[view], labels, counted) for view in VIEWS)
        first, second = (params[view][f"head_{_HEAD}"] for view in VIEWS)
        multi_view = multi_view_loss(
            first["kernel"], first["bias"], second["kernel"], second["bias"], signed
        )
        co_regularization = co_regularization_loss(*(logits[view] for view in VIEWS))
        total = (
            recognition
            + multi_view_weight * multi_view
            + co_regularization_weight * co_regularization
        )
        logs = {
            "recognition": recognition,
            "multi_view": multi_view,
            "co_regularization": co_regularization,
        }
        return total, (updated, method_state, logs)

    def predict(variables: Variables, images: jax.Array, pose: jax.Array) -> jax.Array:
        crops = augment.center_crop(images, image_size)
        views = []
        for view in VIEWS:
            own = {kind: by_view[view] for kind, by_view in variables.items()}
            by_head: Any = net.apply(own, crops, pose, train=False)
            views.append(by_head[_HEAD])
        return mean_logits(jnp.stack(views))

    return Method(aus=tuple(aus), init=init, loss=loss, predict=predict)
