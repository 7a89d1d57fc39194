"""The pose branch, the heads and the normalisation of images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_weights import random_variables

from au_jax import models

MEAN, STD = (1.0, -2.0, 3.0), (10.0, 20.0, 5.0)


@pytest.fixture(scope="module")
def posed():
    """A network with a pose branch, as a function of pose."""
    network = models.AUNet(
        models.create("ownnet1"), (("opt", 4),), pose_branch=True, pose_mean=MEAN, pose_std=STD
    )
    images = jnp.ones((2, 32, 32, 3)) / 2
    variables = random_variables(network, images, jnp.zeros((2, 3)), False)
    run = jax.jit(lambda pose: network.apply(variables, images, pose, False)["opt"])
    return run, variables["params"]


def test_unknown_angles_count_as_the_mean_pose(posed):
    run, _ = posed
    nan = float("nan")
    unknown = run(jnp.array([[nan, nan, nan], [7.0, nan, 1.0]]))
    filled = run(jnp.array([MEAN, (7.0, MEAN[1], 1.0)]))
    np.testing.assert_array_equal(unknown, filled)
    assert np.isfinite(unknown).all()


def test_gradient_is_finite_where_an_angle_is_unknown(posed):
    run, _ = posed
    gradient = jax.grad(lambda pose: run(pose).sum())(jnp.full((2, 3), jnp.nan))
    assert np.isfinite(gradient).all()


def test_pose_branch_is_dense_relu_beside_the_features(posed):
    run, params = posed
    pose = np.array([[5.0, 10.0, -4.0], MEAN], np.float32)
    hidden = (pose - MEAN) / STD @ params["pose"]["kernel"] + params["pose"]["bias"].reshape(1, -1)
    assert hidden.shape == (2, 1024)
    # Both rows see the same image, so the logits differ by the branch's share alone.
    share = np.maximum(hidden, 0) @ params["head_opt"]["kernel"][-1024:]
    logits = run(jnp.asarray(pose))
    np.testing.assert_allclose(logits[0] - logits[1], share[0] - share[1], rtol=1e-3, atol=1e-4)


def test_images_are_normalised_by_channel():
    network = models.AUNet(
        models.create("ownnet1"),
        (("opt", 4),),
        image_mean=(0.1, 0.2, 0.3),
        image_std=(1.0, 2.0, 4.0),
    )
    images = jnp.asarray(np.random.default_rng(0).random((1, 32, 32, 3)), jnp.float32)
    variables = random_variables(network, images, jnp.zeros((1, 3)), False)
    by_hand = (np.asarray(images) - np.array([0.1, 0.2, 0.3])) / np.array([1, 2, 4])

    def with_head(variables):
        own = {kind: tree["backbone"] for kind, tree in variables.items()}
        pooled = network.backbone.apply(own, jnp.asarray(by_hand, jnp.float32), False).pooled
        head = variables["params"]["head_opt"]
        return pooled @ head["kernel"] + head["bias"].reshape(1, -1)

    logits = jax.jit(lambda v: network.apply(v, images, jnp.zeros((1, 3)), False)["opt"])
    np.testing.assert_allclose(logits(variables), jax.jit(with_head)(variables), atol=1e-4)


def test_dropout_drops_in_training_only():
    network = models.AUNet(models.create("ownnet1"), (("opt", 4),), dropout=0.5)
    images, pose = jnp.ones((2, 32, 32, 3)), jnp.zeros((2, 3))
    variables = random_variables(network, images, pose, False)

    def logits(train, seed):
        return network.apply(
            variables,
            images,
            pose,
            train,
            rngs={"dropout": jax.random.key(seed)},
            mutable=["batch_stats"],
        )[0]["opt"]

    logits = jax.jit(logits, static_argnums=(0, 1))
    assert not np.array_equal(logits(True, 0), logits(True, 1))
    np.testing.assert_array_equal(logits(False, 0), logits(False, 1))
