"""Splits of drawn and rendered faces: the numbers of their images, and the random draws of each.

A person has `IMAGES_PER_PERSON` still images in a row, or one short video. The number of a frame's
image is `MOST_FRAMES` times the video's plus the frame's.
"""

import numpy as np

SPLITS = ("opt", "noisy", "test")  # of still images
CLIP_SPLITS = ("clips", "clips_test")  # of short videos
IMAGES_PER_PERSON = 8
MOST_FRAMES = 1000


def generator(seed: int, split: str, number: int, what: int) -> np.random.Generator:
    """Random numbers for one use, `what`, of the person, video or image `number` of a split."""
    return np.random.default_rng([seed, (*SPLITS, *CLIP_SPLITS).index(split), number, what])
