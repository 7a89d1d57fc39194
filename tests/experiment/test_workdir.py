"""The config of a workdir: what may differ between calls, and what may not."""

import pytest

from au_jax.errors import UserError
from au_jax.experiment import claim, modes, workdir
from au_jax.experiment.recipe import Recipe
from au_jax.files import atomic_files
from au_jax.run_dir import RunFolder
from configs import base, noisy_student


def test_quoted_rows_may_change_and_those_said_last_are_kept(tmp_path):
    folder, config = RunFolder(tmp_path), base.base()
    workdir.keep_config(config, folder)
    config.quoted.jaa = {"label": "JAA-Net", "paper": 0.5, "paper_au": {"AU01": 0.4}}
    workdir.check_workdir(config, folder)
    workdir.keep_config(config, folder)
    config.quoted.jaa.paper = 0.56
    workdir.check_workdir(config, folder)
    workdir.keep_config(config, folder)
    kept = atomic_files.read_json(folder.config)
    quoted = {field: value for field, value in kept.items() if field.startswith("quoted.")}
    assert quoted == {
        "quoted.jaa.label": "JAA-Net",
        "quoted.jaa.paper": 0.56,
        "quoted.jaa.paper_au.AU01": 0.4,
    }


def test_a_finished_run_takes_up_what_is_quoted_now(tmp_path, monkeypatch):
    config, done = noisy_student.get_config(), []
    folder = RunFolder(tmp_path)
    workdir.keep_config(config, folder)
    monkeypatch.setattr(modes, "unfinished", lambda recipe: [])
    monkeypatch.setattr(modes.whole, "is_whole", lambda report: True)
    monkeypatch.setattr(modes, "_report", lambda *_, anew: done.append(anew))
    modes.run(config, tmp_path, tmp_path / "data")
    assert not done
    config.quoted.jaa = {"label": "JAA-Net", "paper": 0.5, "paper_au": {}}
    modes.run(config, tmp_path, tmp_path / "data")
    assert done
    assert atomic_files.read_json(folder.config)["quoted.jaa.paper"] == 0.5


def test_a_selection_that_was_learned_from_is_not_chosen_anew(tmp_path):
    config = noisy_student.get_config()
    config.stages.labels_student.teacher = "T0"
    recipe = Recipe(config, RunFolder(tmp_path), tmp_path / "data")
    for name in ("T0", "labels_student"):
        atomic_files.write_json(recipe.run.stage(name).settings, modes._settings(recipe, name))
        recipe.run.stage(name).mark_done()
    modes._check_learned(recipe, ["T0"])
    config.stages.T0.threshold_rule = "best"
    changed = Recipe(config, recipe.run, tmp_path / "data")
    with pytest.raises(UserError, match="labels_student has learned from T0 as it is in"):
        modes._check_learned(changed, ["T0"])


def test_another_seed_is_another_config(tmp_path):
    folder, config = RunFolder(tmp_path), base.base()
    workdir.check_workdir(config, folder)
    workdir.keep_config(config, folder)
    config.seed = 7
    with pytest.raises(UserError, match=r"differs in seed \(0 there, 7 here\)"):
        workdir.check_workdir(config, folder)


def test_seeds_may_be_added_and_none_taken_away(tmp_path):
    folder, config = RunFolder(tmp_path), base.base()
    config.seeds = 3
    workdir.keep_config(config, folder)
    config.seeds = 5
    workdir.check_workdir(config, folder)
    workdir.keep_config(config, folder)
    assert atomic_files.read_json(folder.config)["seeds"] == 5
    config.seeds = 4
    with pytest.raises(UserError, match=r"differs in seeds \(5 there, 4 here\)"):
        workdir.check_workdir(config, folder)


def test_a_run_keeps_others_out_and_sweeps_what_a_killed_one_left(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with claim.claimed(folder):
        with (
            pytest.raises(UserError, match=r"process \d+ of .* writes into .*run now; wait for it"),
            claim.claimed(folder),
        ):
            pass
        left = folder.stage("a").path / ".unfinished-0123abcd.stage.json"
        left.parent.mkdir()
        left.touch()
    with claim.claimed(folder):
        assert not left.exists()


def test_a_second_process_of_one_run_takes_no_lock(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path / "run")
    with claim.claimed(folder):
        monkeypatch.setattr("jax.process_index", lambda: 1)
        with claim.claimed(folder):
            pass


def test_a_run_that_is_refused_leaves_its_workdir_to_a_mended_config(tmp_path, monkeypatch):
    def refuse(recipe):
        raise UserError("there is nothing to learn from")

    monkeypatch.setattr(Recipe, "check", refuse)
    config = noisy_student.get_config()
    with pytest.raises(UserError, match="nothing to learn from"):
        modes.run(config, tmp_path / "run", tmp_path / "data")
    config.train.epochs += 1
    workdir.check_workdir(config, RunFolder(tmp_path / "run"))
