"""How many cores are used."""

import os

import pytest

from au_jax.errors import UserError
from au_jax.process import cores


def test_a_schedulers_limit_counts(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 7}, raising=False)
    assert cores.as_many(0, "--processes") == 3
    assert cores.as_many(8, "--processes") == 8
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores.as_many(0, "--processes") == 1


def test_fewer_than_none_are_refused():
    with pytest.raises(UserError, match=r"config.data.threads=-1 is below 0; give a number of"):
        cores.as_many(-1, "config.data.threads")
