"""Checkpoints on disk: saving, restoring, and the errors of damaged or foreign ones."""

import errno

import grain
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from au_jax import sharding
from au_jax.errors import UserError
from au_jax.training.checkpoint import Checkpoints


@pytest.fixture
def mesh():
    return sharding.make_mesh(2)


def tree(mesh, value=1.0, width=4):
    return sharding.replicate({"a": {"kernel": np.full((3, width), value, np.float32)}}, mesh)


def test_tree_and_data_iterator_come_back(tmp_path, mesh):
    def numbers():
        return iter(grain.MapDataset.range(9).to_iter_dataset())

    data = numbers()
    with Checkpoints.of_states(tmp_path) as states:
        for step in (1, 2, 3):
            next(data)
            states.save(step, tree(mesh, step), data)
        states.wait()
        assert states.numbers() == [2, 3]  # the last two are kept
    with Checkpoints.of_states(tmp_path) as states:
        resumed = numbers()
        restored = states.restore(3, tree(mesh), resumed)
    np.testing.assert_array_equal(restored["a"]["kernel"], np.full((3, 4), 3.0))
    assert restored["a"]["kernel"].sharding.is_equivalent_to(sharding.replicated(mesh), 2)
    assert next(resumed) == 3


def test_a_later_donating_step_does_not_reach_into_a_save(tmp_path, mesh):
    big = sharding.replicate({"a": np.zeros(4_000_000, np.float32)}, mesh)
    add = jax.jit(lambda t: jax.tree.map(lambda x: x + 1, t), donate_argnums=0)
    big = add(big)
    with Checkpoints.of_models(tmp_path) as models:
        models.save(1, big)
        for _ in range(5):
            big = add(big)
        models.wait()
        kept = models.restore(1, jax.tree.map(jnp.zeros_like, big))
    assert (np.asarray(kept["a"]) == 1).all()


def test_models_are_all_kept_until_told(tmp_path, mesh):
    with Checkpoints.of_models(tmp_path) as models:
        for epoch in range(1, 6):
            models.save(epoch, tree(mesh))
        models.wait()
        assert models.numbers() == [1, 2, 3, 4, 5]
        models.delete_after(3)
        assert models.numbers() == [1, 2, 3]


def test_unfinished_saves_are_not_seen(tmp_path, mesh):
    with Checkpoints.of_models(tmp_path) as models:
        models.save(1, tree(mesh))
        models.wait()
    # What a kill in the middle of a save leaves: the temporary folder.
    (tmp_path / "2.orbax-checkpoint-tmp-0").mkdir()
    with Checkpoints.of_models(tmp_path) as models:
        assert models.numbers() == [1]


def test_missing_damaged_and_foreign_checkpoints_are_named(tmp_path, mesh):
    with Checkpoints.of_models(tmp_path) as models:
        models.save(1, tree(mesh))
        models.wait()
        with pytest.raises(UserError, match=r"another model: 'a/kernel' is \(3, 4\) .*\(3, 5\)"):
            models.restore(1, tree(mesh, width=5))
        with pytest.raises(UserError, match="another model: 'b' is absent there"):
            models.restore(1, {**tree(mesh), "b": jnp.zeros(2)})
        with pytest.raises(UserError, match=r"checkpoint .*7 is missing"):
            models.restore(7, tree(mesh))
    for file in (tmp_path / "1" / "tree").rglob("*"):
        if file.is_file() and file.parent.name == "d":
            file.write_bytes(b"")
    with (
        Checkpoints.of_models(tmp_path) as models,
        pytest.raises(UserError, match="cannot be read"),
    ):
        models.restore(1, tree(mesh))


def test_a_full_disk_is_one_sentence_and_keeps_what_is_whole(tmp_path, mesh, monkeypatch):
    with Checkpoints.of_models(tmp_path) as models:
        models.save(1, tree(mesh))
        models.wait()

        def full(*args, **kwargs):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(models._manager, "save", full)
            with pytest.raises(UserError, match="No space left on device; free some space"):
                models.save(2, tree(mesh))
        assert models.numbers() == [1]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_network_that_is_not_finite_is_refused(tmp_path, mesh, value):
    with Checkpoints.of_models(tmp_path) as models:
        models.save(1, tree(mesh, value))
        models.wait()
        shapes = {"a": {"kernel": jax.ShapeDtypeStruct((3, 4), np.float32)}}
        with pytest.raises(UserError, match=r"'a/kernel' of checkpoint .*/1 holds NaN or infinite"):
            models.restore_on(1, shapes, mesh)
