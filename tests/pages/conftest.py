"""A browser for all tests of pages, in one event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.kit.pages.browser import Browser, Page, browser


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The loop of the browser is that of the tests."""
    for item in items:
        if "tests/pages/" in item.path.as_posix():
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """One browser."""
    async with browser() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def page(chromium: Browser) -> AsyncIterator[Page]:
    """A tab of its own; nothing in it may go wrong."""
    async with chromium.page() as tab:
        await tab.shape(1280, 800)
        yield tab
        assert tab.trouble == []
