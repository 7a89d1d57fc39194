"""The encode stage: features against the bare backbone, what they depend on, where it starts."""

import dataclasses

import jax
import numpy as np
import pytest
import tiny
from encoding import MODEL, PIXELS, all_images, encode, make_context, with_table

from au_jax import models
from au_jax.errors import UserError
from au_jax.methods import StreamFacts
from au_jax.models.au_net import IMAGENET_MEAN, IMAGENET_STD
from au_jax.run_dir import RunFolder
from au_jax.stages.encode import Encode
from au_jax.training import memory
from au_jax.training.checkpoint import Checkpoints
from au_jax.training.encoder import Encoder
from au_jax.training.model_card import ModelCard


def read(context, split):
    return context.folder.read_features(split)


def pooled(variables, images):
    """What the bare backbone makes of the middle of images of 40 pixels a side."""
    middle = images[:, 4:36, 4:36].astype(np.float32) / 255
    inputs = (middle - np.float32(IMAGENET_MEAN)) / np.float32(IMAGENET_STD)
    backbone = models.create("tiny")
    of_backbone = {name: tree["backbone"] for name, tree in variables.items()}
    apply = jax.jit(lambda variables, inputs: backbone.apply(variables, inputs, False).pooled)
    return apply(jax.device_get(of_backbone), inputs)


@pytest.fixture(scope="module")
def encoded(tiny_faces, tmp_path_factory):
    return encode(tiny_faces, tmp_path_factory.mktemp("run"), "opt-train", "opt-val")


def test_features_are_those_of_the_backbone_on_centre_crops(encoded):
    encoder, variables = Encoder.read(encoded.folder, encoded.mesh)
    assert (encoder.image_size, encoder.crop, encoder.crop_size) == (PIXELS, "wide", 40)
    assert variables["params"].keys() == {"backbone"}
    for split in ("opt-train", "opt-val"):
        kept, source = read(encoded, split), encoded.source(split, "wide")
        expected = pooled(variables, all_images(source))
        assert kept.features.dtype == np.float32
        np.testing.assert_allclose(kept.features, expected, atol=2e-6)
        assert np.ptp(expected, 0).max() > 1e-2
        for column in ("labels", "emotion", "face", "keys", "subject"):
            np.testing.assert_array_equal(getattr(kept, column), getattr(source.table, column))
        assert tuple(kept.aus) == source.aus
    assert encoded.folder.encoded_splits() == ["opt-train", "opt-val"]


def test_features_do_not_depend_on_the_batch_or_the_devices(encoded, tiny_faces, tmp_path):
    expected = read(encoded, "opt-val").features
    assert len(expected) % 5
    small = encode(tiny_faces, tmp_path / "a", "opt-val", fields={"batch": 5})
    many = encode(tiny_faces, tmp_path / "b", "opt-val", devices=8)
    for context in (small, many):
        np.testing.assert_allclose(read(context, "opt-val").features, expected, atol=1e-6)


def test_a_batch_that_does_not_fit_into_the_memory_is_refused(tiny_faces, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda mesh: 2**20)
    context = make_context(tiny_faces, tmp_path, "encode")
    with pytest.raises(UserError, match=r"--config.stages.encode.batch is 99999, .* give at most"):
        encode(tiny_faces, tmp_path, "opt-val", fields={"batch": 99_999})
    assert not context.folder.model.exists()


def test_a_random_encoder_follows_from_the_seed(encoded, tiny_faces, tmp_path):
    same = encode(tiny_faces, tmp_path / "a", "opt-val")
    other = encode(tiny_faces, tmp_path / "b", "opt-val", seed=1)
    expected = read(encoded, "opt-val").features
    np.testing.assert_array_equal(read(same, "opt-val").features, expected)
    assert np.abs(read(other, "opt-val").features - expected).max() > 1e-2


def test_a_second_run_makes_only_what_is_missing(encoded, tiny_faces, tmp_path):
    context = encode(tiny_faces, tmp_path, "opt-train", "opt-val")
    kept = read(context, "opt-train")
    changed = dataclasses.replace(kept, features=np.zeros((len(kept.keys), 1)))
    context.folder.write_features("opt-train", changed)
    context.folder.features("opt-val").unlink()
    encode(tiny_faces, tmp_path, "opt-train", "opt-val")
    assert read(context, "opt-train").features.shape == (len(kept.keys), 1)
    np.testing.assert_array_equal(
        read(context, "opt-val").features, read(encoded, "opt-val").features
    )


def test_the_encoder_is_that_of_a_pretraining(tiny_faces, tmp_path):
    streams = {"faces": StreamFacts(16, 8, emotions=(2,) * 8)}
    network = {"fields": {"padding": "same", "bn_epsilon": 1e-5, "bn_momentum": 0.9}}
    trained = tiny.make_context((), network=network, streams=streams)
    card = ModelCard("moco", {"queue": 4}, trained, "wide", 40, "synthetic_faces")
    folder = RunFolder(tmp_path).stage("pretrain")
    card.write(folder)
    variables = {}
    shapes = jax.eval_shape(card.create().init, jax.random.PRNGKey(0))[:2]
    with Checkpoints.of_models(folder.model) as checkpoints:
        for epoch in (1, 2):
            rng = np.random.default_rng(epoch)
            params, batch_stats = jax.tree.map(
                lambda s, rng=rng: rng.uniform(0.1, 0.5, s.shape).astype(np.float32), shapes
            )
            variables[epoch] = {"params": params, "batch_stats": batch_stats}
            checkpoints.save(epoch, variables[epoch])
        checkpoints.wait()
    for start, epoch in (("pretrain", 2), ("pretrain@1", 1)):
        context = encode(
            tiny_faces, tmp_path, "opt-val", stage=f"of{epoch}", fields={"start": start}
        )
        network = {part: tree["encoder"]["net"] for part, tree in variables[epoch].items()}
        expected = pooled(network, all_images(context.source("opt-val", "wide")))
        np.testing.assert_allclose(read(context, "opt-val").features, expected, rtol=1e-5)
    wide = {"start": "pretrain", "model": {**MODEL, "backbone": "tiny_wide"}}
    with pytest.raises(UserError, match=r"pretrain cannot be started from: .* one backbone"):
        encode(tiny_faces, tmp_path, "opt-val", stage="wide", fields=wide)


def test_the_stage_that_it_starts_from_is_renamed():
    stage = Encode(("opt",), "wide", MODEL, "pretrain@3")
    assert stage.renamed(lambda name: f"{name}.seed1").start == "pretrain.seed1@3"
    assert dataclasses.replace(stage, start="").renamed(str.upper).start == ""


def test_faces_that_were_not_found_are_marked(tiny_faces, tmp_path):
    def faceless(source):
        return with_table(source, face=np.arange(len(source)) != 1)

    context = make_context(tiny_faces, tmp_path, "encode", change=faceless)
    Encode(("opt-val",), "wide", MODEL).run(context)
    kept = read(context, "opt-val")
    assert np.flatnonzero(~kept.face).tolist() == [1]
    assert len(kept.features) == len(kept.face)
