"""The drawn faces: what is promised of the data, and that the drawing keeps to its labels."""

import dataclasses
import hashlib
import subprocess
import sys
import textwrap

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from au_jax import aus
from au_jax.data import datasets
from au_jax.data.made_splits import CLIP_SPLITS, MOST_FRAMES, SPLITS
from au_jax.data.synthetic_faces import anatomy, builder, population, time_course
from au_jax.data.synthetic_faces.annotators import error_chance, written_labels
from au_jax.data.synthetic_faces.drawing import render
from au_jax.data.synthetic_faces.population import (
    AUS,
    COLUMN,
    image_numbers,
    sample_spec,
)
from au_jax.data.synthetic_faces.worker import rendered
from au_jax.errors import UserError

INDEPENDENT = ("independent", 1.0)
TINY = {"size": 40, "opt": 16, "noisy": 24, "test": 8}
RAW = {"crops": {view: tfds.decode.SkipDecoding() for view in ("closeup", "wide")}}


def prepared(folder, **changes):
    config = builder.SyntheticFacesConfig(**(TINY | changes))
    made = builder.SyntheticFaces(data_dir=folder, file_format="array_record", config=config)
    made.download_and_prepare()
    return made


def rows(made, split):
    return {row["key"].decode(): row for row in made.as_data_source(split, decoders=RAW)}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("faces"))


def plain(number=3, **changes):
    """A neutral, frontal, clear image of a person without a fringe or a beard."""
    spec = sample_spec(0, "opt", number)
    person = dataclasses.replace(
        spec.person, hair_style="short", beard="none", glasses=False, expressiveness=1.0
    )
    still = {
        "person": person,
        "activation": np.zeros(len(AUS)),
        "asymmetry": np.ones((2, len(AUS))),
        "angles": np.zeros(3),
        "occluder": "none",
        "blur": 0.0,
        "noise": 0.0,
        "jpeg_quality": 95,
    }
    return dataclasses.replace(spec, **(still | changes))


def acting(number, intensity):
    activation = np.zeros(len(AUS))
    activation[COLUMN[number]] = intensity
    if number == 26:  # a dropped jaw shows by parted lips
        activation[COLUMN[25]] = intensity
    return activation


def drawn(spec, view="closeup", size=104):
    jpeg = np.frombuffer(render(spec, size)[view], np.uint8)
    return cv2.imdecode(jpeg, cv2.IMREAD_COLOR).astype(np.float32)


@pytest.fixture(scope="module")
def population_of_1200():
    return {split: [sample_spec(0, split, n) for n in range(1200)] for split in ("opt", "noisy")}


# -- the stored data ---------------------------------------------------------------------------


def test_stored_records_are_whole(made):
    for split in SPLITS:
        stored = rows(made, split)
        assert len(stored) == TINY[split]
        for key, row in stored.items():
            assert key.startswith(f"synthetic_faces/{split}/")
            for view in ("closeup", "wide"):
                image = cv2.imdecode(np.frombuffer(row["crops"][view], np.uint8), cv2.IMREAD_COLOR)
                assert image.shape == (40, 40, 3)
                assert image.std() > 5
            assert row["face"]
            assert 0 <= row["emotion"] < len(aus.EMOTIONS)
    assert list(made.info.metadata["aus"]) == list(aus.EMOTIONET)


def test_same_seed_same_bytes_whatever_the_workers(made, tmp_path):
    again = prepared(tmp_path, workers=2)
    assert again.data_path.name == made.data_path.name
    for split in SPLITS:
        first, second = rows(made, split), rows(again, split)
        assert list(first) == list(second)
        for key in first:
            assert first[key]["crops"] == second[key]["crops"]
            np.testing.assert_array_equal(first[key]["labels"], second[key]["labels"])


def test_a_record_does_not_depend_on_how_many_there_are():
    few = list(rendered(5, "test", 3, 40, workers=1))
    assert few == list(rendered(5, "test", 6, 40, workers=1))[:3]
    assert few != list(rendered(6, "test", 3, 40, workers=1))


# Of the images 0, 7, 8 and 1599 of each split at seed 0, as they were before there were clips: a
# hash of what is stored beside the crops, and the mean grey level of each crop.
BEFORE_CLIPS = {
    "opt": ("ef0051d0945c69ef", [145.1, 178.7, 126.5, 121.5, 99.8, 103.3, 91.0, 90.7]),
    "noisy": ("20a68e0c610257f5", [104.9, 80.8, 111.9, 112.6, 151.0, 167.2, 103.1, 107.2]),
    "test": ("9d7c893dd1bc4fbb", [92.3, 82.3, 124.6, 115.1, 82.6, 60.1, 148.9, 122.1]),
}


@pytest.mark.parametrize("split", SPLITS)
def test_clips_have_changed_no_still_image(split):
    digest, grey = hashlib.sha256(), []
    for number in (0, 7, 8, 1599):
        spec = sample_spec(0, split, number)
        config = builder.SyntheticFacesConfig(noise="independent")
        stored = builder._record(config, split, number, render(spec, 104)).example()
        for field in ("labels", "intensity", "pose"):
            digest.update(stored[field].tobytes())
        rest = [stored[field] for field in ("key", "emotion", "subject", "video", "frame")]
        digest.update(" ".join(map(str, rest)).encode())
        grey += [
            cv2.cvtColor(drawn(spec, view), cv2.COLOR_BGR2GRAY).mean()
            for view in ("closeup", "wide")
        ]
    assert digest.hexdigest()[:16] == BEFORE_CLIPS[split][0]
    np.testing.assert_allclose(grey, BEFORE_CLIPS[split][1], atol=0.5)


def test_config_names_tell_data_apart():
    config = builder.SyntheticFacesConfig
    assert config().name == "s104-opt1600-noisy3200-test600-systematic1-seed0"
    assert config(strength=0.5).name == "s104-opt1600-noisy3200-test600-systematic0.5-seed0"
    independent = config(noise="independent", strength=0.5)
    assert independent.name == "s104-opt1600-noisy3200-test600-independent-seed0"
    names = {config(**{field: 50}).name for field in ("size", "opt", "noisy", "test", "seed")}
    assert len(names | {config().name}) == 6
    assert config(workers=3).name == config(clip_frames=9).name == config().name
    clips = {config(clips=n, clip_frames=f).name for n, f in ((2, 24), (3, 24), (2, 9))}
    assert "s104-opt1600-noisy3200-test600-clips2x24-systematic1-seed0" in clips
    assert len(clips) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 8},
        {"noisy": 0},
        {"seed": -1},
        {"clips": -1},
        {"clip_frames": 0},
        {"clip_frames": 1001},
        {"strength": -0.1},
        {"noise": "random"},
    ],
)
def test_config_refuses_impossible_values(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        builder.SyntheticFacesConfig(**wrong)


def test_nobody_is_in_two_splits(made):
    people = [{row["subject"] for row in rows(made, split).values()} for split in SPLITS]
    assert sum(map(len, people)) == len(set.union(*people)) == 2 + 3 + 1


def test_truth_of_the_noisy_split(made):
    keys, names, true, conditions, held = datasets.truth(made.data_path, "noisy")
    assert tuple(names) == AUS
    assert true.dtype == np.int8
    assert set(np.unique(true)) == {0, 1}
    stored = rows(made, "noisy")
    assert sorted(keys) == sorted(stored)
    labels = np.stack([stored[key]["labels"] for key in keys])
    known = labels >= 0
    assert known.sum() == len(keys) * 12
    assert 0.5 < (labels == true)[known].mean() < 1
    assert held.shape == (len(keys), len(conditions))
    # Nothing stored beside the labels gives the truth away.
    assert all((row["intensity"] == -1).all() for row in stored.values())


def test_a_failed_generation_is_not_taken_for_a_whole_one(tmp_path, monkeypatch):
    def failing(seed, split, *rest):
        yield from rendered(seed, split, 5, *rest[1:])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(builder, "rendered", failing)
        with pytest.raises(KeyboardInterrupt):
            prepared(tmp_path)
    assert not list(tmp_path.rglob("*.npz"))
    assert len(rows(prepared(tmp_path), "noisy")) == TINY["noisy"]


def test_a_killed_generation_is_not_taken_for_a_whole_one(tmp_path):
    script = """
        import itertools, os, sys
        from au_jax.data.synthetic_faces import builder
        def killed(*arguments):
            yield from itertools.islice(builder_rendered(*arguments), 5)
            os._exit(9)
        builder_rendered, builder.rendered = builder.rendered, killed
        config = builder.SyntheticFacesConfig(size=40, opt=16, noisy=24, test=8)
        builder.SyntheticFaces(
            data_dir=sys.argv[1], file_format="array_record", config=config
        ).download_and_prepare()
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 9
    assert list(tmp_path.rglob("truth-noisy.npz"))  # it was on its way
    again = prepared(tmp_path)
    assert len(rows(again, "noisy")) == TINY["noisy"]
    assert len(datasets.truth(again.data_path, "noisy").keys) == TINY["noisy"]


def test_another_process_was_faster(tmp_path):
    config = builder.SyntheticFacesConfig(**TINY)
    slow = builder.SyntheticFaces(data_dir=tmp_path, file_format="array_record", config=config)
    original = slow._write_truth

    def overtaken():
        original()
        prepared(tmp_path)

    slow._write_truth = overtaken
    slow.download_and_prepare()
    assert len(rows(slow, "opt")) == TINY["opt"]


def test_a_child_that_dies_is_an_error(capfd):
    with pytest.raises(RuntimeError, match="ended early"):
        list(rendered(0, "no such split", 4, 40, workers=2))
    assert "ValueError" in capfd.readouterr().err  # its own message is shown


def test_only_our_bar_is_shown(tmp_path, capfd):
    prepared(tmp_path)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "96/96" in shown.err
    assert "images/s" in shown.err
    assert "Generating" not in shown.err
    assert "WARNING" not in shown.err


def test_a_drawing_process_loads_neither_jax_nor_tfds():
    code = "import sys, au_jax.data.synthetic_faces.worker; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "cv2" in loaded
    assert not {"jax", "tensorflow_datasets", "tensorflow"} & set(loaded)


# -- clips -------------------------------------------------------------------------------------

CLIPS = {"clips": 7, "clip_frames": 12}
VIDEOS = 60


@pytest.fixture(scope="module")
def made_with_clips(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("clips"), **CLIPS)


@pytest.fixture(scope="module")
def videos():
    """All frames of some videos, those that are not stored included."""
    return [
        [sample_spec(0, "clips", MOST_FRAMES * video + frame) for frame in range(48)]
        for video in range(VIDEOS)
    ]


def test_stored_clips(made_with_clips):
    for split, count in (("clips", 7), ("clips_test", 2)):
        stored = rows(made_with_clips, split)
        numbers = image_numbers(0, split, count, 12)
        assert sorted(stored) == [f"synthetic_faces/{split}/{n:06d}/0" for n in numbers]
        for number in numbers:
            row, spec = (
                stored[f"synthetic_faces/{split}/{number:06d}/0"],
                sample_spec(0, split, number),
            )
            video, frame = divmod(number, MOST_FRAMES)
            assert row["video"].decode() == row["subject"].decode() == f"{split}-{video:04d}"
            assert row["frame"] == frame
            assert row["emotion"] == spec.emotion
            np.testing.assert_array_equal(row["labels"], row["intensity"] >= 2)
            np.testing.assert_array_equal(row["intensity"], spec.intensity())
    assert made_with_clips.info.metadata["drawn"]


def test_clips_leave_the_other_splits_alone(made, made_with_clips):
    assert set(made.info.splits) == set(SPLITS)
    assert set(made_with_clips.info.splits) == {*SPLITS, *CLIP_SPLITS}
    for split in SPLITS:
        without, beside = rows(made, split), rows(made_with_clips, split)
        assert [without[key]["crops"] for key in without] == [
            beside[key]["crops"] for key in without
        ]


def test_same_clips_whatever_the_workers():
    alone, together = (list(rendered(0, "clips", 3, 40, n, frames=12)) for n in (1, 2))
    assert alone == together
    assert len(alone) == len(image_numbers(0, "clips", 3, 12))


def test_a_frame_does_not_depend_on_how_many_there_are():
    few, more = image_numbers(0, "clips", 5, 12), image_numbers(0, "clips", 9, 30)
    assert few == [n for n in more if n < 5 * MOST_FRAMES and n % MOST_FRAMES < 12]
    later, again = (render(sample_spec(4, "clips", 2029), 40) for _ in range(2))
    assert later == again
    assert later != render(sample_spec(5, "clips", 2029), 40)
    assert later != render(sample_spec(4, "clips_test", 2029), 40)


def test_some_videos_lack_a_few_frames():
    numbers = np.array(image_numbers(0, "clips", 400, 24))
    frames_of = np.bincount(numbers // MOST_FRAMES, minlength=400)
    assert set(numbers % MOST_FRAMES) == set(range(24))
    assert (numbers % MOST_FRAMES == 0).sum() == 400
    assert 0.2 < (frames_of < 24).mean() < 0.4
    assert 0.02 < 1 - len(numbers) / (400 * 24) < 0.05


def test_one_person_scene_and_camera_in_a_video(videos):
    moving = {"activation", "emotion", "angles", "gaze", "frame_noise"}
    for frames in videos:
        for field in dataclasses.fields(frames[0]):
            values = [str(getattr(spec, field.name)) for spec in frames]
            assert field.name in moving or len(set(values)) == 1, field.name
        assert len({spec.frame_noise for spec in frames}) == len(frames)


def test_nobody_is_in_two_splits_of_clips(made_with_clips):
    splits = (*SPLITS, *CLIP_SPLITS)
    people = [{row["subject"] for row in rows(made_with_clips, s).values()} for s in splits]
    assert sum(map(len, people)) == len(set.union(*people)) == 2 + 3 + 1 + 7 + 2
    skins = {str(population.sample_person(0, s, n).skin) for s in splits for n in range(3)}
    assert len(skins) == 15


def test_expressions_and_heads_move_smoothly(videos):
    activation = np.array([[spec.activation for spec in frames] for frames in videos])
    angles = np.array([[spec.angles for spec in frames] for frames in videos])
    assert np.abs(np.diff(activation, axis=1)).max() < 0.19 * 5
    assert (np.abs(np.diff(angles, axis=1)).max((0, 1)) < 0.38 * np.array([2.5, 4.0, 2.5])).all()
    # They do move: AUs come and go within a video, and no head is still.
    spans = np.ptp(activation[..., : len(aus.EXPRESSION)], axis=1)
    assert (spans.max(1) > 2).mean() > 0.7
    assert np.ptp(angles, axis=1).max(1).min() > 1


def test_an_au_rises_once_and_falls_in_an_episode():
    for seed in range(20):
        course = np.array(
            [
                time_course.rise_and_fall(np.random.default_rng(seed), 40, np.arange(5) < 3, frame)
                for frame in range(41)
            ]
        )
        assert (course[[0, 40]] == 0).all()
        steps = np.diff(course, axis=0)
        assert ((steps > 0).sum(0) > 2).all()
        for au in steps.T:
            assert np.flatnonzero(au > 0).max() < np.flatnonzero(au < 0).min()


def test_labels_of_clips_follow_what_faces_can_do(videos):
    specs = [spec for frames in videos for spec in frames]
    labels = np.stack([spec.labels() for spec in specs]) == 1
    np.testing.assert_array_equal(labels, np.stack([s.intensity() for s in specs]) >= 2)
    for first, second in ((43, 5), (24, 25), (28, 25), (18, 12), (12, 20), (12, 15), (51, 52)):
        assert not (labels[:, COLUMN[first]] & labels[:, COLUMN[second]]).any()
    assert labels[:, COLUMN[25]][labels[:, COLUMN[26]]].mean() > 0.85
    share = labels.mean(0)
    assert share.max() > 5 * share.min()


def test_a_frame_without_an_au_of_its_emotion_is_neutral(videos):
    of_a_video = [{spec.emotion for spec in frames} - {0} for frames in videos]
    assert max(map(len, of_a_video)) == 1
    assert len(set.union(*of_a_video)) > 4
    for frames, emotions in zip(videos, of_a_video, strict=True):
        for emotion in emotions:
            aus_of = np.array(
                [int(a[2:]) in population._PROTOTYPES[aus.EMOTIONS[emotion]] for a in AUS]
            )
            shown = np.array([spec.labels()[aus_of].any() for spec in frames])
            np.testing.assert_array_equal(shown, [spec.emotion == emotion for spec in frames])
    neutral = np.mean([spec.emotion == 0 for frames in videos for spec in frames])
    assert 0.3 < neutral < 0.8


def test_successive_frames_differ_a_little(videos):
    for frames in videos[:10]:
        image, after = drawn(frames[0]), drawn(frames[1])
        other = drawn(videos[-1][0])
        assert 0.1 < np.abs(image - after).mean() < 0.5 * np.abs(image - other).mean()


@pytest.mark.parametrize("number", [1, 12])
def test_aus_of_clips_show_where_they_should(videos, number):
    top, bottom, left, right = REGIONS[number]
    inside = np.zeros((104, 104), bool)
    inside[top:bottom, left:right] = True
    changes = []
    for frames in videos:
        course = np.array([spec.activation[COLUMN[number]] for spec in frames])
        offset, apex = frames[course.argmin()], frames[course.argmax()]
        hidden = offset.occluder != "none" or offset.person.hair_style == "fringe"
        if hidden or course.min() > 0.3 or course.max() < 3:
            continue
        # The same head and noise, so that the expression alone differs.
        still = {field: getattr(offset, field) for field in ("angles", "gaze", "frame_noise")}
        change = np.abs(drawn(dataclasses.replace(apex, **still)) - drawn(offset)).mean(-1)
        changes.append((change[inside].mean(), change[~inside].mean()))
    assert len(changes) >= 3
    assert all(within > beyond for within, beyond in changes)


# -- labels ------------------------------------------------------------------------------------


def test_every_au_is_frequent_enough_and_most_are_rare(population_of_1200):
    share = np.mean([p.labels() for p in population_of_1200["opt"]], 0)
    assert share.min() > 0.04
    assert np.median(share) < 0.2
    assert share.max() < 0.5


def test_labels_follow_intensities(population_of_1200):
    for spec in population_of_1200["opt"]:
        intensity = spec.intensity()
        assert intensity.min() >= 0
        assert intensity.max() <= 5
        np.testing.assert_array_equal(spec.labels() == 1, intensity >= 2)
    slight = np.mean([(p.intensity() == 1).any() for p in population_of_1200["opt"]])
    assert slight > 0.5  # absent AUs move too


def test_what_faces_cannot_do(population_of_1200):
    labels = np.stack([p.labels() for p in population_of_1200["opt"]]) == 1

    def shown(number):
        return labels[:, COLUMN[number]]

    for first, second in (
        (43, 5), (24, 25), (24, 26), (28, 25), (28, 24), (18, 12), (18, 20), (12, 20), (12, 15),
        (51, 52), (53, 54), (55, 56),
    ):  # fmt: skip
        assert not (shown(first) & shown(second)).any(), (first, second)
    assert shown(25)[shown(26)].mean() > 0.85


def test_emotions_bring_their_aus(population_of_1200):
    specs = population_of_1200["opt"]
    emotion = np.array([aus.EMOTIONS[p.emotion] for p in specs])
    labels = np.stack([p.labels() for p in specs])
    for name, number in (("happy", 12), ("surprise", 2), ("anger", 4), ("disgust", 9), ("sad", 15)):
        shown = labels[:, COLUMN[number]]
        assert shown[emotion == name].mean() > 3 * shown[emotion != name].mean()


def test_head_aus_follow_the_angles(population_of_1200):
    for spec in population_of_1200["opt"]:
        pitch, yaw, roll = spec.angles
        labels = dict(zip(AUS, spec.labels(), strict=True))
        expected = (yaw >= 15, yaw <= -15, pitch >= 12, pitch <= -12, roll >= 12, roll <= -12)
        assert tuple(labels[au] == 1 for au in aus.POSE) == expected


def test_careful_labels_are_right_where_known(population_of_1200):
    true = np.stack([p.labels() for p in population_of_1200["opt"]])
    written = np.stack(
        [
            written_labels(p, 0, "opt", n, *INDEPENDENT)
            for n, p in enumerate(population_of_1200["opt"])
        ]
    )
    unknown = written == -1
    assert 0.02 < unknown.mean() < 0.04
    np.testing.assert_array_equal(written[~unknown], true[~unknown])
    spec = sample_spec(0, "test", 0)
    np.testing.assert_array_equal(written_labels(spec, 0, "test", 0, *INDEPENDENT), spec.labels())


def test_detected_labels_err_where_faces_are_hard(population_of_1200):
    specs = population_of_1200["noisy"]
    true = np.stack([p.labels() for p in specs])
    written = np.stack(
        [written_labels(p, 0, "noisy", n, *INDEPENDENT) for n, p in enumerate(specs)]
    )
    detected = np.isin(AUS, aus.EMOTIONET_2018)
    assert (written[:, ~detected] == -1).all()
    assert (written[:, detected] >= 0).all()
    wrong = (written != true)[:, detected]
    assert 0.15 < wrong.mean() < 0.23
    per_au = wrong.mean(0)
    assert per_au.min() > 0.12
    assert per_au.max() < 0.3
    turned = np.array([np.abs(p.angles).max() > 25 for p in specs])
    hidden = np.array([p.occluder != "none" for p in specs])
    assert wrong[turned].mean() > 1.25 * wrong[~turned].mean()
    assert wrong[hidden].mean() > 1.25 * wrong[~hidden].mean()


def test_faint_aus_are_missed_and_imagined_more():
    def chance(intensity):
        return error_chance(plain(activation=acting(12, intensity)))[COLUMN[12]]

    assert chance(1.6) > chance(3) > chance(5)
    assert chance(1.4) > chance(0)


# -- the drawing -------------------------------------------------------------------------------


def test_pose_signs_in_the_image():
    nose, crown, chin = np.array([[0, 45, 110], [0, -115, 0], [0, 110, 70.0]])

    def moved(point, **angles):
        turn = np.array([angles.get(a, 0) for a in ("pitch", "yaw", "roll")])
        return anatomy.project(point, turn, 900) - anatomy.project(point, np.zeros(3), 900)

    assert moved(nose, yaw=20)[0] > 10  # to the person's left: image right
    assert moved(nose, pitch=20)[1] < -10  # up
    assert moved(crown, roll=20)[0] > 10  # the crown towards the person's left shoulder
    assert moved(chin, roll=20)[0] < 0
    np.testing.assert_allclose(
        anatomy.rotation(np.array([13.0, 24, 9])) @ anatomy.rotation(np.array([13.0, 24, 9])).T,
        np.eye(3),
        atol=1e-12,
    )


@pytest.mark.parametrize("view", ["closeup", "wide"])
def test_a_mirrored_face_is_the_mirrored_image(view):
    spec = plain(angles=np.array([5.0, 28, 14]), activation=acting(12, 4), gaze=np.zeros(2))
    spec.asymmetry[0] = 0.3
    mirrored = dataclasses.replace(
        spec,
        angles=spec.angles * (1, -1, -1),
        asymmetry=spec.asymmetry[::-1],
        light=spec.light * (-1, 1, 1),
    )
    image, other = drawn(spec, view), drawn(mirrored, view)
    face = np.s_[20:84, 24:80] if view == "closeup" else np.s_[20:56, 36:68]

    def alike(a, b):  # wherever the face has come to lie
        return cv2.matchTemplate(b, np.ascontiguousarray(a[face]), cv2.TM_CCOEFF_NORMED).max()

    flipped = np.ascontiguousarray(other[:, ::-1])
    assert alike(image, flipped) > 0.9
    assert 1 - alike(image, flipped) < 0.3 * (1 - alike(image, other))


def test_closeups_are_registered_and_wide_views_are_not():
    upright, tilted = plain(), plain(angles=np.array([0, 0, 25.0]))
    middle = np.s_[25:80, 30:74]

    def change(view):
        return np.abs(drawn(upright, view)[middle] - drawn(tilted, view)[middle]).mean()

    assert change("closeup") < 0.5 * change("wide")


# Where each AU shows, as rows and columns of the 104 px close-up.
BROWS, EYES, NOSE, MOUTH = (0, 42, 15, 89), (26, 52, 15, 89), (28, 66, 25, 79), (54, 104, 18, 86)
REGIONS = {
    1: BROWS, 2: BROWS, 4: (0, 46, 15, 89), 5: EYES, 6: (26, 66, 10, 94), 9: NOSE,
    10: (46, 84, 22, 82), 12: (44, 90, 14, 90), 15: MOUTH, 17: MOUTH, 18: MOUTH, 20: MOUTH,
    24: MOUTH, 25: MOUTH, 26: MOUTH, 28: MOUTH, 43: EYES,
}  # fmt: skip


@pytest.mark.parametrize("number", REGIONS)
def test_each_expression_au_shows_where_it_should(number):
    top, bottom, left, right = REGIONS[number]
    inside = np.zeros((104, 104), bool)
    inside[top:bottom, left:right] = True
    changes = {}
    for intensity in (1, 2, 5):
        change = 0
        for person in (3, 11, 19):
            still = drawn(plain(person))
            change = change + np.abs(
                drawn(plain(person, activation=acting(number, intensity))) - still
            )
        changes[intensity] = change.mean(-1)
        if intensity > 1:
            assert changes[intensity][inside].mean() > 3 * changes[intensity][~inside].mean()
    assert changes[5][inside].mean() > changes[2][inside].mean() > changes[1][inside].mean()


def test_head_aus_show_in_the_wide_view():
    still = drawn(plain(), "wide")
    for angles in ((15, 0, 0), (-15, 0, 0), (0, 20, 0), (0, -20, 0), (0, 0, 15), (0, 0, -15)):
        turned = drawn(plain(angles=np.array(angles, float)), "wide")
        change = np.abs(turned - still).mean(-1)
        assert change[8:70, 25:80].mean() > 3 * change[80:].mean()  # the shoulders stay


def test_hidden_faces_are_hidden():
    for kind in ("hand", "bar", "scarf", "sunglasses"):
        change = np.abs(drawn(plain(occluder=kind)) - drawn(plain())).max(-1)
        assert (change > 25).mean() > 0.01, kind


def test_blur_and_noise():
    def rough(spec):
        return np.abs(np.diff(drawn(spec), axis=0)).mean()

    assert rough(plain(blur=1.2)) < rough(plain()) < rough(plain(noise=9.0))
