"""Each page, empty, busy and broken, as people with any screen see it."""

from __future__ import annotations

import pytest
from tests.kit.pages.browser import Page
from tests.kit.pages.look import READY, SCENES, SHAPES, overflows, violations

LOOKED_AT_BY_AXE = ("light", "phone-dark")
# Hundreds of the same take long, and show what a few of them show.
FEW = [name for name in SCENES if "busy" not in name]


@pytest.mark.parametrize("name", FEW)
async def test_a_page_fits_each_screen_and_is_usable_by_all(page: Page, name: str) -> None:
    async with SCENES[name]() as url:
        for shape in ("light", "phone", "phone-dark"):
            width, height, dark = SHAPES[shape]
            await page.shape(width, height, dark=dark)
            await page.go(url, READY)
            assert not await overflows(page)
            if shape in LOOKED_AT_BY_AXE:
                assert await violations(page) == []
