"""Units: neither a subject nor a video is parted, and nothing is joined without need."""

import numpy as np

from au_jax import metrics
from au_jax.data.units import only_one, units


def _by_flooding(subject, video):
    """Groups of rows, by joining rows that share a name until nothing changes."""
    group = list(range(len(subject)))
    changed = True
    while changed:
        changed = False
        for names in (subject, video):
            for i in range(len(names)):
                for j in range(i):
                    if names[i] and names[i] == names[j] and group[i] != group[j]:
                        group[i] = group[j] = min(group[i], group[j])
                        changed = True
    return group


def test_units_are_the_connected_parts_of_subjects_and_videos():
    several = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        subject = rng.choice(["", "p", "q", "r", "s", "t", "u"], 25)
        video = rng.choice(["", "", "", "a", "b", "c", "d", "e", "f", "g"], 25)
        number = metrics.subject_numbers(units(subject, video), 25)
        expected = np.array(_by_flooding(subject.tolist(), video.tolist()))
        same = number[:, None] == number[None]
        np.testing.assert_array_equal(same, expected[:, None] == expected[None])
        several += len(set(expected.tolist())) > 2
    assert several > 10


def test_units_are_the_subjects_where_no_video_has_several():
    subject = np.array(["q", "p", "", "p", "q"])
    video = np.array(["v1", "v2", "", "v3", ""])
    np.testing.assert_array_equal(units(subject, video), subject)
    np.testing.assert_array_equal(units(subject, np.full(5, "")), subject)


def test_frames_of_a_video_without_named_people_are_one_unit():
    names = units(np.array(["", "", "", "q"]), np.array(["v", "", "v", "w"]))
    assert names.tolist() == ["video v", "", "video v", "q"]
    joined = units(np.array(["", "q", "p"]), np.array(["v", "v", "v"]))
    assert joined.tolist() == ["p", "p", "p"]


def test_one_named_unit_is_one_only_and_records_that_name_nobody_are_not():
    assert only_one(np.array(["a", "a"]))
    assert not only_one(np.array(["a", "b"]))
    assert not only_one(np.array(["a", ""]))
    assert not only_one(np.array(["", ""]))
    assert not only_one(np.array([], np.str_))
