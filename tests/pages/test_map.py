"""The world map in a browser: what is told, and three ways in which nothing is."""

from __future__ import annotations

import pytest
from tests.kit.community import MIDNIGHT, Time
from tests.kit.pages import world_map
from tests.kit.pages.browser import Page
from tests.kit.pages.look import READY, SHAPES, overflows

from mediafleet_scheduler.community.collector import Collector
from mediafleet_scheduler.community.weeks.archive import Archive
from mediafleet_scheduler.core.community.checks.estimate import Estimate
from mediafleet_scheduler.core.community.checks.payouts import Payouts
from mediafleet_scheduler.core.community.weeks.series import OWN, TOLD, Sample

SLIDER = "document.querySelector('#hour')"


async def back(page: Page, hours: int) -> None:
    """Move the slider by the keyboard."""
    await page.run(f"{SLIDER}.focus()")
    for _ in range(hours):
        await page.press("ArrowLeft", 37)


async def labels(page: Page, chosen: str) -> list[str]:
    """What is said of the parts of the map of a kind."""
    said = f"[...document.querySelectorAll('#bins {chosen}')].map((each) => each.ariaLabel)"
    found: list[str] = await page.run(said)
    return found


async def test_suppressed_no_demand_and_no_reporter_look_different_and_are_said(
    page: Page,
) -> None:
    async with world_map.page(world_map.three()) as url:
        await page.go(url, READY)
        assert await page.run("document.querySelector('#ground').className.baseVal") == "untold"
        (told,) = await labels(page, ".told:not(.hidden)")
        assert told.startswith("50 to 55°N, 10 to 15°E: gateways asking 3 to 5")
        (suppressed,) = await labels(page, ".hidden")
        assert suppressed.startswith("40 to 45°N, 75 to 70°W: ")
        assert "too few to tell; told in another hour" in suppressed
        table = await page.run("document.querySelector('#origins').innerText")
        assert "nothing, or too few" in table

        await back(page, 1)
        assert await labels(page, ".hidden") == []
        assert len(await labels(page, ".told")) == 2
        await back(page, 1)
        assert await page.run("document.querySelector('#ground').className.baseVal") == "silent"
        assert await labels(page, "rect") == []
        assert "No operator reports this hour" in await page.run("document.body.innerText")
        keys = "[...document.querySelectorAll('.legend svg rect')]"
        assert await page.run(f"{keys}.map((each) => each.className.baseVal)") == [
            "wider",
            "hidden",
            "untold",
            "silent",
        ]


async def test_the_last_day_is_gone_through_by_keyboard_and_a_bin_says_what_it_is(
    page: Page,
) -> None:
    async with world_map.page(world_map.busy()) as url:
        await page.go(url, READY)
        assert "12 of 22 operators share; the share of the other 10 is unknown" in await page.run(
            "document.querySelector('#share').innerText"
        )
        newest = await page.run(
            f"{SLIDER}.ariaValueText || {SLIDER}.getAttribute('aria-valuetext')"
        )
        await back(page, 23)
        oldest = await page.run(f"{SLIDER}.getAttribute('aria-valuetext')")
        assert (newest[11:16], oldest[11:16]) == ("11:00", "12:00")
        width, height, _ = SHAPES["phone"]
        await page.shape(width, height)
        assert not await overflows(page)
        await page.run("document.querySelector('#bins .told').focus()")
        said = await page.run("document.querySelector('#detail').innerText")
        assert said == (await labels(page, ".told"))[0]


async def test_a_collector_that_does_not_answer_is_said(page: Page) -> None:
    async with world_map.page(world_map.three(), broken=True) as url:
        await page.go(url, "document.body.dataset.state === 'broken'")
        said = await page.run("document.querySelector('#share').innerText")
        assert said == "The collector does not answer; what is shown may be old."


async def test_work_by_kind_is_a_table_of_each_kind_by_itself(page: Page) -> None:
    async with world_map.page(world_map.busy()) as url:
        await page.go(url, READY)
        rows = "[...document.querySelectorAll('#work tr')].map((each) => each.innerText)"
        assert await page.run(rows) == [
            "AI tasks, by model\tall\t12\t120",
            "AI tasks, by model\tblack-forest-labs/FLUX.1-dev\t12\t180",
            "Egress jobs, by resolution\t1080p\t12\t480",
            "Egress jobs, by resolution\t720p\t12\t300",
            "Transcoding, megapixels a second\tall\t12\t1440",
        ]
    async with world_map.page(world_map.nobody()) as url:
        await page.go(url, READY)
        assert await page.run(rows) == ["Nobody shares work by kind"]


async def test_the_day_of_each_origin_is_a_table_by_itself(page: Page) -> None:
    async with world_map.page(world_map.three()) as url:
        await page.go(url, READY)
        rows = "[...document.querySelectorAll('#origins-day tr')].map((each) => each.innerText)"
        assert await page.run(rows) == [
            "40 to 45°N, 75 to 70°W\t1\t10\t10",
            "50 to 55°N, 10 to 15°E\t1\t10\t10",
        ]


async def test_a_day_of_the_store_is_chosen_and_one_that_is_away_is_said(page: Page) -> None:
    store, time = world_map.Kept(), Time(world_map.NOW)
    yesterday = int(MIDNIGHT) - 7200
    store.samples = [
        Sample((("__name__", TOLD), ("operator", "a"), ("region", "eu-west")), yesterday, 1),
        *(
            Sample(
                (("__name__", OWN), ("figure", figure), ("operator", "a"), ("region", "eu-west")),
                yesterday,
                value,
            )
            for figure, value in (("average", 40), ("maximum", 45))
        ),
    ]
    archive = Archive(store, clock=time.clock)
    async with world_map.page(world_map.three(), archive=archive) as url:
        await page.go(url, READY)
        await page.until("document.querySelectorAll('#day option').length === 2")
        days = "[...document.querySelectorAll('#days tr')].map((each) => each.innerText)"
        assert await page.run(days) == ["2026-11-28\teu-west\t1\t40\t45"]
        choose = (
            "document.querySelector('#day').value = '{}';"
            "document.querySelector('#day').dispatchEvent(new Event('change'))"
        )
        await page.run(choose.format("2026-11-28"))
        said = "document.querySelector('#share').innerText"
        await page.until(f"{said}.includes('how many did not is not known')")
        assert "eu-west\t1\tnot told\t40\t45" in await page.run(
            "document.querySelector('#regions').innerText"
        )
        await page.run(choose.format(""))
        await page.until(f"{said}.includes('operators share;')")
        store.away = True
        time.now += 61
        await page.run(choose.format("2026-11-28"))
        await page.until(f"{said}.includes('The store does not answer: this was read at')")


async def test_who_does_not_share_is_estimated_beside_the_tables(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = "document.querySelector('#guesses').hidden"
    async with world_map.page(world_map.busy()) as url:
        await page.go(url, READY)
        assert await page.run(hidden) is True
    said = Payouts(silent=Estimate(50.0, 40.0, 60.0, 3))
    monkeypatch.setattr(Collector, "payouts", property(lambda _: said))
    async with world_map.page(world_map.busy()) as url:
        await page.go(url, READY)
        assert await page.run(hidden) is False
        told = await page.run("document.querySelector('#estimated').innerText")
        assert told.startswith("Estimated, and in no figure above: 50 streams, 40 to 60 by")
