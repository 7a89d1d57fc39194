"""Names and files of a run."""

import numpy as np
import pytest

from au_jax.errors import UserError
from au_jax.files import atomic_files
from au_jax.run_dir import FirstFold, ScoredSplit, Scores, StageFolder
from au_jax.stage_name import StageName


def test_a_stage_has_a_name_on_each_fold(tmp_path):
    assert StageName("a", seed=1).on_folds(0) == ["a.seed1"]
    assert StageName("a", seed=1).on_folds(2) == ["a.seed1.fold1", "a.seed1.fold2"]
    for folds, folder in ((0, "a"), (2, "a.fold1")):
        stage = FirstFold(tmp_path, folds).stage("a")
        assert (stage.path.name, stage.in_config) == (folder, "a")
    assert FirstFold(tmp_path, 2).stage("a.fold2").path.name == "a.fold2"


def test_a_scored_split_is_read_back():
    for scored, text in ((ScoredSplit("test"), "test"), (ScoredSplit("test", "five"), "test@five")):
        assert str(scored) == text
        assert ScoredSplit.parse(text) == scored


def test_scores_through_other_crops_lie_beside_those_of_the_centre(tmp_path):
    folder = StageFolder(tmp_path / "stage")
    assert folder.scored_splits() == []
    columns = {name: np.array(["a", "b"]) for name in ("keys", "subject", "video")}
    for crops, logit in (("center", 1.0), ("five_flip", 2.0)):
        logits = np.full((2, 1), logit, np.float32)
        labels, frame = np.zeros((2, 1), np.int8), np.zeros(2, np.int32)
        scores = Scores(
            logits=logits, labels=labels, aus=np.array(["AU01"]), frame=frame, **columns
        )
        folder.write_scores("test", 7, scores, crops)
    assert (folder.path / "scores" / "test" / "7.npz").exists()
    assert (folder.path / "scores" / "test@five_flip" / "7.npz").exists()
    assert folder.read_scores("test", 7).logits.max() == 1
    assert folder.read_scores("test", 7, "five_flip").logits.min() == 2
    assert folder.scored_splits() == ["test"]


def test_what_killed_processes_left_half_written_is_swept_away(tmp_path):
    folder = StageFolder(tmp_path / "stages" / "a")
    kept = [folder.model / "1" / ".unfinished-0.x", folder.settings, tmp_path / ".mine"]
    for path in (*kept, folder.path / ".123.metrics", tmp_path / ".unfinished-a1.config.json"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    atomic_files.sweep(tmp_path)
    assert {p for p in tmp_path.rglob("*") if p.is_file()} == set(kept)


def some_scores(**changes):
    arrays = {
        "logits": np.zeros((2, 1), np.float32),
        "labels": np.zeros((2, 1), np.int8),
        "aus": np.array(["AU01"]),
        **{name: np.array(["a", "b"]) for name in ("keys", "subject", "video")},
        "frame": np.zeros(2, np.int32),
    }
    return Scores(**{**arrays, **changes})


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"logits": np.full((2, 1), np.nan)}, "not all values of its array 'logits' are finite"),
        ({"labels": np.full((2, 1), 7)}, "not all values of its array 'labels' are 1, 0 or -1"),
        ({"aus": np.array(["AU99"])}, "not all values of its array 'aus' are different AUs"),
        ({"keys": np.array(["a"])}, "its arrays 'logits' and 'keys' have 2 and 1 entries"),
        ({"logits": np.zeros(2)}, r"its array 'logits' is float64 \[2\]"),
        ({"video": np.zeros(2)}, r"its array 'video' is float64 \[2\]"),
    ],
)
def test_scores_that_cannot_be_are_refused(tmp_path, changes, fault):
    folder = StageFolder(tmp_path)
    folder.write_scores("test", 1, some_scores(**changes))
    with pytest.raises(UserError, match=rf"test/1.npz is damaged, as {fault}"):
        folder.read_scores("test", 1)


def test_scores_of_another_run_among_those_of_a_stage_are_found(tmp_path):
    folder = StageFolder(tmp_path)
    folder.write_scores("test", 1, some_scores())
    for name, other in (
        ("keys", np.array(["a", "c"])),
        ("labels", np.ones((2, 1), np.int8)),
        ("aus", np.array(["AU02"])),
    ):
        folder.write_scores("test", 2, some_scores(**{name: other}))
        with pytest.raises(UserError, match=rf"1.npz and .*2.npz hold scores of different {name}"):
            folder.read_epochs("test", (1, 2))


def test_a_file_that_is_no_archive_or_was_cut_is_damaged(tmp_path):
    folder = StageFolder(tmp_path)
    folder.write_scores("test", 1, some_scores())
    path = folder.scores("test", 1)
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], whole[100:], b"\x80\x04N."):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"1.npz is damaged"):
            folder.read_scores("test", 1)
    path.unlink()
    path.mkdir()  # whoever may not read it should not delete the work
    with pytest.raises(UserError, match=r"1.npz cannot be read: Is a directory$"):
        folder.read_scores("test", 1)
