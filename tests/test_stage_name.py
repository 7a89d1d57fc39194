"""Stage names, written and read."""

import pytest

from au_jax.errors import UserError
from au_jax.stage_name import StageName


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (StageName("student"), "student"),
        (StageName("student", seed=1), "student.seed1"),
        (StageName("student_2", fold=12), "student_2.fold12"),
        (StageName("student", seed=10, fold=2), "student.seed10.fold2"),
    ],
)
def test_a_stages_name_is_read_back(name, text):
    assert str(name) == text
    assert StageName.parse(text) == name
    assert StageName.parse(name.sibling("teacher")) == StageName("teacher", name.seed, name.fold)


@pytest.mark.parametrize("text", ["", ".seed1", "a.fold1.seed1", "a.seed0", "a.seed", "a.b"])
def test_other_text_is_no_stages_name(text):
    with pytest.raises(UserError, match="is no stage's name"):
        StageName.parse(text)
