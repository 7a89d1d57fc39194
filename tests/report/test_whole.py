"""Whether a report is whole: cut off, outdated, lacking a file, and what earlier ones left."""

import pytest

from au_jax.files import atomic_files
from au_jax.report import whole


def write(folder, **contents):
    with whole.replaced(folder, contents):
        for name, content in contents.items():
            (folder / name).write_text(content)


def test_what_an_earlier_report_wrote_is_deleted_and_what_others_wrote_is_not(tmp_path):
    assert not whole.is_whole(tmp_path)
    write(tmp_path, index="1", old_chart="1")
    (tmp_path / "mine").touch()
    (tmp_path / "there").mkdir()
    assert whole.is_whole(tmp_path)
    with pytest.raises(IsADirectoryError):
        write(tmp_path, cut_off="2", there="2")
    (tmp_path / "there").rmdir()
    assert not whole.is_whole(tmp_path)
    write(tmp_path, index="3")
    assert whole.is_whole(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"files.json", "index", "mine"}


def test_a_report_is_not_whole_once_it_is_outdated_or_lacks_a_file(tmp_path):
    whole.mark_outdated(tmp_path)
    assert not (tmp_path / "files.json").exists()
    write(tmp_path, index="1", chart="1")
    (tmp_path / "chart").unlink()
    assert not whole.is_whole(tmp_path)
    write(tmp_path, index="2")
    whole.mark_outdated(tmp_path)
    assert not whole.is_whole(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", '{"whole": true}', '{"whole": 1, "names": []}'])
def test_a_damaged_list_is_none(tmp_path, content):
    (tmp_path / "files.json").write_text(content)
    assert not whole.is_whole(tmp_path)
    write(tmp_path, index="1")
    assert whole.is_whole(tmp_path)


def test_no_file_outside_of_the_report_is_deleted(tmp_path):
    (tmp_path / "kept").touch()
    report = tmp_path / "report"
    atomic_files.write_json(
        report / "files.json", {"whole": True, "names": ["../kept", "/etc/none"]}
    )
    write(report, index="1")
    assert (tmp_path / "kept").exists()
