import dataclasses

import numpy as np
import pytest

from au_jax.ensemble.selection import Member, Selection, to_json
from au_jax.errors import UserError
from au_jax.files import atomic_files
from au_jax.run_dir import Scores, StageFolder
from au_jax.stages.base import StageContext
from au_jax.stages.filter_labels import FilterLabels, filtered

AUS = ("AU01", "AU12")
#                                 AU01  AU12
PROBABILITIES = np.array([[0.95, 0.05], [0.95, 0.5], [0.05, 0.89], [0.91, 0.92]], np.float32)
LABELS = np.array([[1, 0], [0, 1], [0, 1], [-1, 0]], np.int8)
# Agreed and sure; agreed by 0.5 only or not at all; sure, then not sure enough; unknown, disagreed.
KEPT = np.array([[1, 0], [-1, -1], [0, -1], [-1, -1]], np.int8)


def test_filtered_by_hand():
    np.testing.assert_array_equal(filtered(LABELS, PROBABILITIES, 0.9), KEPT)
    # Above 0.5 agreement alone decides; a probability of exactly 0.5 has no confidence.
    at_half = [[1, 0], [-1, -1], [0, 1], [-1, -1]]
    np.testing.assert_array_equal(filtered(LABELS, PROBABILITIES, 0.5), at_half)
    # The confidence must be above the threshold, not at it.
    edge = np.array([[0.75]], np.float32)
    np.testing.assert_array_equal(filtered(np.int8([[1]]), edge, 0.75), [[-1]])
    # The model's own decision counts, whatever its threshold.
    late = filtered(LABELS, PROBABILITIES, 0.9, np.array([0.99, 0.5]))
    np.testing.assert_array_equal(late[:, 0], [-1, 0, 0, -1])


def teacher(tmp_path):
    """A select stage over two stages, each of which knows and scored one AU of "noisy"."""
    logits = np.log(PROBABILITIES / (1 - PROBABILITIES))
    for a, stage in enumerate(("one", "two")):
        scores = Scores(
            logits=logits[:, [a]],
            labels=LABELS[:, [a]],
            aus=np.array(AUS[a : a + 1]),
            keys=np.array(["w", "x", "y", "z"]),
            subject=np.array([""] * 4),
            video=np.array([""] * 4),
            frame=np.zeros(4, np.int32),
        )
        StageFolder(tmp_path / "stages" / stage).write_scores("noisy", 3, scores)
    folder = StageFolder(tmp_path / "stages" / "both")
    chosen = Selection(
        aus=AUS,
        members=(Member(".", "one", 3), Member(".", "two", 3)),
        weights=np.eye(2),
        bias=np.zeros(2),
        link="probability",
        thresholds=np.full(2, 0.5),
    )
    atomic_files.write_json(folder.selection, to_json(chosen))
    return folder


def run(tmp_path, threshold):
    folder = StageFolder(tmp_path / "stages" / "filter")
    unused = dict.fromkeys(field.name for field in dataclasses.fields(StageContext))
    given = {"folder": folder, "input": lambda name: teacher(tmp_path)}
    FilterLabels("both", "noisy", threshold).run(StageContext(**{**unused, **given}))
    return atomic_files.read_arrays(folder.labels("noisy"))


def test_images_with_nothing_left_are_dropped(tmp_path, capsys):
    written = run(tmp_path, 0.9)
    assert written.keys() == {"keys", "aus", "labels", "probabilities"}
    assert written["keys"].tolist() == ["w", "y"]
    assert written["aus"].tolist() == list(AUS)
    assert written["labels"].dtype == np.int8
    np.testing.assert_array_equal(written["labels"], KEPT[[0, 2]])
    np.testing.assert_allclose(written["probabilities"], PROBABILITIES[[0, 2]], atol=1e-6)
    said = capsys.readouterr()
    assert "2 of 4 images and 3 of 7 labels of noisy confirmed by both above 0.9" in (
        said.out + said.err
    )
    assert "AU01 2 of 3, AU12 1 of 4" in said.out + said.err


def test_mistakes_are_named(tmp_path):
    with pytest.raises(UserError, match=r"threshold 1.5 of stage filter is not a confidence"):
        run(tmp_path, 1.5)
    with pytest.raises(UserError, match=r"no label of split 'noisy' .* lower the threshold"):
        run(tmp_path, 0.99)
