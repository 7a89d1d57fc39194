"""The train stage of a pretraining: what its method is told, what it says and what it keeps."""

import dataclasses

import jax
import numpy as np
import pytest
from encoding import MODEL, make_context, with_table

from au_jax import aus
from au_jax.errors import UserError
from au_jax.files.atomic_files import read_json
from au_jax.stages.train import Train
from au_jax.training.model_card import ModelCard, restore

PRETRAIN = Train(
    streams={"faces": {"split": "opt", "share": 8}},
    epoch_stream="faces",
    crop="wide",
    model=MODEL,
    optimizer={
        "name": "sgd",
        "learning_rate": 0.03,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "schedule": "cosine",
        "boundaries": (),
        "factor": 0.1,
    },
    augmentation={"flip": 0.5},
    train={
        "steps_per_epoch": 2,
        "steps": 0,
        "epochs": 1,
        "times": 1,
        "score_batch": 8,
        "accumulate": 1,
    },
    validate=(),
    method="emoco",
    options={"queue": 16},
)


def some_unknown(source):
    """The source with a face in four whose emotion is unknown, and a sixth without a face."""
    rows = np.arange(len(source))
    emotion = np.where(rows % 4 == 0, -1, source.table.emotion).astype(np.int8)
    return with_table(source, emotion=emotion, face=rows % 6 != 1)


def test_micro_batches_that_do_not_divide_a_share_are_refused(tiny_faces, tmp_path):
    context = make_context(tiny_faces, tmp_path, "pretrain")
    train = {**PRETRAIN.train, "accumulate": 3}
    sentence = r"'faces' has a share of 8 .* 1 devices times train\.accumulate=3 do not .* is 9"
    with pytest.raises(UserError, match=sentence):
        dataclasses.replace(PRETRAIN, train=train).check(context)


def test_a_pretraining_without_validation_keeps_its_network_and_says_what_it_leaves_out(
    tiny_faces, tmp_path, capsys
):
    context = make_context(tiny_faces, tmp_path, "pretrain", change=some_unknown)
    PRETRAIN.run(context)
    table = context.source("opt", "wide").table
    emotion = table.emotion[table.face]
    facts = ModelCard.read(context.folder).context.streams["faces"]
    assert facts.records == len(emotion)
    assert facts.emotions == tuple((emotion == e).sum() for e in range(8))
    said = capsys.readouterr().out
    learned = [name for name, count in zip(aus.EMOTIONS, facts.emotions, strict=True) if count]
    assert f"learns from the emotions {', '.join(learned)}" in said
    unknown = (emotion == -1).sum()
    assert f"{unknown} of {len(emotion)} faces have no known emotion of these" in said
    assert context.folder.epochs() == [1]
    assert context.folder.scored_splits() == []
    assert ModelCard.read(context.folder).aus == ()
    assert read_json(context.folder.label_counts) == {"faces": {"rows": len(emotion), "of": {}}}


def test_a_data_set_without_emotions_is_for_moco_alone(tiny_faces, tmp_path):
    def no_emotions(source):
        return with_table(source, emotion=np.full_like(source.table.emotion, -1))

    context = make_context(tiny_faces, tmp_path, "pretrain", change=no_emotions)
    with pytest.raises(UserError, match=r"no face of stream 'faces' has a known emotion"):
        PRETRAIN.check(context)
    training, card = dataclasses.replace(PRETRAIN, method="moco").prepare(context)
    assert card.context.streams["faces"].emotions == (0,) * 8
    assert training.validation == {}


def test_a_start_is_checked_without_it_and_renamed_with_its_epoch(tiny_faces, tmp_path):
    started = dataclasses.replace(PRETRAIN, start="other@3")
    assert started.renamed(lambda name: f"{name}.fold2").start == "other.fold2@3"
    assert not started.stands_alone
    assert PRETRAIN.stands_alone
    started.check(make_context(tiny_faces, tmp_path, "pretrain"))


def test_a_training_begins_with_the_network_of_its_start(tiny_faces, tmp_path):
    first = make_context(tiny_faces, tmp_path, "pretrain")
    PRETRAIN.run(first)
    first.folder.mark_done()
    context = make_context(tiny_faces, tmp_path, "again", seed=5)
    training, _ = dataclasses.replace(PRETRAIN, start="pretrain").prepare(context)
    params, batch_stats, method_state = training.method.init(jax.random.PRNGKey(9))
    begun = training.method.kept(*training.start(params, batch_stats), method_state)
    kept = restore(first.folder, training.method, 1, context.mesh)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(begun), jax.device_get(kept))
    alone, _ = PRETRAIN.prepare(context)
    assert alone.start is None


def test_a_method_that_learns_aus_needs_some(tiny_faces, tmp_path):
    context = make_context(tiny_faces, tmp_path, "pretrain")
    with pytest.raises(
        UserError,
        match=r"stage pretrain learns AUs by method multi_task, but names none; give it aus",
    ):
        dataclasses.replace(PRETRAIN, method="multi_task", options={}).check(context)
