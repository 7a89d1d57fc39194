"""The train stage's streams whose subjects are told apart: the field `identity`, and refusals."""

import jax
import numpy as np
import pytest
import raw_sets
from encoding import encode, make_context, with_table

from au_jax import log, sharding
from au_jax.errors import UserError
from au_jax.prepare import run as preparation
from au_jax.stages.train import Train
from au_jax.training.encoder import Encoder
from au_jax.training.model_card import ModelCard, restore
from configs.base import base


@pytest.fixture
def make_stage(tmp_path, tiny_faces):
    """(subjects of the faces by row or None for their own) -> (a stage, its context)."""

    def make(subjects=None, method="face_identity", devices=1):
        def named(faces):
            if subjects is None:
                return faces
            return with_table(faces, subject=np.resize(np.array(subjects), len(faces)))

        context = make_context(
            tiny_faces, tmp_path, "identity", seed=1, devices=devices, change=named
        )
        return pretraining("opt-train", 8, "closeup", method), context

    return make


def pretraining(split, share, crop, method):
    """A train stage of one short epoch on one stream, `faces`."""
    config = base()
    config.model.backbone = "tiny"
    config.model.image_size = 32
    config.optimizer.name = "sgd"
    config.train.epochs = 1
    return Train(
        streams={"faces": {"split": split, "share": share}},
        epoch_stream="faces",
        crop=crop,
        model=config.model.to_dict(),
        optimizer=config.optimizer.to_dict(),
        augmentation=config.augmentation.to_dict(),
        train=config.train.to_dict(),
        validate=(),
        method=method,
    )


def test_a_batch_has_the_number_of_each_subject(make_stage):
    stage, context = make_stage(["b", "", "a", "b", "c"])
    training, card = stage.prepare(context)
    assert card.context.streams["faces"].identities == 3
    batch = next(training.batches())["faces"]
    subjects = training.streams["faces"].source.table.subject[batch["index"]]
    assert batch["identity"].dtype == np.int32
    assert batch["identity"].tolist() == [{"": -1, "a": 0, "b": 1, "c": 2}[s] for s in subjects]
    assert len(set(batch["identity"].tolist())) > 1


def test_a_pretraining_runs_and_its_encoder_is_kept(make_stage):
    stage, context = make_stage()
    stage.run(context)
    assert context.folder.epochs() == [1]
    (line,) = log.read_metrics(context.folder.metrics)
    assert np.isfinite(line["loss"])
    assert 0 <= line["accuracy_identity"] <= 1
    method = ModelCard.read(context.folder).create()
    kept = restore(context.folder, method, 1, context.mesh)
    assert kept["params"].keys() == {"net", "centres"}


def test_an_encoder_starts_from_a_training_on_eight_devices(make_stage, tiny_faces, tmp_path):
    stage, context = make_stage(devices=8)
    stage.run(context)
    method = ModelCard.read(context.folder).create()
    assert method.sharded == ("centres",)
    kept = restore(context.folder, method, 1, sharding.make_mesh(2))
    probe = encode(tiny_faces, tmp_path, "opt-val", fields={"start": "identity"})
    _, variables = Encoder.read(probe.folder, probe.mesh)
    for collection in ("params", "batch_stats"):
        taken, trained = (
            jax.device_get(of_run) for of_run in (variables[collection], kept[collection]["net"])
        )
        jax.tree.map(np.testing.assert_array_equal, taken, trained)
    random = encode(tiny_faces, tmp_path, "opt-val", stage="random")
    features = [run.folder.read_features("opt-val").features for run in (probe, random)]
    assert np.abs(features[0] - features[1]).max() > 1e-3


def test_the_outline_has_the_same_batch(make_stage):
    stage, context = make_stage()
    training, card = stage.prepare(context)
    records = training.streams["faces"].source.table.subject
    assert card.context.streams["faces"].identities == len(set(records.tolist())) > 1
    outline = stage.outline(crop_size=card.crop_size)
    batch = next(training.batches())
    assert outline.batch == jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), batch)
    params, *_ = jax.eval_shape(outline.method.init, jax.random.PRNGKey(0))
    assert params["centres"]["kernel"].shape == (8000, 6)


def test_other_methods_read_no_identity(make_stage):
    stage, context = make_stage(method="expression")
    training, _ = stage.prepare(context)
    assert "identity" not in next(training.batches())["faces"]
    assert "identity" not in stage.outline(crop_size=40).batch["faces"]


@pytest.mark.parametrize(("subjects", "count"), [([""], 0), (["a", ""], 1)])
def test_one_subject_is_refused(make_stage, subjects, count):
    stage, context = make_stage(subjects)
    with pytest.raises(UserError, match=rf"'faces' has faces of {count} named subjects, but"):
        stage.check(context)


def test_a_prepared_folder_of_people_is_learnt(tmp_path):
    """No record has AUs: an empty list goes all the way from the raw folder to a checkpoint."""
    for number in range(12):
        image = tmp_path / "raw" / f"p{number % 3}" / f"{number}.jpg"
        raw_sets.write_image(image, number, size=112)
    folder = preparation.run(
        "people", tmp_path / "raw", tmp_path / "data", landmarks="aligned", processes=1
    )
    context = make_context(folder, tmp_path / "run", "identity")
    stage = pretraining("train", 4, "arcface", "face_identity")
    stage.check(context)
    stage.run(context)
    (line,) = log.read_metrics(context.folder.metrics)
    assert np.isfinite(line["loss"])
    method = ModelCard.read(context.folder).create()
    kept = restore(context.folder, method, 1, context.mesh)
    assert kept["params"]["centres"]["kernel"].shape[0] == 64  # 3 and padding
