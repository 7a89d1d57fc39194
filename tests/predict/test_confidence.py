"""The confidence in a face falls with what can be seen to speak against it, and says so."""

import numpy as np
import pytest

from au_jax.ensemble.selection import Member, Selection
from au_jax.faces.face import Face
from au_jax.predict.confidence import confidence, disagreements, doubts, grounds


def face(side=100.0, found=0.9, pose=(0.0, 0.0, 0.0)):
    box = np.array([0, 0, side + 20, side], np.float32)
    return Face(box, found, np.zeros((68, 2), np.float32), np.array(pose, np.float32))


@pytest.mark.parametrize(
    ("given", "expected", "said"),
    [
        ({}, 0.9, ""),
        ({"found": 0.6}, 0.6, "not surely found"),
        ({"side": 40.0}, 0.45, "small"),  # half the way from 64 to 16 pixels
        ({"side": 10.0}, 0.0, "small"),
        ({"pose": (0.0, -57.5, 0.0)}, 0.45, "turned"),  # half the way from 35 to 80 degrees
        ({"pose": (-42.5, 10.0, 90.0)}, 0.45, "turned"),  # roll is straightened by the crop
        ({"pose": (np.nan, np.nan, np.nan)}, 0.9, ""),
        ({"side": 40.0, "pose": (0.0, 57.5, 0.0)}, 0.225, "small; turned"),
    ],
)
def test_grounds_by_hand(given, expected, said):
    of = grounds(face(**given), disagreement=0.0)
    assert confidence(of) == pytest.approx(expected)
    assert doubts(of) == said


def test_members_that_part_are_doubted():
    of = grounds(face(), disagreement=0.5)
    assert confidence(of) == pytest.approx(0.45)
    assert doubts(of) == "members disagree"


def test_disagreement_is_of_the_members_that_vote_on_an_au():
    members = tuple(Member(".", "a", epoch) for epoch in (1, 2, 3))
    weights = np.array([[1, 1], [1, 0], [0, 1]], float)
    chosen = Selection(("AU01", "AU12"), members, weights, np.zeros(2), "probability", np.ones(2))
    aus = [("AU01", "AU12"), ("AU12", "AU01"), ("AU12",)]
    high, low = 50.0, -50.0
    logits = [
        np.array([[high, low], [low, low]]),
        np.array([[high, low], [high, low]]),  # of AU12 first, which it has no vote on
        np.array([[low], [low]]),
    ]
    # The two on AU01 part on the first face; those on AU12 never do.
    np.testing.assert_allclose(disagreements(chosen, aus, logits), [0.5, 0.0], atol=1e-9)
    alone = Selection(("AU01",), members[:1], np.ones((1, 1)), np.zeros(1), "logit", np.ones(1))
    np.testing.assert_array_equal(disagreements(alone, aus[:1], logits[:1]), [0, 0])
