"""The finished run that is tried on a page, and its model."""

import pytest
from finished_run import networks, red  # noqa: F401

import au_jax


@pytest.fixture
def model(networks, red):  # noqa: F811
    """The model of the run, whose faces are red squares."""
    loaded = au_jax.load(networks)
    loaded._lookers.clear()
    yield loaded
    loaded._lookers.clear()
