"""When a process starts again with large pages, and when it does not."""

import os
import sys

import pytest

from au_jax.process import large_pages


@pytest.fixture
def started(monkeypatch):
    """The programs that were started in place of this process."""
    programs = []
    monkeypatch.setattr(os, "execv", lambda path, arguments: programs.append((path, arguments)))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(sys, "orig_argv", ["python", "-X", "dev", "launch.py", "--mode=run"])
    monkeypatch.setattr(large_pages, "_PLUGINS", ("no_such_plugin",))
    monkeypatch.setenv(large_pages.VARIABLE, "to be restored")
    monkeypatch.delenv(large_pages.VARIABLE)
    return programs


def test_the_same_command_once_more(started):
    large_pages.restart_with_large_pages()
    assert started == [(sys.executable, [sys.executable, "-X", "dev", "launch.py", "--mode=run"])]
    large_pages.restart_with_large_pages()  # as the new process does
    assert len(started) == 1


def test_a_users_choice_stays(started, monkeypatch):
    monkeypatch.setenv(large_pages.VARIABLE, "")
    large_pages.restart_with_large_pages()
    assert started == []
    assert os.environ[large_pages.VARIABLE] == ""


def test_accelerators_and_other_systems_do_without(started, monkeypatch):
    monkeypatch.setattr(large_pages, "_PLUGINS", ("numpy",))
    large_pages.restart_with_large_pages()
    monkeypatch.setattr(large_pages, "_PLUGINS", ())
    monkeypatch.setattr(sys, "platform", "darwin")
    large_pages.restart_with_large_pages()
    assert started == []
