"""What every tier needs."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
from collections.abc import Generator, Iterator
from typing import Final

import pytest
from hypothesis import HealthCheck, settings
from tests.kit.figures import pytest_terminal_summary, show
from tests.kit.node.beside import pytest_xdist_make_scheduler

__all__ = ["pytest_terminal_summary", "pytest_xdist_make_scheduler", "show"]


_ENDED: Final = itertools.count(1)


def pytest_configure() -> None:
    """Say that there is no event loop yet.

    Else pytest-asyncio, asking Python 3.11 for the present one, is given a fresh loop that nobody
    closes, and its warning fails whichever test runs when it is collected.
    """
    asyncio.set_event_loop(None)


def pytest_collection_finish() -> None:
    """Have the collector pass over all that was imported: it is asked after each test."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _clears_up() -> Iterator[None]:
    """A socket or task that a test leaves open fails that test, not whichever comes later."""
    yield
    gc.collect()
    if next(_ENDED) % 50 == 0:
        # What pytest keeps of each test would be gone through again after every later one.
        gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With STRICT=1 a test that skips itself is a failure, as a tier that cannot run is."""
    report = yield
    if report.skipped and os.environ.get("STRICT") == "1":
        report.outcome = "failed"
    return report


# A property is about what holds, not about how fast a shared machine checks it. CI draws the same
# examples each time, so that a red run is the change's doing; everybody else draws new ones.
settings.register_profile(
    "mediafleet",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.load_profile("mediafleet")
