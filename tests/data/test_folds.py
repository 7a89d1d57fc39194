import pytest

from au_jax.data.folds import PUBLISHED, Folds, read_folds
from au_jax.errors import UserError


@pytest.mark.parametrize(("name", "count"), [("bp4d", 41), ("disfa", 27)])
def test_published_folds_part_all_subjects(name, count):
    folds = PUBLISHED[name]
    tested = [subject for of_one in folds.tested for subject in of_one]
    assert len(tested) == len(set(tested)) == count
    for fold in (1, 2, 3):
        train, test = folds.subjects(fold, "train"), folds.subjects(fold, "test")
        assert not train & test
        assert len(train | test) == count


def test_published_order():
    assert "F007" in PUBLISHED["bp4d"].subjects(1, "test")  # fold 1 tests the third list
    assert "SN002" in PUBLISHED["disfa"].subjects(3, "test")
    assert {s[0] for s in PUBLISHED["bp4d"].tested[0]} == {"F", "M"}


def test_own_folds(tmp_path):
    path = tmp_path / "folds.csv"
    path.write_bytes(b"fold,subject\r\n2,a\r\n1,b\r\n1,c\r\n")
    folds = read_folds(path)
    assert folds == Folds((("b", "c"), ("a",)))
    assert folds.subjects(2, "train") == {"b", "c"}
    assert folds.unlisted(["a", "z"]) == ["z"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("subject,group\na,1\n", "needs the columns 'subject' and 'fold'"),
        ("subject,fold\na,1\na,2\n", "line 3: subject a is listed twice"),
        ("subject,fold\na,0\n", "line 2: give a subject and a fold"),
        ("subject,fold\na,1\nb,3\n", "without a gap"),
        ("subject,fold\na,1\n", "at least two folds"),
    ],
)
def test_bad_fold_files(tmp_path, text, sentence):
    (tmp_path / "f.csv").write_text(text)
    with pytest.raises(UserError, match=sentence):
        read_folds(tmp_path / "f.csv")


def test_unknown_fold():
    with pytest.raises(UserError, match="unknown fold '4'; known: 1, 2, 3"):
        PUBLISHED["bp4d"].subjects(4, "train")
