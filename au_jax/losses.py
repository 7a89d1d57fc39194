"""Loss terms of the methods, over action unit and emotion labels that may be unknown.

Labels are int8, 1 present, 0 absent, -1 unknown. An entry that does not count, as its label is
unknown or a rule leaves it out, gives neither value nor gradient, whatever its logit is.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Float32, Int, Int8, Num, PRNGKeyArray

from au_jax.errors import UserError, unknown

_SMALLEST_SQUARE = 1e-12
# Below float32's resolution of a cosine near 1, a sine is rounding noise.
_SMALLEST_SINE_SQUARE = 1e-7


def known_mask(labels: Num[Array, "*shape"]) -> Bool[Array, "*shape"]:
    """Where the label is known."""
    return labels >= 0


def mean_of_known(
    values: Num[Array, " examples"] | Bool[Array, " examples"], known: Bool[Array, " examples"]
) -> Float32[Array, ""]:
    """The mean over the examples that are known; 0 without any."""
    return jnp.where(known, values, 0).sum() / jnp.maximum(known.sum(), 1)


# ---- Binary cross entropy ----


def smooth_labels(labels: Num[Array, "*shape"], smoothing: float) -> Float32[Array, "*shape"]:
    """The targets y' = (1 - s) y + s / 2.

    Smoothing 0.2 is 0.8 y + 0.1 (Magdeburg, EmotioNet 2020). Unknown labels get the target of an
    absent AU: mask them.
    """
    present = (labels == 1).astype(jnp.float32)
    return (1 - smoothing) * present + smoothing / 2


def binary_cross_entropy(
    logits: Float[Array, "*shape"], targets: Float[Array, "*#shape"] | Bool[Array, "*#shape"]
) -> Float32[Array, "*shape"]:
    """Elementwise -(t log p + (1 - t) log(1 - p)), in nats, with p = sigmoid(logit)."""
    return optax.sigmoid_binary_cross_entropy(logits.astype(jnp.float32), targets)


def masked_cross_entropy(
    logits: Float[Array, "*shape"],
    targets: Float[Array, "*#shape"] | Bool[Array, "*#shape"],
    counted: Bool[Array, "*#shape"],
) -> Float32[Array, "*shape"]:
    """`binary_cross_entropy` of the entries that count, 0 of the others."""
    # The logit itself is replaced, as an infinite one would still give a NaN gradient.
    return jnp.where(counted, binary_cross_entropy(jnp.where(counted, logits, 0), targets), 0)


# ---- Class-balanced loss (Magdeburg) ----


def damped_class_weights(
    positives: np.ndarray | Sequence[float],
    negatives: np.ndarray | Sequence[float],
    alpha: float,
) -> Float32[np.ndarray, "aus 2"]:
    """Weights of absent and present labels that balance the classes as far as `alpha` says.

    w(y) = n_y^-alpha (n0 + n1) / (n0^(1 - alpha) + n1^(1 - alpha)), so that the mean weight over
    the labels is 1 for every alpha. The formula is ours: Magdeburg's paper (EmotioNet 2020) gives
    only alpha (0.5 for expression AUs, 0.7 for pose AUs) and that the mean gradient keeps its
    length.

    Args:
      positives, negatives: known labels of each AU, counts.
      alpha: 0 no balancing, 1 full balancing.

    Returns:
      Column 0 for absent, 1 for present. An AU that lacks one of the two has weight 1 for both.
    """
    counts = np.stack([negatives, positives], -1).astype(np.float64)
    both = (counts > 0).all(-1, keepdims=True)
    counts = np.where(both, counts, 1.0)
    scale = counts.sum(-1, keepdims=True) / (counts ** (1 - alpha)).sum(-1, keepdims=True)
    return np.where(both, counts**-alpha * scale, 1.0).astype(np.float32)


def weighted_bce(
    logits: Float[Array, "examples aus"],
    labels: Int8[Array, "examples aus"] | Float[Array, "examples aus"],
    class_weights: Float32[Array, "#examples aus 2"],
    smoothing: float,
) -> Float32[Array, ""]:
    """Class-balanced binary cross entropy, Magdeburg (EmotioNet 2020).

    The sum over known entries of w(y) BCE, divided by the number of known entries; 0 when there is
    none. The division is ours: the paper prints a plain sum. Its weights of AUs are 1.

    Args:
      labels: or, as floats, the probability y of a present AU: the loss is then the mean of the
        losses of both labels, weighted by y and 1 - y.
      class_weights: w of absent and of present labels (`damped_class_weights`), for each example
        where the examples come from sets of different balance.
      smoothing: label smoothing s; the class weight is that of the label before smoothing.
    """
    known = known_mask(labels)
    absent, present = (
        class_weights[..., label]
        * masked_cross_entropy(
            logits, smooth_labels(jnp.full(labels.shape, label), smoothing), known
        )
        for label in (0, 1)
    )
    entries = labels * present + (1 - labels) * absent
    return jnp.where(known, entries, 0).sum() / jnp.maximum(known.sum(), 1)


# ---- Weighted and multi-label loss (ABAW3) ----


def au_weighted_bce(
    logits: Float[Array, "examples aus"],
    labels: Int8[Array, "examples aus"],
    weights: Float[Array, " aus"],
    smoothing: float = 0.0,
) -> Float32[Array, ""]:
    """The mean of w_n BCE(x, y) over the known entries, ABAW3 (2022), section 3.3, Eq. 1 to 4.

    The paper calls x the softmax's output, which Eq. 4 shows to be a slip: it is the logit.

    Args:
      weights: w of each AU; the paper's W is 1, 2, 1, 1, 1, 1, 1, 6, 6, 5, 1, 5 over AUs 1, 2, 4,
        6, 7, 10, 12, 15, 23, 24, 25, 26.
      smoothing: label smoothing s, see `smooth_labels`; the paper does not give its own.

    Returns:
      In nats, as torch's BCEWithLogitsLoss; 0 without a known label.
    """
    entries, known = _weighted_entries(logits, labels, weights, smoothing)
    return entries.sum() / jnp.maximum(known.sum(), 1)


def multi_label_loss(
    logits: Float[Array, "examples aus"],
    labels: Int8[Array, "examples aus"],
    weights: Float[Array, " aus"],
    smoothing: float = 0.0,
) -> Float32[Array, ""]:
    """The mean of w_n BCE(x, y) over the AUs of an image, and then over images, ABAW3, Eq. 5.

    With all labels known it is the number that `au_weighted_bce` is. With unknown ones each
    image's mean is over its known AUs (ours), so that an image counts alike however many of its
    labels are known; an image without any is left out.

    Args:
      weights, smoothing: as in `au_weighted_bce`.

    Returns:
      In nats, as torch's MultiLabelSoftMarginLoss; 0 without a known label.
    """
    entries, known = _weighted_entries(logits, labels, weights, smoothing)
    of_image = entries.sum(1) / jnp.maximum(known.sum(1), 1)
    return of_image.sum() / jnp.maximum(known.any(1).sum(), 1)


def _weighted_entries(
    logits: jax.Array, labels: jax.Array, weights: jax.Array, smoothing: float
) -> tuple[jax.Array, jax.Array]:
    """w_n BCE(x, y) of each entry, 0 where the label is unknown, and where it is known."""
    known = known_mask(labels)
    entries = masked_cross_entropy(logits, smooth_labels(labels, smoothing), known)
    return entries * weights[None], known


# ---- Selective learning (MLCR, TAL, ReCoT) ----


def balanced_mask(
    key: PRNGKeyArray,
    labels: Int8[Array, "examples aus"],
    alpha: float | Sequence[float],
    rule: str = "printed",
) -> Bool[Array, "examples aus"]:
    """Batch balancing: which entries of a batch count, a random part of the negatives left out.

    The rule as TAL (EmotioNet 2020) prints it in section 2.3: where alpha N_neg > N_pos for an AU,
    alpha N_neg of its negatives are drawn and the others ignored (alpha 0.2, 90 negatives, 10
    positives: 18 stay). The rule of MLCR's released code (https://arxiv.org/abs/1910.11012) has
    N_known in the place of N_neg. Fractions are rounded up, as MLCR's are; the paper does not say.

    Args:
      alpha: one number, or one per AU; 0 leaves nothing out.
      rule: "printed" or "released".

    Returns:
      False for unknown labels and for the negatives left out.

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


def selective_loss(
    logits: Float[Array, "*views examples aus"],
    targets: Float[Array, "*#views examples aus"] | Bool[Array, "*#views examples aus"],
    counted: Bool[Array, "*#views examples aus"],
) -> Float32[Array, ""]:
    """Binary cross entropy over the entries that count, divided by the number of all.

    The divisor does not depend on how many entries count. It is L of ReCoT (BMVC 2023), Eq. 2,
    whose print lacks the minus sign, over several views the mean of theirs; and L_rec of MLCR's
    released loss, which sums over AUs and divides by examples, over the number of AUs (ours).

    Args:
      targets: probabilities of a present AU.
      counted: such as `balanced_mask`.
    """
    return masked_cross_entropy(logits, targets, counted).mean()


# ---- Agreement of two views (MLCR) ----


def multi_view_loss(
    kernel1: Float[Array, "features aus"],
    bias1: Float[Array, " aus"],
    kernel2: Float[Array, "features aus"],
    bias2: Float[Array, " aus"],
    signed: bool = False,
) -> Float32[Array, ""]:
    """L_mv: the mean over AUs of the cosine between the two views' classifiers W_ij = [w_ij, b_ij].

    MLCR (https://arxiv.org/abs/1910.11012) and TAL (EmotioNet 2020) print the signed cosine, whose
    minimum is at opposite weights, and say that weights shall become orthogonal; the absolute
    cosine (the default here, ours) does that, and MLCR's released code takes it too.

    Args:
      signed: the cosine as printed.

    Returns:
      A number in [0, 1], in [-1, 1] where signed.
    """
    first = jnp.concatenate([kernel1, bias1[None]]).astype(jnp.float32)
    second = jnp.concatenate([kernel2, bias2[None]]).astype(jnp.float32)
    # A floor under the squares: the norm of a zero vector has no gradient.
    norms = [jax.lax.rsqrt(jnp.maximum((w * w).sum(0), _SMALLEST_SQUARE)) for w in (first, second)]
    cosine = (first * second).sum(0) * norms[0] * norms[1]
    return (cosine if signed else jnp.abs(cosine)).mean()


def co_regularization_loss(
    logits1: Float[Array, "*shape"], logits2: Float[Array, "*shape"]
) -> Float32[Array, ""]:
    """L_cr: the mean over images and AUs of H((p1 + p2) / 2) - (H(p1) + H(p2)) / 2.

    This is the Jensen-Shannon divergence of the two predicted Bernoulli distributions, in nats
    (MLCR, https://arxiv.org/abs/1910.11012; ReCoT, Eq. 5). It is written as such and from the
    logits: no difference of nearly equal entropies is taken, and probabilities of 0 and 1 are
    finite in value and gradient.

    Args:
      logits1, logits2: finite.

    Returns:
      A number in [0, log 2].
    """
    logits1, logits2 = logits1.astype(jnp.float32), logits2.astype(jnp.float32)

    def half(sign: int) -> Array:
        """-(q1 log(m / q1) + q2 log(m / q2)) / 2 of one of the two outcomes, m = (q1 + q2) / 2."""
        log1, log2 = jax.nn.log_sigmoid(sign * logits1), jax.nn.log_sigmoid(sign * logits2)
        # log(m / q1) = log((1 + q2 / q1) / 2).
        ratio1 = jax.nn.softplus(log2 - log1) - np.float32(np.log(2))
        ratio2 = jax.nn.softplus(log1 - log2) - np.float32(np.log(2))
        return -(jnp.exp(log1) * ratio1 + jnp.exp(log2) * ratio2) / 2

    return (half(1) + half(-1)).mean()


# ---- Contrastive learning (MoCo, EmoCo) ----


def unit(vectors: Float[Array, "*shape features"]) -> Float32[Array, "*shape features"]:
    """Vectors of length 1 in the same directions; the length that divides is at least 1e-6."""
    vectors = vectors.astype(jnp.float32)
    squares = jnp.square(vectors).sum(-1, keepdims=True)
    return vectors * jax.lax.rsqrt(jnp.maximum(squares, _SMALLEST_SQUARE))


def intra_class_normalized(
    vectors: Float32[Array, "*shape features"], prototype: Float32[Array, " features"]
) -> Float32[Array, "*shape features"]:
    """N(v) = (v - w) / |v - w|, EmoCo (FG 2021), Eq. 4, w being a class's prototype of length 1."""
    return unit(vectors - prototype.reshape((1,) * (vectors.ndim - 1) + (-1,)))


def emotion_loss(
    logits: Float32[Array, "examples classes"], classes: Int[Array, " examples"]
) -> Float32[Array, ""]:
    """Cross entropy of the emotion, EmoCo's L_emo (Eq. 2), over the examples whose class is known.

    Args:
      classes: -1 where it is not known. Without any known one the loss is 0.
    """
    entries = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.maximum(classes, 0))
    return mean_of_known(entries, known_mask(classes))


def contrastive_loss(
    queries: Float32[Array, "examples features"],
    keys: Float32[Array, "examples features"],
    classes: Int[Array, " examples"],
    index: Int[Array, " examples"],
    queues: Float32[Array, "queues slots features"],
    queued: Int[Array, "queues slots"],
    temperature: float,
    prototypes: Float32[Array, "classes features"] | None = None,
) -> tuple[Float32[Array, ""], Bool[Array, " examples"]]:
    """InfoNCE against the queue of each example's own class: MoCo's, and EmoCo's L_cont (Eq. 5).

    One class after the other meets its queue, so that no example has a copy of the queue; the
    gradient computes the similarities again in place of keeping them. Nothing but the queries has
    a gradient.

    Args:
      queries, keys: q and its positive k+, of length 1.
      classes: of each example; -1 leaves it out.
      index: which example of the data each one is.
      queues: negatives k-, of length 1: one queue for each class, or one for all.
      queued: the example that each slot holds, -1 an empty slot. Empty slots are no negatives, nor
        is an older key of the query's own example (ours).
      temperature: tau.
      prototypes: of length 1: intra-class normalisation about them; none for MoCo.

    Returns:
      The mean over the examples that are not left out, 0 where there are none; and whether each
      example's key is nearer than all its negatives.
    """
    # float32 as the other vectors, where a comparison in float64 has widened the queues, too.
    keys, queues = jax.lax.stop_gradient((keys, queues.astype(jnp.float32)))
    every_class = jnp.arange(len(queues) if prototypes is None else len(prototypes))

    @jax.checkpoint
    def of_class(queries: jax.Array, number: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The loss and success of every example as if it were of this class."""
        place = number if len(queues) > 1 else 0
        negatives, slots = queues[place], queued[place]
        query, key = queries, keys
        if prototypes is not None:
            prototype = jax.lax.stop_gradient(prototypes)[number]
            query, key, negatives = (
                intra_class_normalized(v, prototype) for v in (query, key, negatives)
            )
        near = jnp.einsum("bd,bd->b", query, key, precision="highest") / temperature
        far = jnp.einsum("bd,kd->bk", query, negatives, precision="highest") / temperature
        counted = (slots >= 0)[None] & (slots[None] != index[:, None])
        far = jnp.where(counted, far, -jnp.inf)
        # The two parts are joined apart: a joined array would be one more copy of the largest one.
        gap = jax.nn.logsumexp(far, 1, where=counted) - near
        return jax.nn.softplus(gap), near > far.max(1)

    def add(carry: tuple[jax.Array, jax.Array], number: jax.Array):
        value, nearest = of_class(queries, number)
        mine = classes == number
        return (carry[0] + jnp.where(mine, value, 0), jnp.where(mine, nearest, carry[1])), None

    none = jnp.zeros(len(queries), jnp.float32), jnp.zeros(len(queries), bool)
    (value, nearest), _ = jax.lax.scan(add, none, every_class)
    return mean_of_known(value, known_mask(classes)), nearest


# ---- Face identity (ArcFace, Partial FC) ----


def class_cosines(
    embeddings: Float[Array, "examples features"],
    centres: Float[Array, "rows features"],
    classes: int | None = None,
) -> Float32[Array, "examples rows"]:
    """The cosine of the angle between each embedding and each class centre, of any lengths.

    Args:
      classes: how many rows of `centres` there are without padding, which gets -inf; None for all.
    """
    cosines = jnp.clip(unit(embeddings) @ unit(centres).T, -1, 1)
    if classes is None:
        return cosines
    return jnp.where(jnp.arange(len(centres))[None] < classes, cosines, -jnp.inf)


def arcface_loss(
    cosines: Float32[Array, "examples classes"],
    labels: Int[Array, " examples"],
    scale: float = 64.0,
    margin: float = 0.5,
) -> tuple[Float32[Array, ""], Bool[Array, " examples"]]:
    """Softmax cross entropy of s cos(theta), where the true class has s cos(theta + m) instead.

    theta is the angle between an embedding and a class centre. Where theta + m exceeds pi, the true
    class has cos(theta) - m sin(pi - m), which falls with theta as cos(theta + m) no longer would.
    Source: Deng et al., "ArcFace" (CVPR 2019), equation 3, https://arxiv.org/abs/1801.07698; the
    rule beyond pi is that of insightface's code without "easy margin"
    (https://github.com/deepinsight/insightface). No angle is computed, so that gradients stay
    finite where an embedding points at or away from a centre.

    Args:
      cosines: of theta, as `class_cosines` returns them; -inf takes a class out of the softmax.
      labels: column of the true class in `cosines`; -1 leaves an example out.
      scale: s.
      margin: m, radians.

    Returns:
      The mean over the examples that are not left out, in nats, 0 without any; and whether each
      example's true centre is the nearest.
    """
    known, labels = known_mask(labels), jnp.maximum(labels, 0)
    # Masks and no indices, so that devices which share the classes out exchange no whole rows.
    at_label = labels[:, None] == jnp.arange(cosines.shape[1])[None]
    cosine = jnp.where(at_label, cosines, 0).sum(1)
    sine = jnp.sqrt(jnp.maximum((1 - cosine) * (1 + cosine), _SMALLEST_SINE_SQUARE))
    within = cosine > np.cos(np.pi - margin)
    true = jnp.where(
        within,
        cosine * np.cos(margin) - sine * np.sin(margin),
        cosine - margin * np.sin(np.pi - margin),
    )
    logits = scale * jnp.where(at_label, true[:, None], cosines)
    entries = jax.nn.logsumexp(logits, 1) - scale * true
    return mean_of_known(entries, known), cosine >= cosines.max(1)


def sample_classes(
    key: PRNGKeyArray, labels: Int[Array, " examples"], classes: int, size: int
) -> tuple[Int[Array, " size"], Int[Array, " examples"]]:
    """Draws the classes of a step: all that the batch has, filled up with random others.

    The loss over them is that of `class_cosines(embeddings, centres[sampled])` and `positions`.
    Source: An et al., "Partial FC: Training 10 Million Identities on a Single Machine" (2020),
    https://arxiv.org/abs/2010.05222.

    Args:
      labels: 0 to classes - 1.
      size: how many to draw; with all of them the loss equals that without sampling, to the bit.

    Returns:
      The classes drawn, ascending, and where among them each label stands.

    Raises:
      UserError: `size` does not lie between the number of examples, which may all be of different
        classes, and the number of classes.
    """
    if not min(len(labels), classes) <= size <= classes:
        raise UserError(
            f"{size} sampled classes are too few for a batch of {len(labels)} or more than the "
            f"{classes} that there are; sample from {min(len(labels), classes)} to {classes}"
        )
    # The draw lies in [0, 1), so that the batch's own classes come first.
    draw = jax.random.uniform(key, (classes,)).at[labels].set(2.0)
    sampled = jnp.sort(jax.lax.top_k(draw, size)[1])
    return sampled, jnp.searchsorted(sampled, labels)


# ---- Weights over time ----


def ramp_up(step: Int[Array, ""] | int, steps: int) -> Float[Array, ""]:
    """exp(-5 (1 - step / steps)^2), 1 from `steps` on: how consistency weights are let in.

    The curve of the mean teacher (https://arxiv.org/abs/1703.01780), as its code has it.
    """
    return jnp.exp(-5 * jnp.square(jnp.maximum(steps - step, 0) / max(steps, 1)))
