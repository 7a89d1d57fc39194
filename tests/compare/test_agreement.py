"""What is told of the nearness of both sides, by hand and of a training of drawn faces."""

import dataclasses

import jaxtyping
import numpy as np
import pytest
from subjects import make_subject

from au_jax.compare import agreement


def test_the_step_where_losses_part():
    ours, theirs = [2.0, 1.0005, 0.5, 0.4], [2.0, 1.0, 0.51, 0.4]
    curves = agreement.curves(ours, theirs)
    assert curves["parted"] == 3
    assert curves["largest"] == pytest.approx(0.01 / 0.51)
    assert agreement.curves([1.0, 2.0], [1.0005, 2.0])["parted"] is None
    broken = agreement.curves([1.0, float("nan")], [1.0, 2.0])
    assert broken["parted"] == 2
    assert np.isnan(broken["largest"])


@pytest.mark.parametrize("at", ["a", "b"])
def test_a_gradient_that_is_no_number_is_the_largest_difference(at):
    right = {name: np.ones(3, np.float32) for name in "ab"}
    compared = agreement.gradients({**right, at: np.full(3, np.nan)}, right, right)
    assert np.isnan([compared["largest"][pair] for pair in ("jax_torch", "jax_double")]).all()
    assert compared["where"] == at


def test_differences_of_gradients():
    double = {"a": np.array([3.0, 4.0]), "zero": np.zeros(2)}
    ours = {"a": np.array([3.0, 4.5]), "zero": np.array([0.0, 1e-4])}
    theirs = {"a": np.array([3.0, 4.0]), "zero": np.zeros(2)}
    compared = agreement.gradients(ours, theirs, double)
    assert compared["each"]["a"]["jax_torch"] == pytest.approx(0.1)
    # Measured by 1e-4 of the norm of all gradients, which is 5.
    assert compared["each"]["zero"]["jax_double"] == pytest.approx(0.2)
    assert compared["largest"]["torch_double"] == 0
    assert compared["where"] == "zero"


@pytest.fixture(scope="module")
def subject(data_dir, tiny_faces, tmp_path_factory):
    return make_subject(data_dir, tmp_path_factory.mktemp("compare"))


def measure(subject, training, **changes):
    options = {"steps": 3, "seeds": 1, "double": False, "own_augmentation": False}
    return agreement.measure(subject, training, **{**options, **changes})


def test_both_sides_of_a_training_agree(subject):
    compared = measure(*subject, seeds=2)
    assert compared["loss"]["relative"] < 1e-5
    largest = compared["gradients"]["largest"]
    assert 0 < largest["jax_double"] < max(1e-4, 10 * largest["torch_double"])
    assert compared["double"] is None
    assert compared["bisection"] is None
    assert len(compared["curves"]["jax"]) == 3
    assert compared["curves"]["parted"] is None
    final = compared["final"]
    assert final["split"] == "opt-val"
    assert len(final["figures"]["f1"]["jax"]) == 2
    np.testing.assert_allclose(*final["figures"]["final_score"].values(), atol=0.02)
    assert set(final["au"]) == set(subject[1].method.aus)


@pytest.fixture
def unchecked():
    """The dtypes that annotations promise are those without 64 bits."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def test_both_sides_agree_in_float64(subject, unchecked):
    compared = agreement.in_double(*subject)
    assert compared["loss"] < 1e-5
    assert compared["gradients"] < 1e-4


def test_a_wrong_layer_is_named(subject, monkeypatch):
    right = agreement.counterpart_of

    def wrong(of):
        counterpart = right(of)

        def state(params, batch_stats):
            arrays = counterpart.state(params, batch_stats)
            if batch_stats:
                arrays["backbone.bn2.bias"] = arrays["backbone.bn2.bias"] + 1
            return arrays

        return dataclasses.replace(counterpart, state=state)

    monkeypatch.setattr(agreement, "counterpart_of", wrong)
    compared = measure(*subject, steps=1)
    assert compared["loss"]["relative"] > 1e-4
    assert "In backbone the first layer that differs is bn2 (conv2/norm)" in compared["bisection"]


def test_gradients_are_those_of_the_first_step_that_has_a_loss(subject, monkeypatch):
    method_of = type(subject[0]).method

    def late(of):
        method = method_of(of)

        def loss(params, batch_stats, method_state, batch, step, key):
            value, others = method.loss(params, batch_stats, method_state, batch, step, key)
            return value * (step > 0), others

        return dataclasses.replace(method, loss=loss)

    monkeypatch.setattr(type(subject[0]), "method", late)
    first = measure(*subject, steps=1)
    assert first["loss"]["step"] == 2
    assert first["loss"]["jax"] > 0.1
    assert first["loss"]["relative"] < 1e-4
    assert first["gradients"]["largest"]["jax_torch"] < 1e-3


def test_each_side_may_augment_by_itself(subject):
    subject, training = subject
    own = measure(dataclasses.replace(subject, readers=0), training, own_augmentation=True)
    assert own["loss"]["relative"] < 1e-5  # of the same images still
    ours, theirs = own["curves"]["jax"], own["curves"]["torch"]
    assert own["curves"]["parted"] is not None
    np.testing.assert_allclose(ours, theirs, rtol=0.3)
