"""Splits by name: parts, folds, draws, thresholds on intensities."""

import numpy as np
import pytest

from au_jax.data.corruptions import CORRUPTIONS
from au_jax.data.splits import Splits
from au_jax.errors import UserError


def splits(folder, **fields):
    return Splits(lambda name: folder, 0.25, 0, **fields)


def keys(source):
    return set(source.table.keys.tolist())


def test_a_draw_is_the_same_again_and_no_larger_than_the_split(tiny_faces):
    some = splits(tiny_faces).open("noisy#10", "closeup")
    assert (len(some), some.name) == (10, "noisy#10")
    assert keys(some) == keys(splits(tiny_faces).open("noisy#10", "closeup"))
    assert keys(some) < keys(splits(tiny_faces).open("noisy", "closeup"))
    with pytest.raises(UserError, match=r"asks for 41 records, but there are 40"):
        splits(tiny_faces).open("noisy#41", "closeup")


def test_expanded_is_four_times_the_part(tiny_faces):
    plain, four = (
        splits(tiny_faces).open(name, "closeup") for name in ("opt-val", "opt-val-expanded")
    )
    assert len(four) == len(CORRUPTIONS) * len(plain)
    assert four.table.keys[: len(plain)].tolist() == plain.table.keys.tolist()


def test_random_folds_part_whole_subjects_and_differ(tiny_faces):
    parted = splits(tiny_faces, count=3)
    tested = []
    for fold in (1, 2, 3):
        train, test = (parted.open(f"opt-{part}", "closeup", fold) for part in ("train", "test"))
        assert not set(train.table.subject) & set(test.table.subject)
        assert len(train) + len(test) == 48
        tested.append(frozenset(keys(test)))
    assert len(set(tested)) == 3
    with pytest.raises(UserError, match=r"'opt-val' is no part of a fold; write opt-train or"):
        parted.open("opt-val", "closeup", 1)


def fold_file(tmp_path, subjects, folds=2):
    path = tmp_path / "folds.csv"
    lines = [f"{subject},{1 + n % folds}\n" for n, subject in enumerate(subjects)]
    path.write_text("subject,fold\n" + "".join(lines))
    return path


def test_a_users_folds(tiny_faces, tmp_path):
    subjects = sorted(set(splits(tiny_faces).open("opt", "closeup").table.subject.tolist()))
    parted = splits(tiny_faces, folds=str(fold_file(tmp_path, subjects)), count=2)
    first, second = (parted.open("opt-test", "closeup", fold) for fold in (1, 2))
    assert set(first.table.subject) == set(subjects[::2])
    assert keys(first) == keys(parted.open("opt-train", "closeup", 2))
    assert not keys(first) & keys(second)


@pytest.mark.parametrize(
    ("change", "count", "sentence"),
    [
        (
            lambda subjects: [*subjects, "nobody"],
            2,
            r"names 1 subjects that 'opt' lacks, the first 'nobody'",
        ),
        (lambda subjects: subjects[1:], 2, r"puts 1 subjects of 'opt' into no fold"),
        (lambda subjects: subjects, 3, r"has 2 folds; set config\.folds to 2"),
    ],
)
def test_wrong_fold_files_are_refused(tiny_faces, tmp_path, change, count, sentence):
    subjects = sorted(set(splits(tiny_faces).open("opt", "closeup").table.subject.tolist()))
    path = fold_file(tmp_path, change(subjects))
    with pytest.raises(UserError, match=sentence):
        splits(tiny_faces, folds=str(path), count=count).open("opt-test", "closeup", 1)


def test_published_folds_are_of_the_data_sets_that_have_them(tiny_faces):
    with pytest.raises(UserError, match=r"no lists are published for .* \(there are for bp4d, dis"):
        splits(tiny_faces, folds="published", count=3).open("opt-test", "closeup", 1)


def test_intensities_decide_where_they_are_known(tiny_faces):
    stored = splits(tiny_faces).open("opt", "closeup").table
    strict = splits(tiny_faces, present_from=4).open("opt", "closeup").table
    known = stored.intensity >= 0
    np.testing.assert_array_equal(strict.labels[known], (stored.intensity >= 4)[known])
    np.testing.assert_array_equal(strict.labels[~known], stored.labels[~known])
    assert (strict.labels == 1).sum() < (stored.labels == 1).sum()
