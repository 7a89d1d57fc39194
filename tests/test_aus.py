import numpy as np
import pytest

from au_jax import aus
from au_jax.errors import UserError


def test_groups_of_emotionet():
    assert len(aus.EMOTIONET) == 23
    assert aus.group(aus.EMOTIONET, "expression") == aus.EXPRESSION
    assert aus.group(aus.EMOTIONET, "pose") == ("AU51", "AU52", "AU53", "AU54", "AU55", "AU56")
    assert set(aus.EMOTIONET_2018) <= set(aus.EXPRESSION)
    with pytest.raises(UserError, match="unknown AU group 'face'; known: expression, pose, emo"):
        aus.group(aus.EMOTIONET, "face")


def test_names_from_numbers():
    assert aus.names(1, 12) == ("AU01", "AU12")


def test_align_by_name_with_unknown_for_missing():
    labels = np.array([[1, 0, -1], [0, 1, 1]], np.int8)
    aligned = aus.align(labels, ("AU01", "AU04", "AU12"), ("AU12", "AU99", "AU01"))
    np.testing.assert_array_equal(aligned, [[-1, -1, 1], [1, -1, 0]])
    assert aligned.dtype == np.int8


def test_mirror_swaps_left_and_right_only():
    names = ("AU12", "AU51", "AU52", "AU53", "AU55", "AU56")
    order = aus.mirror_permutation(names)
    np.testing.assert_array_equal(order, [0, 2, 1, 3, 5, 4])
    np.testing.assert_array_equal(order[order], range(6))
    np.testing.assert_array_equal(aus.mirror_known(("AU12", "AU51")), [True, False])


def test_unknown_and_repeated_names_are_refused():
    with pytest.raises(UserError, match="unknown AU 'AU1'"):
        aus.check(("AU1",))
    with pytest.raises(UserError, match="AU02"):
        aus.check(("AU02", "AU02"))
