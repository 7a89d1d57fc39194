"""Reports with their charts."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def drawn_charts():
    """Takes the place of the fixture that leaves them blank."""
