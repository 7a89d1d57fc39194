"""Checkpoints on disk, by Orbax: every epoch's model, the last two whole training states.

Saves are asynchronous and atomic: a checkpoint is written under a temporary name and renamed when
it is whole, so that a killed run never leaves half of one under its final name. Orbax and Grain are
imported when a folder of them is opened: it takes a second, which most modes need not wait for.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
from jax.sharding import Mesh

from au_jax import sharding
from au_jax.errors import UserError
from au_jax.files import finite_weights

if TYPE_CHECKING:
    import grain

PyTree = Any
_KEPT_STATES = 2
ONLY_EPOCH = 1


@contextlib.contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """Turns what Orbax and TensorStore raise for a full or unwritable disk into one sentence."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        text = str(error)
        signs = (
            *("No space left", "RESOURCE_EXHAUSTED", "quota", "File too large"),
            *("Permission denied", "Read-only"),
        )
        if isinstance(error, OSError) or any(sign in text for sign in signs):
            reason = getattr(error, "strerror", None) or text.splitlines()[0]
            raise UserError(
                f"cannot save a checkpoint in {folder}: {reason}; free some space (or name another "
                "--workdir) and start the same command again: it goes on from the last whole one"
            ) from error
        raise


def first_difference(first: PyTree, second: PyTree) -> tuple[str, Any, Any] | None:
    """The first leaf, by name, that has different shapes in two pytrees.

    Returns:
      The leaf's name and its shape in either tree, "absent" where a tree lacks it; None where all
      leaves agree.
    """
    shapes = [
        {
            jax.tree_util.keystr(path, simple=True, separator="/"): tuple(leaf.shape)
            for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
        }
        for tree in (first, second)
    ]
    for leaf in sorted(shapes[0].keys() | shapes[1].keys()):
        in_first, in_second = (of_tree.get(leaf, "absent") for of_tree in shapes)
        if in_first != in_second:
            return leaf, in_first, in_second
    return None


def save_only(folder: Path, tree: PyTree) -> None:
    """Keeps a network that is not trained as `ONLY_EPOCH`, in the place of what is there.

    Raises:
      UserError: the disk is full.
    """
    with Checkpoints.of_models(folder) as checkpoints:
        checkpoints.delete_after(0)
        checkpoints.save(ONLY_EPOCH, tree)
        checkpoints.wait()


class Checkpoints:
    """A folder of numbered checkpoints of pytrees."""

    def __init__(self, folder: Path, keep: int, mend: str):
        """Opens or makes the folder.

        Args:
          folder: where the checkpoints lie.
          keep: how many of the newest checkpoints are kept; 0 keeps all.
          mend: what to do where one cannot be read.

        Raises:
          UserError: the folder cannot be written.
        """
        import grain
        import orbax.checkpoint as ocp
        from orbax.checkpoint import checkpoint_managers

        self.folder, self._mend = folder.absolute(), mend
        policy = checkpoint_managers.LatestN(keep or None)
        with _disk_errors(self.folder):
            self._manager = ocp.CheckpointManager(
                self.folder,
                item_handlers={
                    "tree": ocp.StandardCheckpointHandler(),
                    "data": grain.checkpoint.CheckpointHandler(),
                },
                options=ocp.CheckpointManagerOptions(
                    preservation_policy=policy, cleanup_tmp_directories=True
                ),
            )

    @classmethod
    def of_models(cls, folder: Path) -> "Checkpoints":
        """Networks numbered by epoch, all of them kept until they are deleted."""
        return cls(folder, 0, "restore it, or delete the stage's folder to train it again")

    @classmethod
    def of_states(cls, folder: Path) -> "Checkpoints":
        """Whole training states numbered by step, the newest two kept."""
        mend = "delete it, and the same command goes on from the one before"
        return cls(folder, _KEPT_STATES, mend)

    def numbers(self) -> list[int]:
        """The numbers of the whole checkpoints, ascending."""
        return sorted(self._manager.all_steps())

    def save(self, number: int, tree: PyTree, data: "grain.DatasetIterator | None" = None) -> None:
        """Starts to save `tree` (and the data iterator's state) as checkpoint `number`.

        Raises:
          UserError: the disk is full; possibly only at the next `save` or `wait`.
        """
        import grain
        from orbax.checkpoint import args

        items = {"tree": args.StandardSave(tree)}
        if data is not None:
            items["data"] = grain.checkpoint.CheckpointSave(data)
        with _disk_errors(self.folder):
            self._manager.save(number, args=args.Composite(**items))

    def restore(
        self, number: int, like: PyTree, data: "grain.DatasetIterator | None" = None
    ) -> PyTree:
        """The tree of checkpoint `number`; sets `data` to where it stood when that was saved.

        Args:
          number: of the checkpoint.
          like: pytree of arrays or shapes with shardings, of the same structure.
          data: the iterator to set, if any.

        Raises:
          UserError: the checkpoint is missing, damaged, or of another model.
        """
        import grain
        from orbax.checkpoint import args, utils

        where = f"{self.folder / str(number)}"
        items = {"tree": args.StandardRestore(jax.tree.map(utils.to_shape_dtype_struct, like))}
        if data is not None:
            items["data"] = grain.checkpoint.CheckpointRestore(data)
        try:
            self._check_same_model(number, like)
            return self._manager.restore(number, args=args.Composite(**items))["tree"]
        except FileNotFoundError as error:
            raise UserError(
                f"checkpoint {where} is missing or lacks a file; {self._mend}"
            ) from error
        except UserError:
            raise
        # Orbax and TensorStore raise errors of many types for damaged files.
        except Exception as error:
            cause = (str(error) or repr(error)).splitlines()[0]
            raise UserError(f"checkpoint {where} cannot be read ({cause}); {self._mend}") from error

    def _check_same_model(self, number: int, like: PyTree) -> None:
        from orbax.checkpoint import utils

        stored = self._manager.item_metadata(number)["tree"]
        if stored is None:
            raise FileNotFoundError
        differing = first_difference(
            getattr(stored, "tree", stored), utils.serialize_tree(like, True)
        )
        if differing is not None:
            leaf, stored_shape, wanted_shape = differing
            raise UserError(
                f"checkpoint {self.folder / str(number)} is of another model: '{leaf}' is "
                f"{stored_shape} there and {wanted_shape} in this config; use the config and the "
                "version of au_jax that made it, or delete the stage's folder to train it again"
            )

    def restore_on(self, number: int, shapes: PyTree, mesh: Mesh) -> PyTree:
        """The tree of checkpoint `number` on every device, its leaves of these shapes.

        Raises:
          UserError: see `restore`; a number in it is not finite.
        """
        whole = sharding.replicated(mesh)
        like = jax.tree.map(
            lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=whole), shapes
        )
        tree = self.restore(number, like)
        named = (
            (jax.tree_util.keystr(path, simple=True, separator="/"), leaf)
            for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
        )
        finite_weights.check(named, f"checkpoint {self.folder / str(number)}", self._mend)
        return tree

    def delete_after(self, number: int) -> None:
        """Deletes the checkpoints above `number`, which a resumed run makes again."""
        for kept in self.numbers():
            if kept > number:
                self._manager.delete(kept)

    def delete(self, number: int) -> None:
        """Deletes checkpoint `number`, if there is one."""
        if number in self.numbers():
            self._manager.delete(number)

    def wait(self) -> None:
        """Returns when all that was started to save is whole on disk."""
        with _disk_errors(self.folder):
            self._manager.wait_until_finished()

    def close(self) -> None:
        with _disk_errors(self.folder):
            self._manager.close()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
