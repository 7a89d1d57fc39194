"""The select stage: what it writes, and how one selection takes the place of another."""

import dataclasses
import shutil

import numpy as np
import pytest

from au_jax import aus
from au_jax.data.corruptions import CORRUPTIONS, CorruptedKey
from au_jax.ensemble.selection import Member, from_json
from au_jax.ensemble.smoothing import sequences, smoothed
from au_jax.errors import UserError
from au_jax.files import atomic_files
from au_jax.metrics import probabilities, summary
from au_jax.run_dir import RunFolder, Scores
from au_jax.stages.select import Rules, Select, select

MEAN = Rules("last", "mean", "default")
BEST = Rules("best", "mean", "best")
ROWS = 10 * len(CORRUPTIONS)
AUS = {"face": ("AU01", "AU12"), "head": aus.POSE[:2]}


@pytest.fixture
def run(tmp_path) -> RunFolder:
    """A run with two train stages that kept random scores of three epochs, but no models."""
    folder = RunFolder(tmp_path)
    rng = np.random.default_rng(0)
    subject = np.array([f"person{row % 5}" for row in range(ROWS)])
    for split in ("val", "test", "other", "val-expanded"):
        keys = np.array([f"{split}{row}" for row in range(ROWS)])
        for stage, names in AUS.items():
            labels = rng.integers(-1, 2, (ROWS, 2)).astype(np.int8)
            for epoch in (1, 2, 3):
                logits = (labels + rng.normal(size=(ROWS, 2))).astype(np.float32)
                scores = Scores(
                    logits, labels, np.array(names), keys, subject, keys, np.zeros(ROWS, np.int32)
                )
                folder.stage(stage).write_scores(split, epoch, scores)
    return folder


def choose(run, rules=MEAN, split="val", test=("test",), windows=(1,), crops="center"):
    stage = run.stage("chosen")
    select(
        stage,
        inputs=[(run, run.stage(name), crops) for name in AUS],
        split=split,
        test=test,
        rules=rules,
        source=None,
        mesh=None,
        threads=1,
        windows=windows,
    ).write(stage)
    stage.mark_done()
    return stage


@pytest.mark.parametrize(("more", "shown"), [((), False), (("AU10",), True), (("AU51",), True)])
def test_the_12_aus_of_2018_are_summed_up_beside_more(tmp_path, more, shown):
    run, names = RunFolder(tmp_path), (*aus.EMOTIONET_2018, *more)
    rng = np.random.default_rng(0)
    keys = np.array([f"face{row}" for row in range(ROWS)])
    for split in ("val", "test"):
        labels = rng.integers(0, 2, (ROWS, len(names))).astype(np.int8)
        logits = (labels + rng.normal(size=labels.shape)).astype(np.float32)
        frame = np.zeros(ROWS, np.int32)
        scores = Scores(logits, labels, np.array(names), keys, keys, keys, frame)
        for stage in AUS:
            run.stage(stage).write_scores(split, 1, scores)
    groups = atomic_files.read_json(choose(run).results)["test"]["groups"]
    assert ("emotionet_2018" in groups) == shown
    if shown:
        assert set(groups["emotionet_2018"]["honest"]["au"]) == set(aus.EMOTIONET_2018)


def test_an_input_may_name_its_own_crops():
    renamed = Select(inputs=("a:five_flip", "b")).renamed(lambda name: f"{name}.seed1")
    assert renamed.inputs == ("a.seed1:five_flip", "b.seed1")


def contents(stage):
    return {path.name: path.read_bytes() for path in stage.path.rglob("*") if path.is_file()}


def test_both_figures_of_the_split_that_was_chosen_on_and_one_of_another(run):
    stage = choose(run, BEST)
    results = atomic_files.read_json(stage.results)
    assert list(results) == ["val", "test"]
    printed, honest = results["val"]["as_printed"], results["val"]["honest"]
    assert printed["final_score"] > honest["final_score"]
    assert results["test"]["as_printed"] is None
    assert set(results["test"]["groups"]) == {"expression", "pose"}
    names = (*AUS["face"], *AUS["head"])
    chosen = atomic_files.read_json(stage.selection)
    assert tuple(chosen["aus"]) == tuple(honest["au"]) == names
    for au, stage_name in zip(names, ("face", "face", "head", "head"), strict=True):
        [member] = honest["au"][au]["members"]
        assert member.split("@")[0] == stage_name
    shapes = {split: atomic_files.read_arrays(stage.decided(split)) for split in results}
    assert {split: a["thresholds"].shape for split, a in shapes.items()} == {
        "val": (ROWS, 4),
        "test": (4,),
    }


def test_copies_of_an_image_of_nobody_are_judged_by_one_choice(run):
    """A copy that others were chosen on would tell of the image that is judged."""
    images = ROWS // len(CORRUPTIONS)
    keys = [str(CorruptedKey(f"x{i}", how)) for how in CORRUPTIONS for i in range(images)]
    for stage in map(run.stage, AUS):
        for epoch in (1, 2, 3):
            scores = stage.read_scores("val-expanded", epoch)
            unnamed = {"keys": np.array(keys), "subject": np.full(ROWS, "")}
            scores = dataclasses.replace(scores, **unnamed, video=np.full(ROWS, ""))
            stage.write_scores("val-expanded", epoch, scores)
    decided = atomic_files.read_arrays(
        choose(run, BEST, split="val-expanded").decided("val-expanded")
    )
    of_copies = decided["thresholds"].reshape(len(CORRUPTIONS), images, -1)
    np.testing.assert_array_equal(of_copies, np.broadcast_to(of_copies[0], of_copies.shape))
    assert len(np.unique(of_copies[0], axis=0)) > 1


def test_scores_through_other_crops_are_needed_of_chosen_epochs_alone(run):
    """The stages have no models: whatever is missing could not be computed."""
    rules = Rules("best_average", "mean", "default")

    def chosen(crops):
        stage = choose(run, rules, crops=crops)
        members = atomic_files.read_json(stage.selection)["members"]
        probabilities = atomic_files.read_arrays(stage.decided("test"))["probabilities"]
        return {member["stage"]: member["epoch"] for member in members}, probabilities

    members, centre = chosen("center")
    assert members.keys() == AUS.keys()
    for split in ("val", "test"):
        for stage in map(run.stage, AUS):
            for epoch in (1, 2, 3) if split == "val" else (members[stage.name],):
                scores = stage.read_scores(split, epoch)
                turned = dataclasses.replace(scores, logits=-scores.logits)
                # The choice on other people may be of any epoch.
                stage.write_scores(split, epoch, turned, "five")
    again, crops = chosen("five")
    assert again == members
    np.testing.assert_allclose(crops, 1 - centre, atol=1e-6)


def test_scores_through_other_crops_are_of_the_same_records(run):
    for stage in map(run.stage, AUS):
        stage.write_scores("val", 3, stage.read_scores("other", 3), "five")
    with pytest.raises(UserError, match=r"face@3:five keeps scores of other records of 'val' than"):
        choose(run, Rules("last", "mean", "best"), crops="five")


def test_without_a_choice_both_figures_are_one(run):
    results = atomic_files.read_json(choose(run).results)
    assert results["val"]["as_printed"] == results["val"]["honest"]


def test_a_calibration_changes_probabilities_and_is_judged_on_other_subjects(run, capsys):
    plain = contents(choose(run))
    results = atomic_files.read_json(run.stage("chosen").results)
    stage = choose(run, Rules("last", "mean", "default", calibration="platt"))
    calibrated = atomic_files.read_json(stage.results)
    for split in ("val", "test"):
        before, after = (r[split]["honest"] for r in (results, calibrated))
        for au, figures in before["au"].items():
            assert after["au"][au]["f1"] == pytest.approx(figures["f1"], abs=1e-9)
            assert after["au"][au]["ece"] != figures["ece"]
    assert calibrated["val"]["as_printed"]["au"] != calibrated["val"]["honest"]["au"]
    kept = from_json(atomic_files.read_json(stage.selection), "selection.json")
    assert (kept.calibration.slope > 0).all()
    assert b"calibration" not in plain["selection.json"]
    for split in ("val", "test", "other", "val-expanded"):
        scores = run.stage("face").read_scores(split, 3)
        scores.labels[:, 0] = 0
        run.stage("face").write_scores(split, 3, scores)
    capsys.readouterr()
    choose(run, Rules("last", "mean", "default", calibration="platt"))
    said = capsys.readouterr().out
    assert "not calibrated are AU01: they have fewer than 10 positives or negatives" in said


def test_an_expanded_split_is_scored_on_its_unchanged_part_too(run):
    stage = choose(run, BEST, split="val-expanded")
    results = atomic_files.read_json(stage.results)
    assert {split: figures["honest"]["n"] for split, figures in results.items()} == {
        "val-expanded": ROWS,
        "val": ROWS // len(CORRUPTIONS),
        "test": ROWS,
    }


def test_a_selection_made_again_leaves_nothing_of_the_old_one(run):
    stage = choose(run, BEST, test=("test", "other"))
    before = contents(stage)
    after = contents(choose(run))
    assert set(before) - set(after) == {"other.npz"}
    assert after["selection.json"] != before["selection.json"]
    shutil.rmtree(stage.path)
    assert contents(choose(run)) == after


def test_a_selection_that_cannot_be_made_leaves_the_old_one(run):
    stage = choose(run)
    before = contents(stage)
    with pytest.raises(UserError, match=r"stage face keeps no scores of 'gone' \(kept: other, te"):
        choose(run, split="gone")
    with pytest.raises(UserError, match="unknown combine 'vote'"):
        choose(run, Rules("last", "vote", "default"))
    assert contents(stage) == before
    assert stage.done


def test_a_selection_is_unfinished_until_all_its_files_are_written(run, monkeypatch):
    stage = choose(run)
    before = contents(stage)["selection.json"]

    def full(path, value):
        raise UserError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr(atomic_files, "write_json", full)
    with pytest.raises(UserError, match=r"results\.json: No space left"):
        choose(run, BEST)
    assert not stage.done
    assert stage.selection.read_bytes() == before


PEOPLE, FRAMES = 6, 40


@pytest.fixture
def clips(tmp_path) -> RunFolder:
    """A stage that scored frames of videos: AU01 comes and goes slowly, AU12 every other frame.

    Every second video shows two of the subjects; the frames are stored in any order.
    """
    folder = RunFolder(tmp_path)
    rng = np.random.default_rng(1)
    number = np.repeat(np.arange(PEOPLE), FRAMES)
    frame = np.tile(np.arange(FRAMES), PEOPLE)
    slow, fast = (frame // 10 + number) % 2, (frame + number) % 2
    labels = np.stack([slow, fast], 1).astype(np.int8)
    order = rng.permutation(len(frame))
    for split in ("val", "test"):
        logits = (2 * labels - 1 + rng.normal(size=labels.shape) * 2).astype(np.float32)
        scores = Scores(
            logits[order],
            labels[order],
            np.array(AUS["face"]),
            np.array([f"{split}{row}" for row in order]),
            np.array([f"person{n}" for n in number])[order],
            np.array([f"video{n // 2}" for n in number])[order],
            frame[order].astype(np.int32),
        )
        for name in AUS:
            folder.stage(name).write_scores(split, 1, scores)
    return folder


def test_a_window_is_chosen_per_au_and_applied_to_the_test_split(clips):
    stage = choose(clips, windows=(5, 1))
    chosen = from_json(atomic_files.read_json(stage.selection), "selection.json")
    assert chosen.members_per_au() == [["face@1~5", "head@1~5"], ["face@1", "head@1"]]
    scores = clips.stage("face").read_scores("test", 1)
    expected = scores.logits.copy()
    expected[:, 0] = smoothed(scores.logits, sequences(scores), 5)[:, 0]
    decided = atomic_files.read_arrays(stage.decided("test"))
    np.testing.assert_allclose(decided["probabilities"], probabilities(expected), rtol=1e-5)
    results = atomic_files.read_json(stage.results)
    plain = atomic_files.read_json(choose(clips).results)
    au01, au12 = (results["test"]["honest"]["au"][au]["f1"] for au in AUS["face"])
    assert au01 > plain["test"]["honest"]["au"]["AU01"]["f1"] + 0.05
    assert au12 == plain["test"]["honest"]["au"]["AU12"]["f1"]
    alone = summary(AUS["face"], decided["probabilities"], scores.labels, 0.5, scores.video)
    assert results["test"]["honest"]["ci"] == alone["ci"], "videos are redrawn, not persons"


def test_a_fixed_window_smooths_and_needs_no_honest_choice(clips):
    stage = choose(clips, windows=(3,))
    results = atomic_files.read_json(stage.results)
    assert results["val"]["as_printed"] == results["val"]["honest"]
    chosen = from_json(atomic_files.read_json(stage.selection), "selection.json")
    assert chosen.members == tuple(Member(".", name, 1, window=3) for name in AUS)


def test_honest_choices_never_part_a_video(clips):
    """The folds show in the thresholds: all frames of a video have those of one fold."""
    stage = choose(clips, BEST, windows=(1, 5))
    decided = atomic_files.read_arrays(stage.decided("val"))
    video = clips.stage("face").read_scores("val", 1).video
    rows = [np.unique(decided["thresholds"][video == v], axis=0) for v in np.unique(video)]
    assert [len(of_video) for of_video in rows] == [1] * (PEOPLE // 2)
    assert len(np.unique(np.concatenate(rows), axis=0)) > 1
    assert sorted(set(decided["subject"])) == ["person0", "person2", "person4"]


def test_subjects_who_all_share_videos_cannot_be_chosen_on_honestly(clips):
    for name in AUS:
        scores = clips.stage(name).read_scores("val", 1)
        scores.video[:] = "video0"
        clips.stage(name).write_scores("val", 1, scores)
    with pytest.raises(UserError, match="'val' holds one subject only, or subjects who all share"):
        choose(clips, windows=(1, 5))


@pytest.mark.parametrize(
    ("windows", "message"),
    [((), "windows of a selection is empty"), ((1, 4), "window of 4 frames")],
)
def test_windows_that_are_none_are_refused(windows, message):
    with pytest.raises(UserError, match=message):
        Select(inputs=("face",), windows=windows)
