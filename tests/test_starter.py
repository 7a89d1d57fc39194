"""The starter model tells AUs of rendered faces of other people in another look."""

import json
from pathlib import Path

import cv2
import jax
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import au_jax
from au_jax import methods, sharding, starter
from au_jax.training import start
from au_jax.training.model_card import ModelCard

# Rendered by `--dataset=rendered_faces`, split `test`: NUMBER-CROP.jpg, and their labels.
FACES = Path(__file__).parent / "rendered_faces"


@pytest.fixture(scope="module")
def model():
    return au_jax.load("starter")


@pytest.fixture(scope="module")
def faces():
    """(labels {AU: int [N]}, pose [N, 3], {crop: uint8 [N, side, side, 3]}) of the kept faces."""
    kept = json.loads((FACES / "labels.json").read_text())
    numbers = range(len(kept["pose"]))
    crops = {
        crop: np.stack([cv2.imread(str(FACES / f"{n:02}-{crop}.jpg"))[..., ::-1] for n in numbers])
        for crop in ("closeup", "wide")
    }
    return kept["labels"], np.array(kept["pose"], np.float32), crops


def test_it_tells_aus_of_faces_that_it_has_not_seen(model, faces):
    labels, pose, crops = faces
    told = model.predict(crops, pose)
    areas = {
        au: roc_auc_score(labels[au], told.probabilities[au])
        for au in model.aus
        if 3 <= sum(labels[au]) <= len(pose) - 3
    }
    assert len(areas) >= 15
    assert np.mean(list(areas.values())) > 0.9
    for au in ("AU12", "AU25"):
        right = told.decisions[au] == np.array(labels[au], bool)
        assert right.mean() > 0.75, au


def test_it_is_small_and_says_what_it_is_for():
    files = [file for file in starter.FOLDER.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 10e6
    text = (starter.FOLDER / "README.md").read_text()
    for said in ("rendered", "ICT-FaceKit", "Not for decisions on people"):
        assert said in text


def test_the_name_is_the_models_unless_there_is_a_folder_of_it(tmp_path, monkeypatch):
    assert starter.folder_of("starter") == starter.FOLDER
    monkeypatch.chdir(tmp_path)
    (tmp_path / "starter").mkdir()
    assert starter.folder_of("starter") == Path("starter")
    assert starter.folder_of("runs/other") == Path("runs/other")


def test_a_training_starts_from_its_backbone():
    card = ModelCard.from_file(starter.NETWORK.with_suffix(".json"), "")
    init = methods.create(card.method, card.context, card.options).init
    shapes = jax.eval_shape(init, jax.random.PRNGKey(0))[:2]
    given = jax.tree.map(lambda s: np.zeros(s.shape, np.float32), shapes)
    network = card.context.network
    model = {"weights": "", "backbone": network.backbone}
    begin = start.starting_weights("starter", model, network, None, sharding.make_mesh(1))
    params, _ = begin(*given)
    for leaf in jax.tree.leaves(params["backbone"]):
        assert np.abs(leaf).max() > 0
