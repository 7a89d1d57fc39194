"""The README's Python lines, run on a small finished run."""

import re
from pathlib import Path

from au_jax import aus
from au_jax.experiment import modes
from configs import noisy_student

README = (Path(__file__).parents[2] / "README.md").read_text()


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
    (lines,) = re.findall(r"```python\n(.*?)```", README, re.S)
    values: dict = {}
    exec(lines, values)
    assert [line[:4] for line in capsys.readouterr().out.splitlines()] == ["AU06", "AU12", "AU25"]
    assert set(values["prediction"].probabilities) == set(aus.EMOTIONET)
    assert values["faces"]["closeup"].shape == (4, 40, 40, 3)
