"""What the benchmark says of each stage; how fast it is, is not tested."""

import pytest

from au_jax import sharding
from au_jax.benchmark import throughput
from au_jax.errors import UserError
from au_jax.experiment import modes
from au_jax.experiment.recipe import Recipe
from au_jax.run_dir import RunFolder
from configs import noisy_student, recot


def test_every_kind_of_training_is_measured_once(data_dir, tiny_faces, tmp_path):
    config = recot.get_config("default")
    config.data.synthetic.update(size=40, opt=48, noisy=40, test=24, seed=3)
    config.model.update(backbone="tiny", image_size=32)
    config.train.update(epochs=3)
    config.devices = 1
    parts = Recipe(config, RunFolder(tmp_path), data_dir)
    trainings = parts.trainings()
    assert list(trainings) == ["baseline", "both", "recot"]
    images = {n: sum(s.share for s in t.streams.values()) for n, t in trainings.items()}
    assert images == {"baseline": 32, "both": 64, "recot": 64}
    two = {name: trainings[name] for name in ("baseline", "recot")}
    figures = throughput.measure_steps(two, sharding.make_mesh(1), steps=1)
    assert set(figures) == set(two)
    assert all(own["images_per_second"] > 0 for own in figures.values())
    assert [name for name, own in figures.items() if "end_of_epoch" in own] == ["recot"]
    seconds = throughput.measure_scaling(trainings["baseline"], sharding.make_mesh(4), steps=1)
    assert list(seconds) == [1, 2, 4]
    assert min(seconds.values()) > 0


def test_a_training_of_fewer_steps_than_are_measured(data_dir, tiny_faces, tmp_path):
    config = recot.get_config("default")
    config.data.synthetic.update(size=40, opt=48, noisy=40, test=24, seed=3)
    config.model.update(backbone="tiny", image_size=32)
    config.train.update(epochs=1, steps_per_epoch=2)
    trainings = Recipe(config, RunFolder(tmp_path), data_dir).trainings()
    figures = throughput.measure(trainings["baseline"], sharding.make_mesh(1), steps=3)
    assert min(figures[part] for part in ("input", "step", "loop", "together")) > 0
    assert figures["compilations"] == 1


def test_a_config_that_trains_nothing_is_not_measured(data_dir, tmp_path):
    config = noisy_student.get_config()
    config.order = ("svm",)
    with pytest.raises(UserError, match="config noisy_student has no training stage to measure"):
        modes.measure(config, data_dir)
    with pytest.raises(UserError, match="config noisy_student has no training stage to measure"):
        modes.measure_dry(config, tmp_path, data_dir)
