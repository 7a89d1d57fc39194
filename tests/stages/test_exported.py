"""The stage that scores a finished model: its decisions, AUs that lack, and what does not fit."""

import dataclasses

import numpy as np
import pytest
from encoding import make_context

import au_jax
from au_jax.errors import UserError
from au_jax.stages.exported import Exported


def few(source):
    return source.subset(np.arange(5))


def of_another_au(source):
    return dataclasses.replace(
        few(source).aligned(source.aus[:1]),
        aus=("AU60",),
    )


def stage(**fields):
    return Exported(**{"validate": ("opt-val",), "test": (), **fields})


@pytest.mark.parametrize("group", ["all", "expression"])
def test_the_starter_decides_as_it_does_when_it_predicts(tiny_faces, tmp_path, group):
    context = make_context(tiny_faces, tmp_path, "starter", change=few)
    stage(group=group).run(context)
    scores = context.folder.read_scores("opt-val", 1)
    model = au_jax.load("starter")
    source = context.source("opt-val", "closeup")
    known = [au for au in source.aus if au in model.aus]
    assert scores.aus.tolist() == [au for au in known if group == "all" or int(au[2:]) < 50]
    assert scores.keys.tolist() == source.table.keys.tolist()
    np.testing.assert_array_equal(scores.labels, source.aligned(tuple(scores.aus)).table.labels)

    crops = {
        crop: dataclasses.replace(context.source("opt-val", crop), size=side).images(np.arange(5))
        for crop, side in model.crops.items()
    }
    told = model.predict(crops, source.table.pose)
    for column, au in enumerate(scores.aus):
        np.testing.assert_array_equal(scores.logits[:, column] >= 0, told.decisions[au])
        order = np.argsort(told.probabilities[au], kind="stable")
        assert (np.diff(scores.logits[order, column]) >= 0).all()


def test_what_does_not_fit_is_refused(tiny_faces, tmp_path):
    context = make_context(tiny_faces, tmp_path, "starter", change=of_another_au)
    with pytest.raises(UserError, match="'opt-val' labels AU60, and starter tells AU01"):
        stage().run(context)
    with pytest.raises(UserError, match="nowhere"):
        stage(folder=str(tmp_path / "nowhere")).check(context)
