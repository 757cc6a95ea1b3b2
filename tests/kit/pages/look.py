"""Screenshots of each page for people to look at: `python -m tests.kit.pages.look FOLDER`."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final

from tests.kit.pages import desks, other_desks, world_map
from tests.kit.pages.browser import Page, browser

from mediafleet_common.pages.site import View
from mediafleet_testbed.tools import browsing

SHAPES: Final = {
    "light": (1280, 800, False),
    "dark": (1280, 800, True),
    "phone": (320, 640, False),
    "phone-dark": (390, 800, True),
}
READY: Final = (
    "document.body.dataset.state === 'broken' || document.body.dataset.state === 'live' && "
    "!document.querySelector('#main').innerText.includes('Loading')"
)
"""Of any page: that it shows what it can."""
Scene = Callable[[], AbstractAsyncContextManager[str]]


@asynccontextmanager
async def _fleets_busy() -> AsyncIterator[str]:
    async with desks.egress_desk() as desk:
        desks.busy(desk)
        yield desk.url("fleets")


@asynccontextmanager
async def _fleets_empty() -> AsyncIterator[str]:
    async with desks.egress_desk() as desk:
        desk.have()
        yield desk.url("fleets")


@asynccontextmanager
async def _fleets_broken() -> AsyncIterator[str]:
    async with desks.egress_desk() as desk:
        desks.busy(desk, pods=20)
        desk.complaint = "no connection to Redis"
        yield desk.url("fleets")


@asynccontextmanager
async def _scaling_busy() -> AsyncIterator[str]:
    async with desks.egress_desk() as desk:
        other_desks.wave(desk)
        yield desk.url("scaling")


@asynccontextmanager
async def _scaling_empty() -> AsyncIterator[str]:
    async with desks.egress_desk() as desk:
        yield desk.url("scaling")


@asynccontextmanager
async def _scaling_broken() -> AsyncIterator[str]:
    async with desks.egress_desk() as desk:
        other_desks.wave(desk)
        desk.demand = [other_desks.demand("recordings", time.time() + 20, 0, known=False)]
        desk.outlook.look()
        yield desk.url("scaling")


def _nodes(many: int) -> Scene:
    text = other_desks.nodes(many).model_dump_json()
    return lambda: other_desks.page(View.NODES, lambda: text)


def _workers(many: int) -> Scene:
    models = () if not many else (other_desks.IMAGES, other_desks.SPEECH, other_desks.LLM)
    text = other_desks.workers_text(many, models)
    return lambda: other_desks.page(View.WORKERS, lambda: text)


def _map(kind: str) -> Scene:
    return lambda: world_map.page(world_map.DAYS[kind](), broken=kind == "broken")


SCENES: Final[dict[str, Scene]] = {
    "fleets-busy": _fleets_busy,
    "fleets-empty": _fleets_empty,
    "fleets-broken": _fleets_broken,
    "nodes-busy": _nodes(500),
    "nodes-empty": _nodes(0),
    "nodes-some": _nodes(12),
    "nodes-broken": lambda: other_desks.page(View.NODES, lambda: None),
    "workers-busy": _workers(500),
    "workers-some": _workers(6),
    "workers-empty": _workers(0),
    "workers-broken": lambda: other_desks.page(View.WORKERS, lambda: None),
    "scaling-busy": _scaling_busy,
    "scaling-empty": _scaling_empty,
    "scaling-broken": _scaling_broken,
    **{f"map-{kind}": _map(kind) for kind in world_map.DAYS},
}
"""What is looked at, by name."""


async def violations(page: Page) -> list[str]:
    """What axe-core finds wrong with the page as it is."""
    await page.run(browsing.axe().read_text(encoding="utf-8"))
    found = await page.run(
        "axe.run(document, {resultTypes: ['violations']}).then((told) => told.violations.map("
        "(each) => `${each.id}: ${each.nodes.slice(0, 3).map((node) => node.target).join(', ')}`))"
    )
    return [str(each) for each in found]


async def overflows(page: Page) -> bool:
    """Whether the page is wider than the screen, or a table of it on a phone."""
    return bool(
        await page.run(
            "document.documentElement.scrollWidth > innerWidth || innerWidth < 600 && "
            "[...document.querySelectorAll('.wide')].some((each) => each.scrollWidth > "
            "each.clientWidth)"
        )
    )


async def main(folder: Path) -> None:
    """Write them all."""
    async with browser() as running:
        for name, scene in SCENES.items():
            async with scene() as url, running.page() as page:
                for shape, (width, height, dark) in SHAPES.items():
                    await page.shape(width, height, dark=dark)
                    await page.go(url, READY)
                    await page.picture(folder / f"{name}-{shape}.png")
                    print(folder / f"{name}-{shape}.png", flush=True)


async def picture(file: Path) -> None:
    """One picture of fleets, for the README."""
    async with desks.egress_desk() as desk, browser() as running, running.page() as page:
        desks.busy(desk, pods=20)
        await page.shape(1100, 620)
        await page.go(desk.url("fleets"), READY)
        await page.picture(file)


if __name__ == "__main__":
    if reason := browsing.why_not():
        sys.exit(f"pages-look: {reason}")
    wanted, target = sys.argv[1:] if len(sys.argv) > 2 else ("", sys.argv[1])
    asyncio.run((picture if wanted == "--picture" else main)(Path(target)))
