"""Test-time augmentation: means of predictions over crops, compared with means by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from au_jax.ensemble.tta import through_crops
from au_jax.errors import UserError
from au_jax.methods import Method
from au_jax.methods.co_training import mean_logits

mean = jax.jit(mean_logits)


def test_the_sigmoid_of_the_result_is_the_mean_probability():
    logits = np.random.default_rng(0).normal(0, 3, (3, 4, 5)).astype(np.float32)
    expected = (1 / (1 + np.exp(-logits.astype(np.float64)))).mean(0)
    np.testing.assert_allclose(jax.nn.sigmoid(mean(logits)), expected, atol=1e-6)


def test_entries_that_do_not_count_are_left_out():
    logits = jnp.array([[0.5, 9.0], [1.5, 2.0]])
    counted = jnp.array([[True, False], [True, True]])
    expected = [(1 / (1 + np.exp(-0.5)) + 1 / (1 + np.exp(-1.5))) / 2, 1 / (1 + np.exp(-2))]
    np.testing.assert_allclose(jax.nn.sigmoid(mean(logits, counted)), expected, atol=1e-6)


def test_probabilities_of_0_and_1_stay_finite():
    logits = jnp.array([[-1e4, 1e4, 1e4, -90.0], [-1e4, 1e4, -1e4, -90.0]])
    np.testing.assert_allclose(mean(logits), [-1e4, 1e4, 0, -90], rtol=1e-6)
    assert np.isfinite(jax.jit(jax.grad(lambda x: mean_logits(x).sum()))(logits)).all()


# ---- Test crops ----

# AU51 and AU52 are each other's mirror image, AU12 is itself; that of AU55 is not predicted.
AUS = ("AU51", "AU12", "AU52", "AU55")


def predict(variables, images, pose):
    """Sees which way round the image and the head are."""
    red = images[..., 0].astype(jnp.float32) / 100
    left, right = red[:, :, 0].mean(1), red[:, :, -1].mean(1)
    return jnp.stack([left, red.mean((1, 2)), right, pose[:, 1] / 10], -1) * variables["gain"]


METHOD = Method(aus=AUS, init=lambda key: (), loss=lambda *inputs: (), predict=predict)
VARIABLES = {"gain": jnp.float32(1.5)}
RNG = np.random.default_rng(1)
IMAGES = RNG.integers(0, 256, (3, 6, 6, 3), np.uint8)
POSE = np.array([[1, 20, 3], [0, -30, 0], [0, 5, 1]], np.float32)


def through(crops):
    return jax.jit(through_crops(METHOD, 4, crops).predict)(VARIABLES, IMAGES, POSE)


def probability(images, pose):
    return 1 / (1 + np.exp(-np.asarray(predict(VARIABLES, images, pose), np.float64)))


def by_hand(crops):
    places = [(1, 1), (0, 0), (0, 2), (2, 0), (2, 2)]
    predictions = []
    for y, x in places:
        window = IMAGES[:, y : y + 4, x : x + 4]
        predictions.append(probability(window, POSE))
        if crops == "five_flip":
            flipped = probability(window[:, :, ::-1], POSE * [1, -1, -1])
            # What is to the left in the flipped image is to the right in the image.
            flipped[:, [0, 2]] = flipped[:, [2, 0]]
            flipped[:, 3] = np.nan
            predictions.append(flipped)
    return np.nanmean(predictions, 0)


@pytest.mark.parametrize("crops", ["five", "five_flip"])
def test_test_crops_are_averaged_label_aware(crops):
    np.testing.assert_allclose(jax.nn.sigmoid(through(crops)), by_hand(crops), atol=1e-6)


def test_the_mirror_image_scores_as_the_mirror_image():
    def scores(images, pose):
        return through_crops(METHOD, 4, "five_flip").predict(VARIABLES, images, pose)

    mirrored = jax.jit(scores)(IMAGES[:, :, ::-1], POSE * np.float32([1, -1, -1]))
    np.testing.assert_allclose(mirrored[:, [2, 1, 0]], through("five_flip")[:, :3], atol=1e-5)


def test_the_centre_alone_is_the_method_itself():
    assert through_crops(METHOD, 4, "center") is METHOD


def test_mistakes_are_named():
    with pytest.raises(UserError, match="unknown test crops 'ten'; known: center, five, five_flip"):
        through("ten")
    with pytest.raises(UserError, match="image_size 9 does not fit the stored crops of 6 x 6"):
        through_crops(METHOD, 9, "five").predict(VARIABLES, jnp.asarray(IMAGES), POSE)
