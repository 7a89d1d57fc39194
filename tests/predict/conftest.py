"""The finished run that predicts."""

from finished_run import networks, red  # noqa: F401
