"""Every loss of AU labels against float64 numpy, written from the equations, gradients too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import entr, expit

from au_jax import losses
from au_jax.methods import mlct, recot

RNG = np.random.default_rng(7)
AUS = 3
CLASS_WEIGHTS = np.array([[0.8, 2.5], [1.0, 1.0], [0.6, 5.0]])
AU_WEIGHTS = np.array([1.0, 6.0, 0.5])

_ORDINARY = RNG.normal(0, 2, (2, 6, AUS))
_LABELS = RNG.integers(-1, 2, (6, AUS)).astype(np.int8)
# Logits of two views [2, N, A], and labels [N, A].
CASES = {
    "ordinary": (_ORDINARY, _LABELS),
    "logits of +-100": (
        100 * np.sign(_ORDINARY),
        np.array([[1, 0, 1], [0, 1, -1], [1, 1, 0], [0, 0, 1], [1, 0, 0], [-1, 1, 1]], np.int8),
    ),
    "no positives": (_ORDINARY, np.minimum(_LABELS, 0)),
    "all unknown": (_ORDINARY, np.full((6, AUS), -1, np.int8)),
    "batch of one": (_ORDINARY[:, :1], np.array([[1, 0, -1]], np.int8)),
}


def bce(x, y):
    """-(y log p + (1 - y) log(1 - p)), p being the sigmoid of x."""
    return y * np.logaddexp(0, -x) + (1 - y) * np.logaddexp(0, x)


def smoothed(y, s):
    return (1 - s) * y + s / 2


def weighted_bce(views, labels):
    """Magdeburg: w(y) BCE with smoothed labels, over the number of known entries."""
    total, known = 0.0, 0
    for x, y in zip(views[0], labels, strict=True):
        for k in range(AUS):
            if y[k] >= 0:
                total += CLASS_WEIGHTS[k, y[k]] * bce(x[k], smoothed(y[k], 0.2))
                known += 1
    return total / max(known, 1)


def au_weighted_bce(views, labels):
    """ABAW3, Eq. 1 to 4."""
    known = labels >= 0
    entries = AU_WEIGHTS * bce(views[0], smoothed(labels.astype(float), 0.1))
    return entries[known].sum() / max(known.sum(), 1)


def multi_label(views, labels):
    """ABAW3, Eq. 5: the mean over the known AUs of an image, then over images."""
    means = []
    for x, y in zip(views[0], labels, strict=True):
        known = y >= 0
        if known.any():
            means.append((AU_WEIGHTS * bce(x, smoothed(y.astype(float), 0.1)))[known].mean())
    return np.mean(means) if means else 0.0


def selective(views, labels):
    """ReCoT, Eq. 2: known entries over the number of all, the mean over the views."""
    known = labels >= 0
    return np.mean([np.where(known, bce(x, labels == 1), 0).mean() for x in views])


def co_regularization(views, labels):
    """MLCR's L_cr, ReCoT's Eq. 5: the entropy of the mean less the mean entropy."""
    del labels

    def entropy(p, q):
        return entr(p) + entr(q)

    # 1 - p by its own sigmoid, which keeps its digits.
    (p1, q1), (p2, q2) = ((expit(x), expit(-x)) for x in views)
    middle = entropy((p1 + p2) / 2, (q1 + q2) / 2)
    return (middle - (entropy(p1, q1) + entropy(p2, q2)) / 2).mean()


def selective_balanced(views, labels):
    """ReCoT, Eq. 4, of the first view, ranked by the second; all entries where gamma is 1."""
    total = 0.0
    for weight, label in ((1.0, 1), (0.1, 0)):
        if (labels == label).any():
            total += weight * bce(views[0], label)[labels == label].mean()
    return total


def handed(views, labels):
    """MLCT's loss of the first view: half of the images for each AU, the surest of the second."""
    del labels
    count = -(-len(views[0]) // 2)
    total = 0.0
    for k in range(AUS):
        rows = np.argsort(-np.abs(TEACHER[: len(views[0]), k]), kind="stable")[:count]
        total += bce(views[0][rows, k], TEACHER[rows, k] > 0).sum()
    return total / (count * AUS)


TEACHER = RNG.normal(0, 3, (6, AUS)).astype(np.float32)
TERMS = {
    "weighted_bce": (
        weighted_bce,
        lambda v, y: losses.weighted_bce(v[0], y, jnp.float32(CLASS_WEIGHTS)[None], 0.2),
    ),
    "au_weighted_bce": (
        au_weighted_bce,
        lambda v, y: losses.au_weighted_bce(v[0], y, jnp.float32(AU_WEIGHTS), 0.1),
    ),
    "multi_label_loss": (
        multi_label,
        lambda v, y: losses.multi_label_loss(v[0], y, jnp.float32(AU_WEIGHTS), 0.1),
    ),
    "selective_loss": (
        selective,
        lambda v, y: losses.selective_loss(v, (y == 1)[None], (y >= 0)[None]),
    ),
    "co_regularization_loss": (
        co_regularization,
        lambda v, y: losses.co_regularization_loss(*v),
    ),
    "selective_balanced_loss": (
        selective_balanced,
        lambda v, y: recot.selective_balanced_loss(v[0], v[1], y, 1.0, 0.1, 1.0)[0],
    ),
    "handed_loss": (
        handed,
        lambda v, y: mlct.handed_loss(v[0], jnp.asarray(TEACHER[: len(y)]), 0.5),
    ),
}


def central_differences(function, x, step=1e-4):
    gradient = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        moved = np.zeros_like(x)
        moved[place] = step
        gradient[place] = (function(x + moved) - function(x - moved)) / (2 * step)
    return gradient


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("term", TERMS)
def test_value_and_gradient_equal_the_equation(term, case):
    reference, ours = TERMS[term]
    views, labels = CASES[case]
    views = views.astype(np.float32)
    value, gradient = jax.value_and_grad(ours)(jnp.asarray(views), jnp.asarray(labels))
    wide = views.astype(np.float64)
    np.testing.assert_allclose(value, reference(wide, labels), rtol=2e-6, atol=1e-7)
    expected = central_differences(lambda x: reference(x, labels), wide)
    np.testing.assert_allclose(gradient, expected, atol=2e-6)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("size", [1e-3, 1.0, 100.0])
def test_the_multi_view_loss_and_its_gradient_equal_the_equation(size, signed):
    """L_mv: the mean over AUs of the (absolute) cosine of [w, b] of both views."""
    layers = (size * RNG.normal(0, 1, (2, 5, AUS))).astype(np.float32)  # the last row is the bias

    def reference(wide):
        first, second = wide
        cosine = (first * second).sum(0)
        cosine = cosine / np.sqrt((first**2).sum(0) * (second**2).sum(0))
        return (cosine if signed else np.abs(cosine)).mean()

    def ours(x):
        return losses.multi_view_loss(x[0, :-1], x[0, -1], x[1, :-1], x[1, -1], signed)

    value, gradient = jax.value_and_grad(ours)(jnp.asarray(layers))
    wide = layers.astype(np.float64)
    np.testing.assert_allclose(value, reference(wide), rtol=1e-5)
    expected = central_differences(reference, wide, 1e-4 * size)
    np.testing.assert_allclose(gradient * size, expected * size, atol=1e-5)
