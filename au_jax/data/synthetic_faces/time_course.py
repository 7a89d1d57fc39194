"""The time course of facial expressions and head movements over the frames of a video.

An action unit rises from its onset to its apex, stays there, and falls to its offset, as the Facial
Action Coding System describes it (Ekman, Friesen and Hager, 2002); a head drifts. The durations are
ours, for about 25 frames a second.
"""

from collections.abc import Callable

import numpy as np

# Frames of an episode, in which each AU is shown at most once: from, and below.
EPISODE = (40, 61)
# Frames that an AU takes to rise and to fall, and the apex's share of the others of its episode.
_RISE, _FALL, _APEX = (8.0, 14.0), (8.0, 16.0), (0.3, 0.9)
# How far apart, as a share of the free time, AUs of one expression begin.
_APART = 0.1
# Frames between the points that a drift runs through, and which share of its way off centre a
# random walk keeps from one point to the next.
_KNOT_EVERY, _KEPT = 16, 0.8


def rise_and_fall(
    rng: np.random.Generator, length: int, together: np.ndarray, frame: int
) -> np.ndarray:
    """How much of its apex each AU shows at a frame of an episode; it shows none at either end.

    Args:
      length: frames of the episode, at least 40.
      together: bool [A], AUs of one expression: they begin almost at the same time, the others at
        any.
      frame: of the episode, from 0.

    Returns:
      float [A], 0 to 1. It changes by less than 0.19 in a frame.
    """
    count = len(together)
    rise, fall = rng.uniform(*_RISE, count), rng.uniform(*_FALL, count)
    apex = rng.uniform(*_APEX, count) * (length - rise - fall)
    shared = rng.uniform() + rng.normal(0, _APART, count)
    begin = np.where(together, shared.clip(0, 1), rng.uniform(size=count))
    onset = begin * (length - rise - apex - fall)
    offset = onset + rise + apex + fall
    return _smooth_step(np.minimum((frame - onset) / rise, (offset - frame) / fall))


def at_frame(
    rng: np.random.Generator,
    sample: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]],
    frame: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The expression of the episode that a frame is in; episodes follow each other.

    Args:
      sample: draws an episode's expression: the apex of each AU, float [A], and `together` as in
        `rise_and_fall`.
      frame: from 0. Earlier frames do not depend on how many follow.

    Returns:
      The apex, and how much of it each AU shows at the frame, 0 to 1: float [A] each.
    """
    end = -int(rng.integers(EPISODE[0]))  # the first episode is under way at frame 0
    while end <= frame:
        start = end
        end += int(rng.integers(*EPISODE))
        apex, together = sample(rng)
        shown = rise_and_fall(rng, end - start, together, frame - start)
    return apex, shown


def drift(rng: np.random.Generator, spread: np.ndarray, frame: int) -> np.ndarray:
    """How far a smooth random walk that is drawn back to 0 is off it.

    Args:
      spread: float [D], standard deviation of the walk's steps, one in 16 frames; none is longer
        than twice as much.
      frame: from 0. Earlier frames do not depend on how many follow.

    Returns:
      float [D]. It changes by less than 0.38 times the spread in a frame.
    """
    before = after = _step(rng, spread)
    for _ in range(frame // _KNOT_EVERY + 1):
        before, after = after, _KEPT * after + _step(rng, spread)
    return before + (after - before) * _smooth_step(frame % _KNOT_EVERY / _KNOT_EVERY)


def _step(rng: np.random.Generator, spread: np.ndarray) -> np.ndarray:
    return spread * rng.normal(size=spread.shape).clip(-2, 2)


def _smooth_step(share):
    share = np.clip(share, 0.0, 1.0)
    return share * share * (3 - 2 * share)
