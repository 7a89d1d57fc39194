"""The systematic detector: how often it is wrong, that it is so for reasons, and that they show."""

import dataclasses

import numpy as np
import pytest

from au_jax import aus
from au_jax.data import systematic_detector
from au_jax.data.synthetic_faces.annotators import written_labels
from au_jax.data.synthetic_faces.conditions import CONDITIONS, conditions
from au_jax.data.synthetic_faces.population import AUS, COLUMN, sample_spec
from au_jax.data.systematic_detector import DETECTED, LOOKS_LIKE, SHIFTS

OWN = aus.positions(AUS, DETECTED)
PLACE = {int(au[2:]): place for place, au in enumerate(DETECTED)}


def detected(image, strength):
    return systematic_detector.detected(image.activation, conditions(image), strength, "drawn")


@pytest.fixture(scope="module")
def images():
    return [sample_spec(0, "noisy", number) for number in range(2400)]


@pytest.fixture(scope="module")
def labels(images):
    """True and detected labels, and the conditions."""
    true = np.stack([image.labels() for image in images])
    written = np.stack([detected(image, 1.0) for image in images])
    return true, written, np.stack([conditions(image) for image in images])


def neutral(**changes):
    """A face without an AU and under no condition that can be taken away."""
    image = sample_spec(0, "noisy", 0)
    person = dataclasses.replace(
        image.person, skin=np.full(3, 200.0), make_up=0.0, glasses=False, beard="none", age=0.0,
        brow_height=0.0, eye_size=1.0, corner_rest=0.0, lip_thickness=1.0,
    )  # fmt: skip
    still = {
        "person": dataclasses.replace(person, **changes.pop("person", {})),
        "activation": np.zeros(len(AUS)), "angles": np.zeros(3), "light": np.array([0.0, 0, 1]),
        "ambient": 0.7, "occluder": "none", "blur": 0.0,
    }  # fmt: skip
    return dataclasses.replace(image, **(still | changes))


def test_a_fifth_of_the_labels_is_wrong(labels):
    true, written, _ = labels
    true = true[:, OWN]
    wrong = written != true
    assert 0.18 < wrong.mean() < 0.22
    assert wrong.mean(0).min() > 0.1
    assert wrong.mean(0).max() < 0.35
    missed, invented = wrong & (true == 1), wrong & (true == 0)
    assert (missed.sum(0) > 0.1 * wrong.sum(0)).all()
    assert (invented.sum(0) > 0.1 * wrong.sum(0)).all()


def test_strength_0_is_the_truth_and_more_is_worse(images):
    true = np.stack([image.labels() for image in images[:800]])[:, OWN]
    wrong = [
        np.mean([detected(image, strength) for image in images[:800]] != true)
        for strength in (0, 0.5, 1, 1.5)
    ]
    assert wrong[0] == 0
    assert np.diff(wrong).min() > 0.03


def test_labels_depend_on_what_is_drawn_alone(images):
    for number, image in enumerate(images[:50]):
        first, second = (
            written_labels(image, seed, "noisy", place, "systematic", 1.0)
            for seed, place in ((0, number), (7, number + 1))
        )
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(first[OWN], detected(image, 1.0))
        assert (np.delete(first, OWN) == -1).all()


def test_a_mirror_image_has_the_same_labels(images):
    for image in images[:200]:
        mirrored = dataclasses.replace(
            image,
            angles=image.angles * (1, -1, -1),
            light=image.light * (-1, 1, 1),
            asymmetry=image.asymmetry[::-1],
            activation=image.activation[aus.mirror_permutation(AUS)],
        )
        np.testing.assert_array_equal(detected(image, 1.0), detected(mirrored, 1.0))


@pytest.mark.parametrize(
    ("au", "other"),
    [(6, 12), (12, 6), (1, 2), (2, 1), (4, 9), (9, 4), (26, 25), (17, 24), (20, 25)],
)
def test_aus_that_look_alike_are_confused(labels, au, other):
    true, written, _ = labels
    absent = true[:, COLUMN[au]] == 0
    invented, shown = written[absent, PLACE[au]] == 1, true[absent, COLUMN[other]] == 1
    assert LOOKS_LIKE[au][other] > 0
    assert invented[shown].mean() > 1.5 * invented[~shown].mean()


@pytest.mark.parametrize("name", SHIFTS)
def test_each_condition_shifts_what_is_seen(labels, name):
    _, written, held = labels
    column = held[:, list(CONDITIONS).index(name)]
    for au, steps in SHIFTS[name].items():
        difference = np.diff(
            [written[part, PLACE[au]].mean() for part in (column < 0.1, column > 0.9)]
        )
        assert difference * np.sign(steps) > 0, au


def test_conditions_are_read_off_the_image():
    assert not conditions(neutral()).any()
    changes = {
        "turned": {"angles": np.array([0.0, -30, 0])},
        "head up": {"angles": np.array([20.0, 0, 0])},
        "head down": {"angles": np.array([-20.0, 0, 0])},
        "hidden in part": {"occluder": "hand"},
        "dim": {"ambient": 0.35},
        "glasses": {"person": {"glasses": True}},
        "beard": {"person": {"beard": "full"}},
        "dark skin": {"person": {"skin": np.full(3, 90.0)}},
        "high brows": {"person": {"brow_height": 3.0}},
        "thin lips": {"person": {"lip_thickness": 0.7}},
    }
    for name, change in changes.items():
        held = dict(zip(CONDITIONS, conditions(neutral(**change)), strict=True))
        assert held == {condition: float(condition == name) for condition in CONDITIONS}


def test_a_dull_detector_misses_a_faint_au_and_sees_a_strong_one():
    def seen(intensity):
        activation = np.zeros(len(AUS))
        activation[COLUMN[12]] = intensity
        return detected(neutral(activation=activation), 1.0)[PLACE[12]]

    assert (seen(0), seen(2), seen(5)) == (0, 0, 1)


def test_the_tables_name_what_there_is():
    assert tuple(SHIFTS) == tuple(CONDITIONS) == systematic_detector.CONDITIONS
    for strict in systematic_detector.STRICT.values():
        assert set(LOOKS_LIKE) == set(strict) == set(PLACE)
