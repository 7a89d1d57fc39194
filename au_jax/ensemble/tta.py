"""Test-time augmentation: the mean prediction over several test crops of each image."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from au_jax import augment, aus
from au_jax.methods.base import Method, Variables
from au_jax.methods.co_training import mean_logits


def through_crops(method: Method, image_size: int, crops: str) -> Method:
    """The same method, its probabilities the mean over the test crops of each image (TAL).

    The prediction from a flipped crop is made with the mirrored pose and counts for the mirror
    image of each AU. It is left out for an AU whose mirror image the method does not predict.

    Args:
      method: its `predict` takes the centre of larger images, and so the whole of each crop.
      image_size: side of the method's input, pixels.
      crops: "center" (the method as it is), "five" or "five_flip", as in `augment.test_crops`.
    """
    if crops == "center":
        return method
    mirror, mirrored = aus.mirror_permutation(method.aus), aus.mirror_known(method.aus)

    def predict(variables: Variables, images: jax.Array, pose: jax.Array) -> jax.Array:
        windows, flipped = augment.test_crops(images, image_size, crops)
        flip = np.array(flipped)[:, None, None]
        poses = jnp.where(flip, augment.mirror_pose(pose)[None], pose[None])
        # The crops go through the network one after another, which takes the memory of one crop
        # and compiles the network once.
        logits = jax.lax.map(lambda crop: method.predict(variables, *crop), (windows, poses))
        counted = ~flip | mirrored[None, None]
        return mean_logits(jnp.where(flip, logits[..., mirror], logits), jnp.asarray(counted))

    return dataclasses.replace(method, predict=predict)
