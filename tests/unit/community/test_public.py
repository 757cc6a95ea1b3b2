"""On the port that gateways call is what the HTTP port shows, and nothing beside it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from tests.kit.community import PEERS, Time, an_hour, reporter

from mediafleet_scheduler.community.public import MOST_BYTES, PublicPages
from mediafleet_scheduler.community.state import State
from mediafleet_scheduler.core.community.pages.summary import as_html
from mediafleet_scheduler.core.community.rendering import as_json, as_prometheus

BROWSER = b"text/html,application/xhtml+xml,*/*;q=0.8"


def test_both_pages_and_the_one_for_browsers_are_what_is_shared() -> None:
    time = Time()
    mine = reporter(time)
    public = PublicPages(mine)
    an_hour(time, mine, PEERS)
    public.look()
    shared = mine.shared
    assert json.loads(public.answer(b"/summary", b"*/*").body) == as_json(shared)
    assert public.answer(b"/metrics/community", BROWSER).body.decode() == as_prometheus(shared)
    page = public.answer(b"/summary", BROWSER)
    assert page.media.startswith("text/html")
    assert page.body.decode() == as_html(as_json(shared))
    assert "<h1>Demand in eu-west</h1>" in page.body.decode()


def test_nothing_else_is_there() -> None:
    public = PublicPages(reporter(Time()))
    for path in (
        b"/",
        b"/metrics",
        b"/community/status",
        b"/summary/2026-11-29",
        b"/orchestrators",
    ):
        assert public.answer(path, b"").status == 404


def test_a_page_is_made_once_for_each_change() -> None:
    time = Time()
    mine = reporter(time)
    public = PublicPages(mine)
    first = public.answer(b"/summary", b"")
    public.look()
    assert public.answer(b"/summary", b"") is first
    an_hour(time, mine, PEERS)
    public.look()
    assert public.answer(b"/summary", b"") is not first


async def test_who_has_left_shows_so_within_a_look(tmp_path: Path) -> None:
    state = State(tmp_path)
    mine = reporter(Time(), state=state)
    public = PublicPages(mine)
    state.leave()
    looking = asyncio.create_task(public.run())
    async with asyncio.timeout(60):
        while public.answer(b"/summary", b"").status != 410:  # noqa: ASYNC110 - it is a file
            await asyncio.sleep(0.01)
    looking.cancel()
    assert json.loads(public.answer(b"/metrics/community", b"").body)["left"] is True


@given(st.text(max_size=50), st.dictionaries(st.text(max_size=9), st.just({"average": 5})))
def test_no_text_of_a_summary_becomes_markup(
    region: str, groups: dict[str, dict[str, int]]
) -> None:
    hour = {"start": "2026-11-29T10:00:00Z", "k": 3, "groups": groups}
    page = as_html({"region": region, "day": {"hours": 0}, "hours": [hour]})
    plain = as_html(
        {
            "region": "r",
            "day": {"hours": 0},
            "hours": [
                {
                    **hour,
                    "groups": {f"g{number}": each for number, each in enumerate(groups.values())},
                }
            ],
        }
    )
    assert page.count("<") == plain.count("<")
    assert page.count(">") == plain.count(">")
    assert len(page) < MOST_BYTES
