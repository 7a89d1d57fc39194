"""Splits by name: parts, folds, draws, thresholds on intensities."""

import dataclasses

import numpy as np
import pytest

from au_jax.data import splits as data_splits
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


def test_shares_are_whole_subjects_and_hold_the_smaller_ones(tiny_faces):
    whole = splits(tiny_faces).open("opt-train", "closeup")
    subjects = whole.table.subject
    inner = frozenset()
    for share in (1, 10, 30, 60, 100):
        name = f"opt-train%{share}"
        part = splits(tiny_faces).open(name, "closeup")
        drawn = set(part.table.subject.tolist())
        assert part.name == name
        assert len(part) == np.isin(subjects, list(drawn)).sum(), "whole subjects"
        assert keys(part) >= inner
        inner = keys(part)
        # No subject more than are needed to reach the share.
        largest = max((subjects == s).sum() for s in drawn)
        assert share / 100 * len(whole) <= len(part) < share / 100 * len(whole) + largest
    assert inner == keys(whole)
    drawn = {
        seed: keys(Splits(lambda name: tiny_faces, 0.25, seed).open("opt%30", "closeup"))
        for seed in (0, 1)
    }
    assert drawn[0] != drawn[1]


def test_records_are_drawn_from_a_share(tiny_faces):
    share, drawn = (splits(tiny_faces).open(f"opt%50{n}", "closeup") for n in ("", "#5"))
    assert len(drawn) == 5
    assert keys(drawn) < keys(share)


def test_a_share_of_a_fold_and_of_an_expanded_split(tiny_faces):
    parted = splits(tiny_faces, count=3)
    fold = parted.open("opt-train", "closeup", 2)
    assert keys(parted.open("opt-train%40", "closeup", 2)) < keys(fold)
    plain, four = (
        splits(tiny_faces).open(f"opt-train{e}%40", "closeup") for e in ("", "-expanded")
    )
    assert len(four) == len(CORRUPTIONS) * len(plain)
    assert four.table.keys[: len(plain)].tolist() == plain.table.keys.tolist()


def all_are(subject, monkeypatch):
    """From now on every record of a split that is opened names this subject alone."""
    opened = data_splits.open_source

    def of_one(*arguments):
        source = opened(*arguments)
        same = np.full(len(source.table.keys), subject)
        return dataclasses.replace(source, table=dataclasses.replace(source.table, subject=same))

    monkeypatch.setattr(data_splits, "open_source", of_one)


def test_a_share_of_one_subject_is_refused(tiny_faces, monkeypatch):
    all_are("only", monkeypatch)
    with pytest.raises(UserError, match=r"'opt%50' asks for a share .* name one only, .*#RECORDS"):
        splits(tiny_faces).open("opt%50", "closeup")
    assert len(splits(tiny_faces).open("opt#5", "closeup")) == 5


def test_a_share_of_records_that_name_nobody_is_one_of_the_records(tiny_faces, monkeypatch):
    all_are("", monkeypatch)
    whole = splits(tiny_faces).open("opt", "closeup")
    half, most = (splits(tiny_faces).open(f"opt%{share}", "closeup") for share in (50, 90))
    assert len(half) == len(whole) / 2
    assert keys(half) < keys(most) < keys(whole)


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
