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
        ("opt-train%10", SplitName("opt", "train", share=10.0)),
        ("opt%0.5#30", SplitName("opt", records=30, share=0.5)),
        ("gft:opt-train-expanded%12.5", SplitName("opt", "train", "gft", True, share=12.5)),
        ("opt%33.3333333", SplitName("opt", share=33.3333333)),
        ("opt%100", SplitName("opt", share=100.0)),
    ],
)
def test_names_by_hand(text, name):
    assert SplitName.parse(text) == name
    assert str(name) == text


def test_the_split_that_was_expanded():
    assert str(SplitName.parse("opt-val-expanded#7").unexpanded()) == "opt-val#7"
    assert str(SplitName.parse("opt-expanded%5").unexpanded()) == "opt%5"
    assert SplitName.parse("opt-val").unexpanded() == SplitName.parse("opt-val")


@pytest.mark.parametrize("records", ["x", "0", ""])
def test_a_number_of_records_is_a_number(records):
    with pytest.raises(UserError, match=rf"split 'noisy#{records}' ends in #{records}; write a n"):
        SplitName.parse(f"noisy#{records}")


@pytest.mark.parametrize("share", ["x", "0", "", "-5", "100.1", "nan", "inf", "10%", "10-train"])
def test_a_share_is_a_number_up_to_100(share):
    with pytest.raises(UserError, match=rf"split 'opt%{share}#2' has %{share}; write a share of 0"):
        SplitName.parse(f"opt%{share}#2")
    with pytest.raises(UserError, match=rf"ends in #2%{share}; write a number of records"):
        SplitName.parse(f"opt#2%{share}")
