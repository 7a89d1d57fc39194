"""Losses over action unit labels that may be unknown.

Labels are int8, 1 present, 0 absent, -1 unknown. An unknown entry gives neither value nor gradient,
whatever its logit is.
"""

import jax
import jax.numpy as jnp
import numpy as np


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


def damped_class_weights(positives: np.ndarray, negatives: np.ndarray, alpha: float) -> np.ndarray:
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
