"""The shipped ABAW3 config, shrunk: pretrainings, ladder, smoothing, the per-AU ensemble."""

import json
import shutil

import jax
import numpy as np
import pytest

from au_jax import sharding
from au_jax.ensemble.selection import Member
from au_jax.experiment import modes
from au_jax.files import atomic_files
from au_jax.run_dir import RunFolder
from au_jax.training.checkpoint import Checkpoints
from configs import abaw3

TRAININGS = ("identity", "bal", "aus", "from_aus")


def shrunk(order):
    """The default's stages of these names, with two short epochs each, on clips of 8 frames."""
    config = abaw3.get_config()
    config.data.synthetic.update(
        size=40, opt=48, noisy=40, test=24, seed=3, clips=30, clip_frames=8
    )
    config.data.size = 36
    config.model.image_size = 32
    dropout = config.model.fields.dropout
    config.model.fields = {"width": 4}
    config.devices = 1
    for stage in config.stages.values():
        if stage.kind == "train":
            stage.train = {"epochs": 2, "steps_per_epoch": 2}
            for stream in stage.streams.values():
                # 30 short clips do not show all ten AUs.
                stream.balanced = False
    for name in ("identity", "bal"):
        with config.unlocked():
            config.stages[name].model.fields.dropout = dropout
    for name in ("aus", "from_aus"):  # IResNet takes long to compile
        config.stages[name].model = {"backbone": "tiny"}
    config.order = tuple(name for name in config.order if name in order)
    if "ensemble_row" in order:
        config.stages.ensemble_row.inputs = ("bal", "from_aus")
        config.stages.from_aus_smooth_row.windows = (3,)
    return config


@pytest.fixture(scope="module")
def run(tmp_path_factory, data_dir):
    rows = [f"{name}_row" for name in ("bal", "from_aus", "from_aus_smooth", "ensemble")]
    folder = RunFolder(tmp_path_factory.mktemp("abaw3") / "run")
    modes.run(shrunk((*TRAININGS, *rows)), folder.path, data_dir)
    return folder


def test_the_ensemble_has_a_model_epoch_and_window_for_each_au(run):
    chosen = atomic_files.read_json(run.stage("ensemble_row").selection)
    members = [Member(**member) for member in chosen["members"]]
    assert {member.stage for member in members} <= {"bal", "from_aus"}
    assert {member.window for member in members} <= {1, 3, 5}
    labels = run.stage("bal").read_scores("clips-val", 2).labels
    weights = np.array(chosen["weights"])
    for a in np.flatnonzero((labels == 1).any(0)):
        assert sorted(set(weights[:, a].tolist())) in ([0.0, 1.0], [1.0])
    assert weights.shape[1] == len(chosen["aus"]) == 10


def test_the_page_has_the_papers_unexplained_row_and_a_videos_curve(run):
    results = json.loads((run.report / "results.json").read_text())
    assert [row["paper"] for row in results["quoted"].values()] == [0.662]
    page = (run.report / "index.html").read_text()
    assert "Scores over a video" in page
    assert "0.549" in page
    counts = atomic_files.read_json(run.stage("bal").label_counts)["videos"]
    assert counts["before"]["rows"] > 0


def test_no_video_is_on_both_sides(run):
    parts = [set(run.stage("bal").read_scores(s, 2).video) for s in ("clips-val", "clips_test")]
    assert all(parts)
    assert not parts[0] & parts[1]


def test_an_interrupted_training_ends_with_the_same_bits(run, tmp_path, data_dir, monkeypatch):
    order = ("identity", "bal")
    begun = run.stage("identity").path
    shutil.copytree(begun, RunFolder(tmp_path / "run").stage("identity").path)
    put, left = sharding.put_batch, 3  # in the second epoch

    def interrupted(*args):
        nonlocal left
        left -= 1
        if left == 0:
            raise KeyboardInterrupt
        return put(*args)

    with monkeypatch.context() as patch:
        patch.setattr(sharding, "put_batch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            modes.run(shrunk(order), tmp_path / "run", data_dir)
    assert not RunFolder(tmp_path / "run").stage("bal").done
    modes.run(shrunk(order), tmp_path / "run", data_dir)
    ends = []
    for folder in (run, RunFolder(tmp_path / "run")):
        stage = folder.stage("bal")
        np.testing.assert_array_equal(stage.epochs(), [1, 2])
        with Checkpoints.of_states(stage.state) as states:
            import orbax.checkpoint as ocp

            ends.append(
                states._manager.restore(
                    states.numbers()[-1], args=ocp.args.Composite(tree=ocp.args.StandardRestore())
                )["tree"]
            )
    jax.tree.map(np.testing.assert_array_equal, *ends)
