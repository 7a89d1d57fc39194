"""The train stage's streams: resampled and balanced, counted before and after."""

import numpy as np
import pytest
from encoding import make_context

from au_jax.data.label_dependence import dependencies
from au_jax.errors import UserError
from au_jax.files import atomic_files
from au_jax.stages.base import StageContext
from au_jax.stages.train import Train
from configs.base import base

AUS = ("AU01", "AU12", "AU25")


@pytest.fixture
def context(tmp_path, tiny_faces) -> StageContext:
    return make_context(tiny_faces, tmp_path, "net", seed=1)


def _stage(**stream) -> Train:
    config = base()
    config.model.backbone = "tiny"
    config.model.image_size = 32
    config.optimizer.name = "sgd"
    config.optimizer.learning_rate = 0.01
    config.train.epochs = 1
    return Train(
        streams={"opt": {"split": "opt-train", "share": 8, **stream}},
        epoch_stream="opt",
        crop="closeup",
        model=config.model.to_dict(),
        optimizer=config.optimizer.to_dict(),
        augmentation=config.augmentation.to_dict(),
        train=config.train.to_dict(),
        aus=AUS,
    )


def test_a_resampled_stream_trains_on_its_rows_and_says_both_counts(context):
    stage = _stage(resample="ml_ros", resample_percent=100)
    plain, _ = _stage().prepare(context)
    training, card = stage.prepare(context)
    labels = plain.streams["opt"].source.table.labels
    rows = training.streams["opt"].rows
    assert len(rows) > len(labels)
    assert training.steps_per_epoch == len(rows) // 8
    np.testing.assert_array_equal(rows, stage.prepare(context)[0].streams["opt"].rows)
    facts = card.context.streams["opt"]
    assert facts.records == len(labels)  # `index` counts records
    assert facts.positives == tuple((labels[rows] == 1).sum(0).astype(float).tolist())
    np.testing.assert_array_equal(facts.dependencies, dependencies(labels[rows]))
    drawn = np.concatenate([training.rows()[step]["opt"] for step in range(training.steps)])
    assert np.isin(drawn, rows).all()

    stage.run(context)
    counts = atomic_files.read_json(context.folder.label_counts)["opt"]
    assert (counts["rows"], counts["before"]["rows"]) == (len(rows), len(labels))
    for a, au in enumerate(AUS):
        for of, given in ((counts, labels[rows]), (counts["before"], labels)):
            assert of["of"][au] == [int((given[:, a] == c).sum()) for c in (1, 0, -1)]


def test_a_balanced_stream_holds_both_labels_of_every_au(context):
    training, _ = _stage(balanced=True).prepare(context)
    labels = training.streams["opt"].source.table.labels
    rows = training.rows()
    for step in range(training.steps):
        of_batch = labels[rows[step]["opt"]]
        assert all((of_batch == c).any(0).all() for c in (0, 1))


def test_a_stream_as_before_has_no_counts_before(context):
    training, _ = _stage().prepare(context)
    assert training.streams["opt"].resampled is None
    rows = np.random.default_rng((training.seed, 0, 0)).permutation(
        len(training.streams["opt"].source)
    )
    np.testing.assert_array_equal(training.rows()[0]["opt"], rows[:8])


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        ({"resample": "smote"}, "unknown resample 'smote'; known: ml_ros, bal"),
        ({"balanced": True, "share": 5}, "share 5 of stream 'opt' is too small for balanced"),
        ({"upsample": 1}, "unknown field of stream 'opt' 'upsample'"),
    ],
)
def test_a_mistake_is_found_before_training(context, stream, message):
    with pytest.raises(UserError, match=message):
        _stage(**stream).check(context)
