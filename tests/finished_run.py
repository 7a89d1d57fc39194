"""A finished run with two networks of random weights, a selection of them, and a stub finder."""

import jax
import numpy as np
import pytest
import red_faces
from tiny import make_context

from au_jax.ensemble import selection
from au_jax.ensemble.selection import Member, Selection
from au_jax.files import atomic_files
from au_jax.predict import model as model_module
from au_jax.predict import run as run_module
from au_jax.run_dir import RunFolder
from au_jax.training.checkpoint import Checkpoints
from au_jax.training.model_card import ModelCard

AUS = ("AU01", "AU12", "AU25")


def write_stage(home, name: str, crop: str, side: int, **network) -> None:
    """A finished train stage of two epochs, whose network reads `crop` in `side` pixels."""
    folder = RunFolder(home).stage(name)
    context = make_context(AUS, network=network, streams=("opt",))
    card = ModelCard("multi_task", {"label_smoothing": 0.0}, context, crop, side, "csv")
    card.write(folder)
    method = card.create()
    with Checkpoints.of_models(folder.model) as models:
        for epoch in (1, 2):
            models.save(epoch, method.kept(*method.init(jax.random.PRNGKey(epoch))))
    folder.mark_done()


@pytest.fixture(scope="session")
def networks(tmp_path_factory):
    """The run's folder; the selection "chosen" has three members and two windows."""
    home = tmp_path_factory.mktemp("predict") / "run"
    atomic_files.write_json(RunFolder(home).config, {"order": ["near", "far", "chosen"]})
    write_stage(home, "near", "closeup", 96, pose_branch=True)
    write_stage(home, "far", "wide", 64)
    chosen = Selection(
        AUS,
        (Member(".", "near", 1, window=5), Member(".", "near", 2), Member(".", "far", 2, window=3)),
        np.array([[0.5, 0.2, 0.0], [0.3, 0.3, 0.5], [0.2, 0.5, 0.5]]),
        np.zeros(3),
        "probability",
        np.array([0.5, 0.4, 0.6]),
    )
    folder = RunFolder(home).stage("chosen")
    atomic_files.write_json(folder.selection, selection.to_json(chosen))
    folder.mark_done()
    return home


@pytest.fixture
def red(monkeypatch):
    """Red squares are the faces, and five images make a batch."""

    def make_finders(sides, faces, count):
        return [red_faces.find_all if faces == "all" else red_faces.find_largest] * count

    monkeypatch.setattr(run_module, "make_finders", make_finders)
    monkeypatch.setattr(model_module, "make_finders", make_finders)
    monkeypatch.setattr("au_jax.predict.answers._LARGEST_BATCH", 4)
