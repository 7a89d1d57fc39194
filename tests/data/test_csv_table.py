import os

import pytest

from au_jax.data.csv_table import read_table
from au_jax.errors import UserError


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r", "\r\r\n", "\n\n"])
def test_rows_of_any_line_ends(tmp_path, ends):
    (tmp_path / "t.csv").write_bytes(ends.join(["a, b", '"x,y",2', ""]).encode("utf-8-sig"))
    rows = [fields for _, fields in read_table(tmp_path / "t.csv")]
    assert rows == [["a", "b"], ["x,y", "2"]]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'a,b\n"x,1\ny,2\nz,3\n', "a quotation mark that opens on a line closes on line 4 or"),
        (b'a,b\n"x,1\ny",2\nz,3\n', "closes on line 3 or never; delete it"),
        ("a,b\nx,1\n".encode("utf-16"), "null characters, as UTF-16 has; save it as UTF-8"),
        (b"a,b\n" + b"x" * 200_000, "is not a text table"),
    ],
)
def test_tables_that_would_be_misread(tmp_path, content, sentence):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(UserError, match=f"t.csv.*{sentence}"):
        list(read_table(tmp_path / "t.csv"))


def test_a_table_that_is_no_regular_file(tmp_path):
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(UserError, match=r"t\.csv cannot be read \(it is a folder, a named pipe"):
        list(read_table(tmp_path / "t.csv"))
