"""A small training of drawn faces for both sides, as a config describes it."""

from au_jax.data import datasets
from au_jax.experiment.modes import subject_of, without_dropout
from au_jax.experiment.recipe import Recipe
from au_jax.run_dir import RunFolder
from configs import noisy_student


def make_config():
    """One teacher: OwnNet2 at 32 pixels, eight images a step."""
    config = noisy_student.get_config("default")
    config.order = ("teacher",)
    config.data.update(size=40)
    config.data.synthetic.update(size=40, opt=48, noisy=40, test=24, seed=3)
    config.model.update(image_size=32)
    config.train.update(epochs=1, steps_per_epoch=4, score_batch=8)
    config.stages.teacher.streams.opt.share = 8
    config.devices = 1
    config.compare.threads = 1
    config.optimizer.update(name="sgd", learning_rate=0.05)
    return config


def make_subject(data_dir, path, **changes):
    """(subject, training) of the teacher; `changes` are those of sections, {section: fields}."""
    config = make_config()
    for section, fields in changes.items():
        config[section].update(fields)
    recipe = Recipe(config, RunFolder(path), data_dir)
    assert datasets.is_drawn(recipe.data_folder())
    return subject_of(recipe, "teacher", without_dropout(recipe.stage("teacher")))
