"""Predicting through several views of one image, where a view is a network or a test crop."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from au_jax import augment, aus
from au_jax.methods.base import Method, Variables
from au_jax.methods.co_training import mean_logits


def through_crops(method: Method, image_size: int, crops: str) -> Method:
    """The same method, its probabilities the mean over the test crops of each image (TAL).

    A flipped crop votes with its mirrored pose, and for the mirror image of each AU; it has no vote
    on an AU whose mirror image the method does not predict.

    Args:
      method: its `predict` takes the centre of larger images, and so the whole of each crop.
      image_size: pixels of the method's input.
      crops: "center" (the method as it is), "five" or "five_flip", as in `augment.test_crops`.
    """
    if crops == "center":
        return method
    mirror, mirrored = aus.mirror_permutation(method.aus), aus.mirror_known(method.aus)

    def predict(variables: Variables, images: jax.Array, pose: jax.Array) -> jax.Array:
        windows, flipped = augment.test_crops(images, image_size, crops)
        flip = np.array(flipped)[:, None, None]
        poses = jnp.where(flip, augment.mirror_pose(pose)[None], pose[None])
        # One crop after another: the memory of one, and the network compiled once.
        logits = jax.lax.map(lambda view: method.predict(variables, *view), (windows, poses))
        votes = ~flip | mirrored[None, None]
        return mean_logits(jnp.where(flip, logits[..., mirror], logits), jnp.asarray(votes))

    return dataclasses.replace(method, predict=predict)
