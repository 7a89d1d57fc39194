"""How much AUs' labels depend on each other, against counts by hand and record by record."""

import numpy as np

from au_jax.data.label_dependence import dependencies


def test_by_hand_with_unknown_labels_and_an_au_that_is_never_present():
    # Of the records that know AUs 0 and 1, two have AU 1: one of them has AU 0; two lack it: none.
    # The other way round, one has AU 0, and AU 1 as well; of the three without it one has AU 1.
    labels = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, -1], [1, -1, 0], [-1, 1, 0]], float)
    expected = [[1, 1 / 2 - 0, 0], [1 - 1 / 3, 1, 0], [0, 0, 1]]
    np.testing.assert_allclose(dependencies(labels), expected, rtol=1e-12)


def test_no_edge_comes_from_an_au_that_is_always_or_never_known_in_one_way():
    always, never_known = np.ones(4), np.full(4, -1.0)
    other = np.array([0.0, 1, 1, 0])
    labels = np.stack([always, other, never_known], 1)
    np.testing.assert_array_equal(dependencies(labels), np.eye(3))
    np.testing.assert_array_equal(dependencies(np.zeros((0, 2))), np.eye(2))
    assert dependencies(np.zeros((3, 0))).shape == (0, 0)


def test_the_two_directions_differ_by_the_variances_of_the_labels():
    rng = np.random.default_rng(0)
    cause = rng.random(500)[:, None]
    labels = (cause + rng.random((500, 3)) > [0.7, 1.2, 1.6]).astype(float)
    found, variance = dependencies(labels), labels.var(0)
    np.testing.assert_allclose(found, np.cov(labels.T, bias=True) / variance, rtol=1e-9)


def test_soft_labels_count_in_parts():
    labels = np.array([[0.5, 1.0], [1.0, 0.25], [np.nan, 1.0]])
    given = (0.5 * 1 + 1 * 0.25) / 1.25 - (1 * 0.75) / 0.75
    back = (0.5 * 1 + 1 * 0.25) / 1.5 - (0.5 * 1) / 0.5
    np.testing.assert_allclose(dependencies(labels), [[1, given], [back, 1]], rtol=1e-12)
