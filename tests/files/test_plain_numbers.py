import pytest

from au_jax.files.plain_numbers import real, whole


@pytest.mark.parametrize(
    ("text", "number"), [("0", 0), ("0012", 12), ("999999999", 999_999_999), ("7", 7)]
)
def test_whole_numbers(text, number):
    assert whole(text) == number


@pytest.mark.parametrize("text", ["", "-1", "1.0", "1_0", "\u0663", "1e3", "1" * 10, "9" * 5000])
def test_what_is_no_whole_number(text):
    assert whole(text) is None


@pytest.mark.parametrize(
    ("text", "number"), [("-1.5e-3", -0.0015), ("+.5", 0.5), ("3.", 3.0), ("1E2", 100.0)]
)
def test_real_numbers(text, number):
    assert real(text) == number


@pytest.mark.parametrize(
    "text", ["", ".", "nan", "inf", "1e400", "1_0", "\u0663", "9" * 5000, "1.2.3"]
)
def test_what_is_no_real_number(text):
    assert real(text) is None
