"""Each page, empty, busy and broken, as people with any screen see it."""

from __future__ import annotations

import pytest
from tests.kit.pages.browser import Page
from tests.kit.pages.look import SCENES, SHAPES, overflows, violations


@pytest.mark.parametrize("name", [name for name in SCENES if "busy" not in name])
async def test_a_page_is_usable_by_all_and_fits_each_screen(page: Page, name: str) -> None:
    async with SCENES[name]() as url:
        for width, height, dark in SHAPES.values():
            await page.shape(width, height, dark=dark)
            await page.go(url)
            assert not await overflows(page)
            assert await violations(page) == []
