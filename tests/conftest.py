"""What every test relies on."""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

# Half a million objects come with what the tests import, and stay: looking for rubbish among them
# takes a third of the time until the first test runs.
gc.disable()

# A loaded machine is no fault: no test judges by the clock.
settings.register_profile("fusewatch", deadline=None)
settings.load_profile("fusewatch")


_SYSTEM_DONE_AT = 0.6  # of the other files, so that none of the long ones is left for the end


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files whose tests wait among those whose tests compute.

    Side by side they take as long as the processors need, where one sort after the other leaves
    them idle for minutes. The order of the tests of a file stays, as what they share does.
    """
    files: dict[Path, list[pytest.Item]] = defaultdict(list)
    for item in items:
        files[item.path].append(item)
    waiting = [path for path in files if any(t.get_closest_marker("system") for t in files[path])]
    computing = [path for path in files if path not in waiting]
    places = [
        *((number * _SYSTEM_DONE_AT / len(waiting), path) for number, path in enumerate(waiting)),
        *((number / len(computing), path) for number, path in enumerate(computing)),
    ]
    items[:] = [test for _, path in sorted(places) for test in files[path]]


def pytest_collection_finish() -> None:
    """Everything is imported: look for rubbish from now on, and not among that."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _logging_as_shipped() -> Iterator[None]:
    """A command under test sets logging up for its own streams; the next test starts afresh."""
    yield
    structlog.reset_defaults()
