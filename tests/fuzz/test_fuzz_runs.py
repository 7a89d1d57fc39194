"""Files of a finished run, damaged: its report and its networks are as before, or a sentence."""

import functools
import os
import shutil

import numpy as np
import pytest
from damage import damages
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from invariant import outcome
from tiny import make_context

from au_jax import run_dir
from au_jax.ensemble import predictor
from au_jax.files import atomic_files
from au_jax.report import charts, page, results
from au_jax.run_dir import RunFolder, Scores
from au_jax.stages.select import Rules, select
from au_jax.training.model_card import ModelCard

TIMES = int(os.environ.get("AU_JAX_FUZZ", "1"))
AUS = ("AU01", "AU12")
ROWS = 12
CONFIG = {
    **{"name": "small", "variant": "default", "seed": 0, "seeds": 1, "folds": 0},
    **{"headline": "final_score", "checkpoint.keep": 1, "order": ["net", "labels", "chosen"]},
}
STREAM = {"split": "opt", "share": 8, "labels": "", "soft": False}
STAGES = {
    "net": {
        **{"kind": "train", "validate": ["val"], "group": "all", "crop": "closeup"},
        **{"streams": {"opt": STREAM}, "model": {"backbone": "tiny"}},
    },
    "labels": {"kind": "pseudo_label", "teacher": "net", "split": "noisy"},
    "chosen": {
        **{"kind": "select", "inputs": ["net"], "split": "val", "test": ["test"], "label": "best"},
        **{"depth": 0, "paper": 0.5, "paper_au": {"AU01": 0.4}, "curve": "", "line": "", "at": 0.0},
    },
}


def finished(run: RunFolder) -> None:
    """A run of random scores, with every kind of file that a report reads often."""
    rng = np.random.default_rng(0)
    net, made, chosen = (run.stage(name) for name in CONFIG["order"])
    context = make_context(AUS, streams=("opt",))
    ModelCard("multi_task", {"label_smoothing": 0.0}, context, "closeup", 40, "x").write(net)
    for split in ("val", "test"):
        keys = np.array([f"{split}{row}" for row in range(ROWS)])
        labels = rng.integers(0, 2, (ROWS, 2)).astype(np.int8)
        for epoch in (1, 2):
            (net.model / str(epoch)).mkdir(parents=True, exist_ok=True)
            logits = (labels + rng.normal(size=(ROWS, 2))).astype(np.float32)
            frame = np.arange(ROWS, dtype=np.int32)
            video = np.repeat(["film", "clip", "show"], ROWS // 3)
            net.write_scores(
                split, epoch, Scores(logits, labels, np.array(AUS), keys, keys, video, frame)
            )
    atomic_files.write_json(net.label_counts, {"opt": {"rows": 9, "of": {"AU01": [3, 3, 3]}}})
    shares = np.full((ROWS, 2), 0.5, np.float32)
    arrays = {"keys": keys, "aus": np.array(AUS), "labels": labels, "probabilities": shares}
    atomic_files.write_arrays(made.labels("noisy"), arrays)
    table = {"aus": np.array(AUS), "probabilities": shares, "labels": labels, "true": labels}
    atomic_files.write_arrays(net.label_table("opt", 1), table)
    line = '{"epoch": 1, "step": 3, "loss": 0.5, "learning_rate": 0.1}\n'
    net.metrics.write_text(line)
    select(
        chosen,
        inputs=[(run, net, "center")],
        split="val",
        test=("test",),
        rules=Rules("best", "mean", "best"),
        source=None,  # type: ignore[arg-type]
        mesh=None,  # type: ignore[arg-type]
        threads=1,
        windows=(1, 3),
    ).write(chosen)
    for name, fields in STAGES.items():
        atomic_files.write_json(run.stage(name).settings, fields)
        run.stage(name).mark_done()
    atomic_files.write_json(run.config, CONFIG)
    atomic_files.write_json(run.data, {"name": "x", "drawn": False})
    atomic_files.write_json(run.environment, {"device": "1 CPU", "versions": {"python": "3.11"}})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = RunFolder(tmp_path_factory.mktemp("fuzz") / "run")
    finished(folder)
    return folder


@pytest.fixture
def undrawn(monkeypatch):
    """Charts and intervals take most of a report's time, and read what was read before."""
    monkeypatch.setattr("au_jax.metrics._DRAWS", 2)
    for name in ("stage_scores", "per_au", "epochs", "curves", "reliability", "video", "labels"):
        monkeypatch.setattr(charts, name, lambda *_: b"")
    monkeypatch.setattr(charts, "label_noise", lambda *_: b"")


def reported(run: RunFolder):
    found = results.collect(run)
    return page.files(run_dir.FirstFold(run.path), found), results._table(found)


def opened(run: RunFolder):
    chosen, networks = predictor.opened(run.path, None)
    return [networks.card(member) for member in chosen.members]


@pytest.mark.usefixtures("undrawn")
def test_damaged_files_of_a_run(run):
    files = sorted(p for p in run.path.rglob("*") if p.suffix in (".json", ".npz"))
    assert len(files) == 18

    @settings(
        max_examples=60 * TIMES,
        deadline=None,
        derandomize=TIMES == 1,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def damaged(data):
        path = data.draw(st.sampled_from(files))
        content = data.draw(damages(path))
        whole = path.read_bytes()
        path.write_bytes(content)
        try:
            for action in (opened, reported):
                outcome(functools.partial(action, run), (str(path), path.parent.name))
        finally:
            path.write_bytes(whole)

    damaged()


@pytest.mark.usefixtures("undrawn")
def test_missing_files_of_a_run(run, tmp_path):
    for number, path in enumerate(sorted(p for p in run.path.rglob("*") if p.is_file())):
        copy = RunFolder(shutil.copytree(run.path, tmp_path / str(number)))
        missing = copy.path / path.relative_to(run.path)
        missing.unlink()
        culprits = (str(missing), str(missing.parent), str(copy.config))
        for action in (opened, reported):
            outcome(functools.partial(action, copy), culprits)
