"""Functions outside the package are found by name, and what is missing is said."""

import pytest

from au_jax import outside
from au_jax.errors import UserError


@pytest.fixture
def nets(tmp_path, monkeypatch):
    (tmp_path / "outside_nets.py").write_text("size = 3\n\ndef tiny():\n    return size\n")
    (tmp_path / "outside_broken.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_the_function_is_returned(nets):
    assert outside.resolve("backbone", "outside_nets:tiny")() == 3


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("tiny", "method 'tiny' does not name a function; write it as"),
        ("outside_nets:", "does not name a function"),
        (".outside_nets:tiny", "does not name a function"),
        ("no_such_nets:tiny", "there is no module 'no_such_nets'; install it"),
        ("outside_nets.deep:tiny", r"there is no module 'outside_nets\.deep'"),
        ("outside_nets:huge", "the module 'outside_nets' has no function 'huge'"),
        ("outside_nets:size", "has no function 'size'"),
    ],
)
def test_what_is_missing_is_said(nets, reference, message):
    with pytest.raises(UserError, match=message):
        outside.resolve("method", reference)


def test_a_missing_import_of_the_module_itself_is_shown_whole(nets):
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        outside.resolve("backbone", "outside_broken:tiny")
