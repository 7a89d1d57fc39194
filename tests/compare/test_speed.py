"""Ratios by hand, sides that take turns in processes of their own, and a step of each."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
import torch
from fake_side import FakeSide
from subjects import make_subject

from au_jax.compare import run, sides, speed
from au_jax.errors import UserError

AGREEMENT = {"double": None, "curves": {"parted": None}, "loss": {"step": 1}, "bisection": None}


def test_a_ratio_is_that_of_the_rates_within_each_round():
    same = speed.ratio([1.0, 2.0, 4.0], [2.0, 4.0, 8.0])
    assert same == {"median": 2.0, "low": 2.0, "high": 2.0}
    spread = speed.ratio([1.0, 1.0, 1.0, 1.0, 1.0], [0.5, 0.8, 0.9, 1.0, 2.0])
    assert spread["median"] == 0.9
    assert 0.5 <= spread["low"] < 0.9 < spread["high"] <= 2.0


def measure(monkeypatch, makers, comparable, predicted=4):
    monkeypatch.setattr(speed, "_start_up", lambda environment: {"jax": 1.0, "torch": 2.0})
    return speed.measure(
        makers,
        images_per_step=6,
        images_per_prediction=predicted,
        comparable=comparable,
        rounds=2,
        steps=3,
        threads=1,
    )


def test_sides_take_turns_and_the_fastest_comparable_variant_is_compared(monkeypatch):
    makers = {
        "jax": functools.partial(FakeSide, 2.0),
        "eager": functools.partial(FakeSide, 3.0),
        "amp": functools.partial(FakeSide, 1.0),
        "compile": functools.partial(FakeSide, 1.0, "first_step"),
    }
    figures = measure(monkeypatch, makers, comparable=["eager", "compile"])
    assert figures["compared"] == "eager"
    assert figures["failed"] == {"compile": "ValueError: there is no compiler"}
    assert figures["sides"]["jax"]["on_device"]["rounds"] == [3.0, 3.0]
    assert figures["sides"]["jax"]["with_input"]["median"] == 1.5
    assert figures["sides"]["eager"]["compile_seconds"] == 4.0
    assert figures["sides"]["eager"]["peak_memory_mib"] == 3.0
    assert figures["ratio"]["eager"]["on_device"]["median"] == 1.5
    assert figures["ratio"]["amp"]["on_device"]["median"] == 0.5
    assert figures["ratio"]["amp"]["with_input"] is None
    # Predictions of a fake side take 5 s less its step: 3, 2 and 4.
    assert figures["sides"]["jax"]["predicting"]["rounds"] == [4 / 3, 4 / 3]
    assert figures["ratio"]["eager"]["predicting"]["median"] == 2 / 3
    assert figures["compared_predicting"] == "eager"


@pytest.mark.parametrize("broken", ["steps", "predictions"])
def test_a_variant_that_fails_later_is_told_and_compared_no_more(monkeypatch, broken):
    makers = {
        "jax": functools.partial(FakeSide, 2.0),
        "eager": functools.partial(FakeSide, 3.0),
        "compile": functools.partial(FakeSide, 1.0, broken),
    }
    figures = measure(monkeypatch, makers, comparable=["eager", "compile"])
    assert figures["compared"] == "eager"
    assert figures["failed"] == {"compile": "ValueError: there is no compiler"}
    assert figures["sides"]["eager"]["with_input"]["median"] == 1.0
    assert "with_input" not in figures["sides"].get("compile", {})
    assert all("on_device" in side for side in figures["sides"].values())
    assert figures["ratio"]["eager"]["with_input"]["median"] == 1.5


def test_a_speed_that_cannot_be_measured_leaves_the_agreement(
    monkeypatch, data_dir, tmp_path, tiny_faces
):
    subject, training = make_subject(data_dir, tmp_path)

    def fails(*_):
        raise speed.SideFailed("Killed")

    monkeypatch.setattr(run, "_speed", fails)
    monkeypatch.setattr(run, "_agreement", lambda *_, **__: AGREEMENT)
    options = {"steps": 1, "seeds": 1, "double": False, "own_augmentation": False}
    results = run.measure(
        {"a": (subject, training)},
        recipe="r",
        remarks=[],
        rounds=1,
        round_steps=1,
        variants=(),
        threads=1,
        **options,
    )
    told = results["trainings"]["a"]
    assert told["speed"] is None
    assert told["agreement"] == AGREEMENT
    assert told["notes"][-1] == "The speed could not be measured: Killed"


def test_a_training_that_predicts_no_aus_is_not_timed_at_it(monkeypatch):
    makers = {n: functools.partial(FakeSide, 2.0) for n in ("jax", "eager")}
    figures = measure(monkeypatch, makers, comparable=["eager"], predicted=0)
    assert figures["sides"]["jax"]["predicting"] is figures["compared_predicting"] is None
    assert figures["ratio"]["eager"]["predicting"] is None


def test_sides_are_closed_before_their_processes_end(monkeypatch, tmp_path):
    files = {name: tmp_path / name for name in ("jax", "eager", "amp")}
    makers = {
        name: functools.partial(FakeSide, 2.0, closed=str(path)) for name, path in files.items()
    }
    measure(monkeypatch, makers, comparable=["eager"])
    assert all(path.exists() for path in files.values())


def test_no_working_variant_is_an_error(monkeypatch):
    makers = {
        "jax": functools.partial(FakeSide, 2.0),
        "compile": functools.partial(FakeSide, 1.0, "first_step"),
    }
    with pytest.raises(UserError, match=r"no variant of PyTorch can train here \(compile: Value"):
        measure(monkeypatch, makers, comparable=["compile"])


def test_both_sides_train_with_and_without_input(data_dir, tiny_faces, tmp_path):
    subject, _ = make_subject(data_dir, tmp_path)
    subject = dataclasses.replace(subject, readers=0)
    parcel = run._parcel(subject)
    ours = sides.JaxSide(subject)
    theirs = sides.TorchSide(subject, parcel, "channels_last", torch.get_num_threads())
    for side in (ours, theirs):
        assert side.first_step()["first_step_seconds"] > 0
        assert side.steps(2) > 0
        assert side.predictions(1) > 0
        assert side.fed_steps(1) > 0
        assert side.peak_memory() >= 0
    assert int(ours._state.step) == 5  # one ahead of the clock
    kernel = parcel.params["backbone"]["conv1"]["conv"]["kernel"]
    trained = theirs._training.counterpart.module.backbone.conv1.weight.detach()
    moved = trained.permute(2, 3, 1, 0).numpy() - kernel
    assert 1e-5 < np.abs(moved).max() < 1


def test_images_are_put_into_a_drawn_batch_in_order():
    drawn = {
        "first": torch.zeros(2, 3, 4, 4),
        "mask": torch.ones(2, 5),
        "second": torch.zeros(1, 3, 4, 4).to(memory_format=torch.channels_last),
    }
    images = torch.full((3, 3, 4, 4), 255, dtype=torch.uint8)
    images[2] = 51
    replaced = sides._with_images(drawn, images)
    torch.testing.assert_close(replaced["first"], torch.ones(2, 3, 4, 4))
    torch.testing.assert_close(replaced["second"], torch.full((1, 3, 4, 4), 0.2))
    assert replaced["mask"] is drawn["mask"]
    assert jax.tree.structure(replaced) == jax.tree.structure(drawn)
