"""Who may work in a workdir: one process alone, or several that share out a run's stages."""

import contextlib
import time
from collections.abc import Iterator

import jax

from au_jax import log, sharding
from au_jax.errors import UserError
from au_jax.experiment.check import stages_read
from au_jax.experiment.recipe import Recipe
from au_jax.files import atomic_files, lock
from au_jax.files.atomic_files import make_folder
from au_jax.run_dir import RunFolder

# Seconds between looks at what other processes have finished.
_LOOK_AGAIN = 1.0


@contextlib.contextmanager
def claimed(folder: RunFolder, share: bool = False) -> Iterator[None]:
    """Makes a workdir that is new, and keeps other runs out of it while the block runs.

    What killed runs left half-written is swept away. Of several processes that train together the
    first holds the lock.

    Args:
      share: whether other processes that share may work there meanwhile.

    Raises:
      UserError: another process works there; sharing is impossible.
    """
    if share and jax.process_count() > 1:
        raise UserError(
            "--share is for processes with devices of their own, each of which takes other "
            "stages; these train one stage together, so leave it out"
        )
    make_folder(folder.path / "stages", f"--workdir={folder.path}")
    with contextlib.ExitStack() as held:
        if jax.process_index() == 0:
            take = lock.together if share else lock.alone
            held.enter_context(atomic_files.locked(take, folder.lock, f"writes into {folder.path}"))
            if not share:
                atomic_files.sweep(folder.path)
        sharding.barrier("the workdir is claimed")
        yield


def unfinished(recipe: Recipe) -> list[str]:
    """The stages that are not finished, in order."""
    return [name for name in recipe.names if not recipe.run.stage(name).done]


def stages_in_turn(recipe: Recipe) -> Iterator[str]:
    """The stages that this process is to run, while others of the same run take theirs.

    A stage is taken when all that it reads is finished and no other process runs it; what a killed
    process had begun goes to the next one that looks. The end is reached when all are finished.

    Yields:
      The name of a stage, which no other process takes before the next is asked for.
    """
    said = ""
    reads = {name: stages_read(recipe.stage(name)) for name in recipe.names}
    while left := unfinished(recipe):
        others = ""
        for name in left:
            folder = recipe.run.stage(name)
            if not all(recipe.run.stage(read).done for read in reads[name]):
                continue
            make_folder(folder.path, f"--workdir={recipe.run.path}")
            try:
                with atomic_files.locked(lock.alone, folder.lock, f"works on {name}"):
                    if not folder.done:
                        atomic_files.sweep(folder.path)
                        yield name
                break  # Stages that waited for this one come before later ones.
            except lock.Held as held:
                others = others or str(held)
        else:
            if others and others != said:
                log.say(f"no stage is free: {others}")
                said = others
            time.sleep(_LOOK_AGAIN)
