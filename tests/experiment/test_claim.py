"""Stages of one run shared out among processes: each is run once, after those that it reads."""

import dataclasses
import threading

import pytest

from au_jax.errors import UserError
from au_jax.experiment import claim
from au_jax.files import lock
from au_jax.run_dir import RunFolder
from au_jax.stages import Stage

# Of each stage, what it reads.
READS = {"teacher": (), "labels": ("teacher",), "student": ("labels",), "rival": (), "row": ()}


@dataclasses.dataclass(frozen=True)
class Reading(Stage):
    reads: tuple[str, ...]

    def renamed(self, rename):
        return Reading(tuple(rename(name) for name in self.reads))

    def run(self, context):
        raise AssertionError("run by the test itself")


@dataclasses.dataclass(frozen=True)
class Stages:
    """As much of a recipe as sharing needs."""

    run: RunFolder
    names: tuple[str, ...] = tuple(READS)

    def stage(self, name):
        return Reading(READS[name])


@pytest.fixture
def stages(tmp_path, monkeypatch):
    monkeypatch.setattr(claim, "_LOOK_AGAIN", 0.001)
    return Stages(RunFolder(tmp_path / "run"))


def test_two_processes_run_every_stage_once_and_none_before_what_it_reads(stages):
    begun, both = [], threading.Barrier(2, timeout=60)

    def work():
        with claim.claimed(stages.run, share=True):
            both.wait()
            for name in claim.stages_in_turn(stages):
                assert all(stages.run.stage(read).done for read in READS[name])
                begun.append(name)
                if name in ("teacher", "rival"):
                    both.wait()  # Ends only when the other process runs the other one.
                stages.run.stage(name).mark_done()

    processes = [threading.Thread(target=work) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert sorted(begun) == sorted(READS)


def test_what_a_process_leaves_undone_is_taken_by_the_next_and_swept(stages):
    with claim.claimed(stages.run, share=True):
        ended = claim.stages_in_turn(stages)
        assert next(ended) == "teacher"
        # While it runs, others take what does not wait for it, and say who runs it.
        assert next(claim.stages_in_turn(stages)) == "rival"
        left = stages.run.stage("teacher").path / ".unfinished-0123abcd.stage.json"
        left.touch()
        ended.close()
        assert next(claim.stages_in_turn(stages)) == "teacher"
        assert not left.exists()


def test_who_waits_says_for_whom_once(stages, monkeypatch, capsys):
    looks = []

    def look(seconds):
        looks.append(seconds)
        if len(looks) == 3:
            holder.close()
            for name in READS:
                stages.run.stage(name).mark_done()

    for name in ("rival", "row"):
        stages.run.stage(name).path.mkdir(parents=True)
        stages.run.stage(name).mark_done()
    holder = claim.stages_in_turn(stages)
    assert next(holder) == "teacher"
    monkeypatch.setattr(claim.time, "sleep", look)
    assert list(claim.stages_in_turn(stages)) == []
    assert capsys.readouterr().out.count("works on teacher now") == 1


@pytest.mark.parametrize("share", [False, True])
def test_who_works_alone_and_who_shares_keep_each_other_out(stages, share):
    with (
        claim.claimed(stages.run, share=share),
        pytest.raises(lock.Held, match="writes into"),
        claim.claimed(stages.run, share=not share),
    ):
        pass


def test_processes_that_train_together_cannot_share_out_stages(stages, monkeypatch):
    monkeypatch.setattr("jax.process_count", lambda: 2)
    with (
        pytest.raises(UserError, match="--share is for processes with devices of their own"),
        claim.claimed(stages.run, share=True),
    ):
        pass
