"""What every test relies on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _logging_as_shipped() -> Iterator[None]:
    """A command under test sets logging up for its own streams; the next test starts afresh."""
    yield
    structlog.reset_defaults()
