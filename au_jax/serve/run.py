"""The course of `--mode=serve`: a model is loaded, and its page is open until the process ends."""

import importlib.util
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path

import numpy as np

from au_jax import log
from au_jax.ensemble import predictor
from au_jax.errors import UserError
from au_jax.predict.model import Model
from au_jax.serve import INSTALL
from au_jax.serve.about import about
from au_jax.serve.upload import Limits

LOCAL = "127.0.0.1"


def serve(workdir: Path, host: str = LOCAL, port: int = 7860, stage: str | None = None) -> None:
    """Serves the page of a model until the process is interrupted.

    Args:
      workdir: the folder of a finished run, or an exported one.
      host: the address of this machine that browsers may use.
      port: 0 for a free one.
      stage: the stage whose selection predicts; by default the last one that can;
        none of an exported folder.

    Raises:
      UserError: Gradio or the face models are not installed, the run is not finished, or the
        address cannot be had.
    """
    if importlib.util.find_spec("gradio") is None:
        raise UserError(f"the page needs Gradio; {INSTALL}")
    limits = Limits()
    port = usable_port(host, port)
    model = Model(*predictor.opened(workdir, stage))
    head = about(workdir, predictor.stage_name(workdir, stage), model, limits)
    # A picture without a face makes the face models ready, or tells that they are missing.
    model.predict([np.zeros((64, 64, 3), np.uint8)], faces="all")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="au_jax_") as uploads:
        # Read when Gradio is imported and when the page is built.
        os.environ.update(
            GRADIO_TEMP_DIR=uploads, GRADIO_ANALYTICS_ENABLED="False", HF_HUB_OFFLINE="1"
        )
        from au_jax.serve import page as web

        page = web.build(model, head, limits)
        try:
            web.start(page, host, port, limits)
            if host != LOCAL:
                log.say(
                    f"--host={host}: everyone who reaches this machine by that address can use the "
                    "page, without a password; their browsers give a camera only to https"
                )
            log.say(f"the page is http://{host}:{port}; Ctrl-C ends it")
            page.block_thread()
        finally:
            page.close()


def usable_port(host: str, port: int) -> int:
    """`port`, or a free one for 0.

    Raises:
      UserError: the port is in use, or the machine has no such address.
    """
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return probe.getsockname()[1]
    except OSError as error:
        raise UserError(
            f"cannot listen at {host}:{port} ({error.strerror}); give another --port or --host"
        ) from error
