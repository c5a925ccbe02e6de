"""What every test relies on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

# A loaded machine is no fault: no test judges by the clock.
settings.register_profile("fusewatch", deadline=None)
settings.load_profile("fusewatch")


@pytest.fixture(autouse=True)
def _logging_as_shipped() -> Iterator[None]:
    """A command under test sets logging up for its own streams; the next test starts afresh."""
    yield
    structlog.reset_defaults()
