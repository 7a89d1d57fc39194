"""Files that are there whole or not at all."""

import json

import pytest

from au_jax.files import atomic_files


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "some.json"

    def write_half():
        with atomic_files.replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    atomic_files.write_json(path, {"old": 1})
    with pytest.raises(TypeError):
        atomic_files.write_json(path, {"new": object()})
    with pytest.raises(RuntimeError):
        write_half()
    assert json.loads(path.read_text()) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["some.json"]


def test_a_folder_is_there_whole_or_not_at_all_and_what_a_kill_left_of_it_goes(tmp_path):
    path, killed = tmp_path / "some", tmp_path / ".unfinished-1234.some"

    def write(fails):
        with atomic_files.replacing(path) as temporary:
            temporary.mkdir()
            (temporary / "file").write_text("whole")
            if fails:
                raise RuntimeError

    with pytest.raises(RuntimeError):
        write(fails=True)
    assert not list(tmp_path.iterdir())
    path.mkdir()  # an empty one may be there
    write(fails=False)
    assert (path / "file").read_text() == "whole"
    killed.mkdir()
    (killed / "file").write_text("half")
    atomic_files.sweep_beside(path.parent, [path.name])
    assert list(tmp_path.iterdir()) == [path]
