"""What a recipe says of the splits that its stages open."""

import dataclasses

import numpy as np

from au_jax.data import sources
from au_jax.experiment.recipe import Recipe
from au_jax.run_dir import RunFolder
from configs import noisy_student


def test_parts_of_a_data_set_that_names_nobody_are_announced(
    tiny_faces, data_dir, tmp_path, monkeypatch, capsys
):
    config = noisy_student.get_config()
    config.data.synthetic.update(size=40, opt=48, noisy=40, test=24, seed=3)
    config.data.size = 40
    config.model.update(backbone="tiny", image_size=32)
    recipe = Recipe(config, RunFolder(tmp_path), data_dir)
    recipe.source("opt-train", "wide")
    assert "names no subjects" not in capsys.readouterr().out

    stored = sources._table

    def nameless(*at):
        table = stored(*at)
        nobody = np.full(len(table.keys), "")
        return dataclasses.replace(table, subject=nobody, video=nobody)

    monkeypatch.setattr(sources, "_table", nameless)
    recipe.source("opt", "wide")
    assert "names no subjects" not in capsys.readouterr().out
    for crop in ("wide", "closeup"):
        recipe.source("opt-val", crop)
    assert capsys.readouterr().out.count("'opt-val' names no subjects and no videos") == 1
