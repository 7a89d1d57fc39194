"""Losses over action unit labels that may be unknown.

Labels are int8, 1 present, 0 absent, -1 unknown. An unknown entry gives neither value nor gradient,
whatever its logit is.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from au_jax.errors import unknown

_SMALLEST_SQUARE = 1e-12


def known_mask(labels: jax.Array) -> jax.Array:
    """Returns bool, the shape of `labels`: where the label is known."""
    return labels >= 0


def smooth_labels(labels: jax.Array, smoothing: float) -> jax.Array:
    """Returns the float32 targets y' = (1 - s) y + s / 2, the shape of `labels`.

    Smoothing 0.2 is 0.8 y + 0.1 (Magdeburg, EmotioNet 2020). Unknown labels get the target of an
    absent AU: mask them.
    """
    present = (labels == 1).astype(jnp.float32)
    return (1 - smoothing) * present + smoothing / 2


def binary_cross_entropy(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """Elementwise -(t log p + (1 - t) log(1 - p)) with p = sigmoid(logit), in float32.

    Computed as softplus(x) - t x, which neither overflows nor loses small probabilities.
    """
    logits = logits.astype(jnp.float32)
    return jax.nn.softplus(logits) - targets * logits


def damped_class_weights(
    positives: np.ndarray | Sequence[float],
    negatives: np.ndarray | Sequence[float],
    alpha: float,
) -> np.ndarray:
    """Weights of absent and present labels that balance the classes as far as `alpha` says.

    w(y) = n_y^-alpha (n0 + n1) / (n0^(1 - alpha) + n1^(1 - alpha)), so that the mean weight over
    the labels is 1 for every alpha. The formula is ours: Magdeburg's paper (EmotioNet 2020) gives
    only alpha (0.5 for expression AUs, 0.7 for pose AUs) and that the mean gradient keeps its
    length.

    Args:
      positives, negatives: known labels of each AU, counts [A].
      alpha: 0 no balancing, 1 full balancing.

    Returns:
      float32 [A, 2]: column 0 for absent, 1 for present. An AU that lacks one of the two has
      weight 1 for both.
    """
    counts = np.stack([negatives, positives], -1).astype(np.float64)
    both = (counts > 0).all(-1, keepdims=True)
    counts = np.where(both, counts, 1.0)
    scale = counts.sum(-1, keepdims=True) / (counts ** (1 - alpha)).sum(-1, keepdims=True)
    return np.where(both, counts**-alpha * scale, 1.0).astype(np.float32)


def weighted_bce(
    logits: jax.Array,
    labels: jax.Array,
    class_weights: jax.Array | np.ndarray,
    smoothing: float,
    au_weights: jax.Array | np.ndarray | None = None,
) -> jax.Array:
    """Class-balanced binary cross entropy, Magdeburg (EmotioNet 2020).

    The sum over known entries of lambda_m w_m(y) BCE, divided by the number of known entries; 0
    when there is none. The division is ours: the paper prints a plain sum.

    Args:
      logits: [B, A].
      labels: [B, A], int8, or float32 where a label is the probability y of a present AU: the loss
        is then the mean of the losses of both labels, weighted by y and 1 - y.
      class_weights: w_m of absent and of present labels (`damped_class_weights`): [A, 2], or
        [B, A, 2] where the examples come from sets of different balance.
      smoothing: label smoothing s; the class weight is that of the label before smoothing.
      au_weights: lambda_m [A]; 1 for every AU when not given.

    Returns:
      float32 scalar.
    """
    known = known_mask(labels)
    # The logit itself is replaced, as an infinite one would still give a NaN gradient.
    logits = jnp.where(known, logits, 0)
    weights = jnp.broadcast_to(jnp.asarray(class_weights, jnp.float32), (*labels.shape, 2))
    if au_weights is not None:
        weights = weights * jnp.asarray(au_weights, jnp.float32)[None, :, None]
    absent, present = (
        weights[..., label]
        * binary_cross_entropy(logits, smooth_labels(jnp.full(labels.shape, label), smoothing))
        for label in (0, 1)
    )
    losses = labels * present + (1 - labels) * absent
    return jnp.where(known, losses, 0).sum() / jnp.maximum(known.sum(), 1)


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
        raise unknown("rule of batch balancing", rule, ("printed", "released"))
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
    entries = binary_cross_entropy(jnp.where(counted, logits, 0), labels == 1)
    return jnp.where(counted, entries, 0).mean()


def selective_loss(logits: jax.Array, targets: jax.Array, counted: jax.Array) -> jax.Array:
    """Binary cross entropy over the entries that count, divided by the number of all (Eq. 2).

    The printed equation lacks its minus sign. Over [views, N, A] it is the mean of the views' L.

    Args:
      logits: [V, N, A]. targets: in [0, 1], [V, N, A] or [1, N, A]. counted: bool [V, N, A].
    """
    # The logit itself is replaced, as an infinite one would still give a NaN gradient.
    entries = binary_cross_entropy(jnp.where(counted, logits, 0), targets)
    return jnp.where(counted, entries, 0).mean()


def ramp_up(step: jax.Array, steps: int) -> jax.Array:
    """exp(-5 (1 - step / steps)^2), 1 from `steps` on: how consistency weights are let in."""
    return jnp.exp(-5 * jnp.square(jnp.maximum(steps - step, 0) / max(steps, 1)))
