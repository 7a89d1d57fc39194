"""TFDS without its own prints and bars: the user sees ours."""

import contextlib
import io
from collections.abc import Iterator

import tensorflow_datasets as tfds
from absl import logging


@contextlib.contextmanager
def quiet_tfds() -> Iterator[None]:
    """Keeps TFDS from printing and from drawing bars of its own."""
    bars, level = tfds.core.utils.tqdm_utils, logging.get_verbosity()
    bars.disable_progress_bar()
    logging.set_verbosity(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(level)
        bars.enable_progress_bar()
