"""Split names by hand, and written as they were read."""

import pytest

from au_jax.data.split_name import SplitName
from au_jax.errors import UserError


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("opt", SplitName("opt")),
        ("opt-val", SplitName("opt", "val")),
        ("emotionet:noisy#500", SplitName("noisy", data="emotionet", records=500)),
        ("opt-expanded", SplitName("opt", expanded=True)),
        ("a:opt-val-expanded#7", SplitName("opt", "val", "a", True, 7)),
    ],
)
def test_names_by_hand(text, name):
    assert SplitName.parse(text) == name
    assert str(name) == text


def test_the_split_that_was_expanded():
    assert str(SplitName.parse("opt-val-expanded#7").unexpanded()) == "opt-val#7"
    assert SplitName.parse("opt-val").unexpanded() == SplitName.parse("opt-val")


@pytest.mark.parametrize("records", ["x", "0", ""])
def test_a_number_of_records_is_a_number(records):
    with pytest.raises(UserError, match=rf"split 'noisy#{records}' ends in #{records}; write a n"):
        SplitName.parse(f"noisy#{records}")
