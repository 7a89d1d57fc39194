import numpy as np

from au_jax.similarity import similarity


def test_similarity_recovers_a_known_one():
    source = np.random.default_rng(0).normal(size=(7, 2))
    matrix = np.array([[0.6, -0.8, 3.0], [0.8, 0.6, -5.0]]) * [[2, 2, 1], [2, 2, 1]]
    target = source @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(similarity(source, target), matrix, atol=1e-9)


def test_similarity_is_the_least_squares_one():
    rng = np.random.default_rng(1)
    source, target = rng.normal(size=(2, 9, 2))
    # The same by OpenCV-free linear least squares on (a, b, tx, ty).
    x, y = source.T
    ones, zeros = np.ones(9), np.zeros(9)
    rows = np.concatenate([np.stack([x, -y, ones, zeros], 1), np.stack([y, x, zeros, ones], 1)])
    a, b, tx, ty = np.linalg.lstsq(rows, target.T.reshape(-1), rcond=None)[0]
    np.testing.assert_allclose(similarity(source, target), [[a, -b, tx], [b, a, ty]])


def test_similarity_never_mirrors_and_takes_coinciding_points():
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])
    matrix = similarity(square, square * [-1, 1])
    assert np.linalg.det(matrix[:, :2]) >= 0
    assert np.isfinite(similarity(np.ones((4, 2)), square)).all()
