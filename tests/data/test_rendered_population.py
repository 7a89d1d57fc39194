"""The population of rendered faces: what is in a picture, its labels, and that these are stable."""

import dataclasses
import itertools

import numpy as np
import pytest

from au_jax import aus
from au_jax.data import head_aus, systematic_detector
from au_jax.data.made_splits import IMAGES_PER_PERSON, MOST_FRAMES
from au_jax.data.rendered_faces import annotators, expressions, looks, settings
from au_jax.data.rendered_faces.annotators import AUS
from au_jax.data.rendered_faces.backdrops import BACKDROPS
from au_jax.data.rendered_faces.conditions import conditions
from au_jax.data.rendered_faces.occluders import OCCLUDERS
from au_jax.data.rendered_faces.population import sample_scene
from au_jax.data.rendered_faces.scene import COLUMN, NUMBERS, PRESENT_FROM, View
from au_jax.data.systematic_detector import DETECTED
from au_jax.errors import UserError

OWN = aus.positions(AUS, DETECTED)


def scene_of(number, split="noisy", look="everyday", seed=0):
    return sample_scene(look, seed, split, number)


@pytest.fixture(scope="module")
def scenes():
    return [scene_of(number) for number in range(2400)]


@pytest.fixture(scope="module")
def present(scenes):
    """Which of `NUMBERS` are there: bool [2400, N]."""
    return np.stack([scene.strength() >= PRESENT_FROM for scene in scenes])


def plain(**changes):
    """A scene whose face does nothing and looks into the camera."""
    view = View(0.0, 0.0, 0.0, np.array([0.5, 0.5]), 0.5, 80.0)
    still = {"intensity": np.zeros((len(NUMBERS), 2)), "view": view}
    return dataclasses.replace(scene_of(0), **(still | changes))


def same(one, other):
    """Whether two values of a scene's fields are equal, arrays and dataclasses within too."""
    if dataclasses.is_dataclass(one):
        return type(one) is type(other) and all(
            same(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one)
        )
    return np.array_equal(one, other)


def test_a_scene_does_not_depend_on_those_before_it(scenes):
    for number in (1700, 3, 900):
        assert same(scene_of(number), scenes[number])
    assert not same(scene_of(3, seed=1), scenes[3])
    assert not same(scene_of(3, split="opt"), scenes[3])


def test_people_have_eight_pictures_and_one_split(scenes):
    people = [scene.person.subject for scene in scenes]
    assert [people.count(p) for p in dict.fromkeys(people)] == [IMAGES_PER_PERSON] * 300
    others = {
        scene_of(number, split, look).person.subject
        for split, look in (("opt", "everyday"), ("test", "other"), ("clips", "everyday"))
        for number in range(0, 400, 8)
    }
    assert not others & set(people)
    for one, other in itertools.pairwise(scenes[:8]):
        assert same(one.person, other.person)
        assert not same(one.intensity, other.intensity)


def test_labels_are_there_from_two_steps_on_the_stronger_side():
    intensity = np.zeros((len(NUMBERS), 2))
    intensity[COLUMN[12]] = 1.9, 2.0
    intensity[COLUMN[4]] = 1.99, 0.0
    intensity[COLUMN[14]] = 4.7, 0.0
    view = View(13.0, -16.0, 11.0, np.array([0.5, 0.5]), 0.5, 80.0)
    scene = plain(intensity=intensity, view=view)
    shown = {au for au, label in zip(AUS, annotators.true_labels(scene), strict=True) if label}
    assert shown == {"AU12", "AU14", "AU52", "AU53"}
    steps = dict(zip(AUS, annotators.intensity(scene).tolist(), strict=True))
    assert (steps["AU12"], steps["AU04"], steps["AU14"]) == (2, 1, 4)
    assert (steps["AU51"], steps["AU52"], steps["AU53"], steps["AU55"]) == (0, 2, 2, 1)


def test_steps_of_the_head_are_those_of_its_angles():
    np.testing.assert_allclose(head_aus.steps(-16, 25, -60), [2.5, 0, 0, 2, 0, 5])


def test_how_often_aus_are_there(present):
    share = dict(zip(NUMBERS, present.mean(0), strict=True))
    assert min(share.values()) > 0.02
    assert max(share.values()) < 0.45
    assert share[25] > share[12] > share[28]
    # Any two of the brows and the mouth come together now and then, whatever the emotion.
    for brow in (1, 2, 4):
        for mouth in (10, 12, 15, 17, 18, 20, 23, 24, 25, 26, 28):
            assert (present[:, COLUMN[brow]] & present[:, COLUMN[mouth]]).any(), (brow, mouth)
    alone = present & (present.sum(1, keepdims=True) == 1)
    assert alone.any(0).all()


def test_aus_that_keep_each_other_out_are_never_together(present):
    for one, other in expressions.EXCLUSIVE:
        assert not (present[:, COLUMN[one]] & present[:, COLUMN[other]]).any(), (one, other)


def test_a_prototype_keeps_its_au_against_one_of_chance():
    rng = np.random.default_rng(0)
    for _ in range(20):
        assert expressions.without_exclusive(rng, {12, 15, 1}, (12,)) == {12, 1}
    kept = [expressions.without_exclusive(rng, {12, 15}, ()) for _ in range(50)]
    assert {12} in kept
    assert {15} in kept


def test_sides_differ_now_and_then(scenes):
    differ = np.mean([(np.diff(scene.intensity) != 0).any() for scene in scenes])
    assert 0.04 < differ < 0.2


def test_heads_turn_as_far_as_the_look_says(scenes):
    for name, limit in zip(("pitch", "yaw", "roll"), looks.LOOKS["everyday"].largest, strict=True):
        angles = np.array([getattr(scene.view, name) for scene in scenes])
        assert 0.6 * limit < np.abs(angles).max() <= limit
        assert np.median(np.abs(angles)) < 0.4 * limit


def test_looks_name_what_can_be_drawn():
    for look in looks.LOOKS.values():
        assert set(look.backdrops) == set(BACKDROPS)
        assert set(look.occluders) == {"none", *OCCLUDERS}


def test_frames_of_a_clip_change_little_and_do_not_depend_on_their_number():
    frames = [scene_of(3 * MOST_FRAMES + frame, "clips") for frame in range(60)]
    assert same(scene_of(3 * MOST_FRAMES + 40, "clips"), frames[40])
    assert len({frame.person.subject for frame in frames}) == 1
    strength = np.stack([frame.strength() for frame in frames])
    assert np.abs(np.diff(strength, axis=0)).max() < 0.2 * 5
    assert strength.max() > PRESENT_FROM
    yaw = np.array([frame.view.yaw for frame in frames])
    assert 0 < np.abs(np.diff(yaw)).max() < 2
    gaze = np.stack([frame.gaze for frame in frames])
    assert 0 < np.abs(np.diff(gaze, axis=0)).max() < 0.1


def test_a_fifth_of_the_detectors_labels_is_wrong(scenes):
    true = np.stack([annotators.true_labels(scene) for scene in scenes])
    written = np.stack([annotators.detected_labels(scene, 1.0) for scene in scenes])
    assert (np.delete(written, OWN, 1) == -1).all()
    wrong = written[:, OWN] != true[:, OWN]
    assert 0.18 < wrong.mean() < 0.22
    assert wrong.mean(0).min() > 0.1
    assert wrong.mean(0).max() < 0.3
    assert (np.abs(written[:, OWN].mean(0) - true[:, OWN].mean(0)) < 0.15).all()
    for scene, labels in zip(scenes[:200], true, strict=False):
        np.testing.assert_array_equal(annotators.detected_labels(scene, 0.0)[OWN], labels[OWN])


def test_conditions_are_those_of_the_detector(scenes):
    held = np.stack([conditions(scene) for scene in scenes])
    assert held.shape[1] == len(systematic_detector.CONDITIONS)
    assert held.min() >= 0
    assert held.max() <= 1
    assert (held.mean(0) > 0.05).all()  # each is the case often enough to matter
    assert (held.mean(0) < 0.6).all()


def test_settings_are_read_and_say_what_there_is():
    asked = settings.parse({"opt": "16", "noisy": "0", "test": "8", "clips": "4", "frames": "2"})
    numbers = asked.numbers()
    assert {split: len(of) for split, of in numbers.items()} == {
        "opt": 16, "test": 8, "clips": 8, "clips_test": 4,
    }  # fmt: skip
    assert numbers["clips"][:4] == [0, 1, MOST_FRAMES, MOST_FRAMES + 1]
    assert asked.look_of("clips_test") == "other"
    assert settings.parse({}) == settings.Settings()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"train": "5"}, "unknown field of --render 'train'; known: opt, noisy, test"),
        ({"opt": "-1"}, "--render has opt=-1; give a whole number from 0"),
        ({"opt": "1.5"}, "--render has opt=1.5; give a whole number"),
        ({"look": "art"}, "--render has look=art; give one of everyday, other"),
        ({"strength": "nan"}, "--render has strength=nan; give a number from 0 to 10"),
        ({"frames": "1001"}, "--render has frames=1001; give a whole number"),
        ({"opt": "0", "noisy": "0", "test": "0"}, "--render asks for no pictures; give opt"),
    ],
)
def test_settings_that_cannot_be(fields, sentence):
    with pytest.raises(UserError) as error:
        settings.parse(fields)
    assert str(error.value).startswith(sentence)
