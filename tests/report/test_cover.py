"""The cover image: it shows the face told best, and a run without drawn faces is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from au_jax import metrics
from au_jax.errors import UserError
from au_jax.files import atomic_files
from au_jax.report import cover
from au_jax.run_dir import RunFolder

AUS = ("AU01", "AU02", "AU04", "AU05", "AU06", "AU12", "AU51")


def decided(first: int = 0) -> dict[str, np.ndarray]:
    """Faces told well, better but turned, better with fewer AUs, and badly."""
    labels = np.array(
        [
            [1, 1, 1, 1, 1, 0, 0],
            [1, 1, 1, 1, 1, 1, 1],
            [0, 0, 0, 0, 0, 1, 0],
            [1, 1, 1, 1, 0, 0, 0],
        ],
        np.int8,
    )
    said = labels.copy()
    said[0, 0] = 0
    said[3] = 1 - labels[3]
    return {
        "keys": np.array([f"synthetic_faces/test/{first + n:06}/0" for n in range(4)]),
        "subject": np.full(4, ""),
        "aus": np.array(AUS),
        "labels": labels,
        "probabilities": np.where(said, 0.8, 0.3).astype(np.float32),
        "thresholds": np.full(len(AUS), 0.5),
    }


def finished(path: Path, first: int = 0, drawn: bool = True) -> RunFolder:
    run = RunFolder(path)
    told = decided(first)
    figures = metrics.summary(AUS, told["probabilities"], told["labels"], told["thresholds"])
    figures |= {"final_score": 0.6, "f1": 0.5, "ci": [0.5, 0.7]}
    both = {"as_printed": None, "honest": figures}
    stage = {"outcome": "selection", "split": {"test": both}}
    config: dict[str, Any] = {"headline": "final_score", "data.synthetic.seed": 0}
    config |= {"stages.mean.label": "the mean", "stages.final.label": "the best"}
    results = {
        "data": "synthetic_faces" if drawn else "rendered_faces",
        "drawn": drawn,
        "config": config,
        "stages": {"mean": stage, "final": stage},
    }
    atomic_files.write_json(run.report / "results.json", results)
    atomic_files.write_arrays(run.stage("final").decided("test"), told)
    return run


def test_the_face_told_best_looks_ahead_uncovered_and_shows_several_aus():
    assert cover.best_told(decided(), np.array([True, True, True, True])) == 0
    assert cover.best_told(decided(), np.array([False, False, False, True])) == 3


def test_the_image_is_small_and_shows_the_face(tmp_path):
    shown = []
    for first in (0, 8):
        cover.draw(finished(tmp_path / str(first), first), tmp_path / "cover.png")
        assert (tmp_path / "cover.png").stat().st_size < 150_000
        with Image.open(tmp_path / "cover.png") as image:
            assert image.size == (1920, 672)
            shown.append(np.asarray(image.convert("RGB"), np.int16))
    changed = np.abs(shown[0] - shown[1]).max(-1) > 30
    assert changed[:, :640].mean() > 0.2, "another person stands at the left"
    assert not changed[:, 1340:].any(), "the scores are the same"


def test_a_run_on_photographs_is_refused(tmp_path):
    with pytest.raises(UserError, match="no selection scored on drawn faces"):
        cover.draw(finished(tmp_path, drawn=False), tmp_path / "cover.png")
    assert not (tmp_path / "cover.png").exists()
