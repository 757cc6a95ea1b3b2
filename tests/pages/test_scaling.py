"""The page of scaling in a browser."""

from __future__ import annotations

import time

from tests.kit.pages.browser import Page
from tests.kit.pages.desks import egress_desk
from tests.kit.pages.look import violations
from tests.kit.pages.other_desks import demand, wave


async def test_two_hours_are_drawn_and_what_comes_later_is_added(page: Page) -> None:
    async with egress_desk() as desk:
        wave(desk)
        await page.go(desk.url("scaling"), "document.body.dataset.drawn === '720'")
        assert await page.run("document.querySelectorAll('.uplot canvas').length") == 2
        assert await violations(page) == []
        desk.demand = [demand("recordings", time.time() + 60, 33)]
        desk.outlook.look()
        await page.until("document.querySelector('#told').innerText.includes('33 running')")
        # The times of the table may have a 33, too.
        first = "document.querySelector('#numbers tbody tr').innerText.split('\\t')"
        await page.until(f"{first}[4] === '33'")


async def test_without_fleets_there_is_a_word_and_no_empty_chart(page: Page) -> None:
    async with egress_desk() as desk:
        await page.go(
            desk.url("scaling"), "document.querySelector('#told').innerText !== 'Loading'"
        )
        assert "no fleets that scale" in await page.run("document.querySelector('main').innerText")
        assert await page.run("document.querySelector('main section:not([hidden])')") is None
        wave(desk, hours=0.1)
        await page.until("document.querySelectorAll('main section:not([hidden])').length === 3")


async def test_another_page_is_a_click_away_and_the_charts_are_given_up(page: Page) -> None:
    async with egress_desk() as desk:
        wave(desk, hours=0.1)
        await page.go(desk.url("scaling"), "document.querySelector('.uplot')")
        await page.run("document.querySelector('nav a').click()")
        await page.until("document.title.startsWith('Fleets')")
        assert await page.run("document.querySelectorAll('.uplot').length") == 0


async def test_a_day_is_chosen_by_keyboard_and_drawn_in_steps_of_ten_minutes(page: Page) -> None:
    async with egress_desk() as desk:
        wave(desk, hours=24)
        await page.go(desk.url("scaling"), "document.body.dataset.drawn === '720'")
        await page.run("document.querySelector('#range').focus()")
        await page.press("ArrowDown", 40)
        steps = "Number(document.body.dataset.drawn)"
        await page.until(f"{steps} >= 143 && {steps} <= 145")
        assert await violations(page) == []
        await page.press("ArrowUp", 38)
        await page.until("document.body.dataset.drawn === '720'")


async def test_a_forecast_is_drawn_and_listed_where_one_is_made(page: Page) -> None:
    async with egress_desk() as desk:
        wave(desk, hours=0.1)
        await page.go(desk.url("scaling"), "document.querySelector('.uplot')")
        said = "document.querySelector('.u-legend').innerText + %s"
        numbers = "document.querySelector('#numbers').innerText"
        assert "forecast" in await page.run(said % "''")
        assert "Forecast" in await page.run(numbers)
        desk.demand = [demand("plain", time.time(), 33)]
        desk.outlook.look()
        await page.until("document.querySelector('#told').innerText.includes('33 running')")
        await page.until(f"!{numbers}.includes('Forecast')")
        assert "orecast" not in await page.run(said % numbers)
