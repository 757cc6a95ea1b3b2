"""The page of fleets in a browser."""

from __future__ import annotations

import time
from pathlib import Path

from tests.kit.figures import Show
from tests.kit.pages.browser import Page
from tests.kit.pages.desks import EgressDesk, busy, egress_desk, fleet
from tests.kit.pages.look import overflows, violations

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.serving.access import TokenFile

SLOW = 10
"""A loaded machine may take so many times what a page may take on a quiet one."""


def three(desk: EgressDesk) -> None:
    """A fleet of three pods, of which one has a job."""
    made = fleet("rec", 3)
    desk.have(made)
    desk.place(made, made.workers[1], RequestType.TRACK)
    desk.tell_loads()


async def test_500_pods_are_shown_in_two_seconds(page: Page, show: Show) -> None:
    async with egress_desk() as desk:
        busy(desk)
        began = time.monotonic()
        await page.go(desk.url("fleets"), "document.querySelectorAll('.pod').length === 500")
        seconds = time.monotonic() - began
        show(f"500 pods were shown after {seconds:.2f} s")
        assert seconds < 2.0 * SLOW
        await page.shape(320, 640)
        assert not await overflows(page)


async def test_a_job_is_seen_within_a_second_of_its_placement(page: Page, show: Show) -> None:
    async with egress_desk() as desk:
        three(desk)
        await page.go(desk.url("fleets"))
        made = desk.fleets[0]
        began = time.monotonic()
        desk.place(made, made.workers[2], RequestType.WEB)
        await page.until("document.querySelectorAll('.pod')[2].innerText.includes('1 web')")
        seconds = time.monotonic() - began
        show(f"a placement was seen after {seconds:.2f} s")
        assert seconds < 1.0 * SLOW
        assert "EG_000002" in await page.run("document.querySelector('#placements').innerText")


async def test_arrows_go_from_pod_to_pod_and_enter_tells_why_it_is_next_or_not(page: Page) -> None:
    async with egress_desk() as desk:
        three(desk)
        await page.go(desk.url("fleets"))
        await page.run("document.querySelector('.pod[tabindex=\"0\"]').focus()")
        await page.press("ArrowRight", 39)
        assert await page.run("document.activeElement.innerText") == await page.run(
            "document.querySelectorAll('.pod')[1].innerText"
        )
        await page.run("document.activeElement.click()")
        await page.until("document.querySelector('#detail-body b')")
        said = await page.run("document.querySelector('#detail-body').innerText")
        assert "2 of 3 pods that it fits come before this one." in said
        assert await violations(page) == []
        await page.press("Escape", 27)
        await page.until("!document.querySelector('#detail').open")


async def test_a_desk_that_is_away_is_said_and_what_is_shown_stays(page: Page) -> None:
    async with egress_desk() as desk:
        three(desk)
        await page.go(desk.url("fleets"))
    await page.until("document.body.dataset.state === 'broken'")
    assert "Shown is what was so at" in await page.run("document.querySelector('#state').innerText")
    assert await page.run("document.querySelectorAll('.pod').length") == 3


async def test_who_has_no_token_is_asked_for_it_and_then_sees(page: Page, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("open sesame")
    async with egress_desk(TokenFile(tmp_path / "token")) as desk:
        three(desk)
        await page.go(desk.url("fleets"), "!document.querySelector('#ask').hidden")
        assert await violations(page) == []
        await page.run(
            "document.querySelector('#token').value = 'open sesame';"
            "document.querySelector('#ask').requestSubmit()"
        )
        await page.until("document.querySelectorAll('.pod').length === 3")
        assert await page.run("document.querySelector('#ask').hidden")


async def test_a_page_that_stays_open_keeps_its_size(page: Page, show: Show) -> None:
    """A day of changes, shortened: what stays of them is nothing."""
    async with egress_desk() as desk:
        three(desk)
        await page.go(desk.url("fleets"))
        told = await page.run("fetch('data').then((answer) => answer.json())")
        assert len(told["fleets"]) == 1
        sizes = []
        for _ in range(3):
            await page.run(
                "(async () => { const { fleets } = await import('./fleets.js');"
                "const told = await (await fetch('data')).json();"
                "for (let n = 0; n < 300; n += 1) {"
                "told.fleets[0].pods[0].free = n; fleets.show(told); } })()"
            )
            await page.call("HeapProfiler.collectGarbage")
            sizes.append((await page.call("Runtime.getHeapUsage"))["usedSize"])
        show(f"bytes in use after 300, 600 and 900 changes: {sizes}")
        assert sizes[2] - sizes[1] < 200_000
