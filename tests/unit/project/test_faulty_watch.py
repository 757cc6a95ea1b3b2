"""What the proxy of faults does to the events of a watch."""

from __future__ import annotations

import asyncio
import json
from typing import cast

import aiohttp
import pytest
from tests.kit.faults import proxy
from tests.kit.faults.plans import Fault, Plan
from tests.kit.faults.proxy import Traffic


def event(pod: str, version: int) -> bytes:
    meta = {"uid": pod, "resourceVersion": str(version)}
    return json.dumps({"type": "MODIFIED", "object": {"metadata": meta}}).encode() + b"\n"


async def never() -> None:
    raise AssertionError


async def meddled(plan: Plan, of: str, sent: list[bytes]) -> list[bytes]:
    """What a watch tells of what was sent to it."""
    traffic = Traffic(plan, lambda _: None, never, never, lambda _: None)
    lines = asyncio.StreamReader()
    lines.feed_data(b"".join(sent))
    lines.feed_eof()
    between = proxy.Proxy(cast("aiohttp.ClientSession", None), traffic)
    came = [each async for each in between._meddled(of, cast("aiohttp.StreamReader", lines))]
    assert traffic.struck, "not struck"
    return came


@pytest.mark.parametrize(
    ("sent", "came"),
    [
        ([event("a", 1), event("a", 2), event("b", 3)], [event("a", 2), event("b", 3)]),
        (
            [event("a", 1), event("b", 2), event("a", 3)],
            [event("a", 1), event("b", 2), event("a", 3)],
        ),
    ],
    ids=["of the same pod", "of another"],
)
async def test_an_event_is_merged_with_the_next_of_its_pod_alone(
    sent: list[bytes], came: list[bytes]
) -> None:
    assert await meddled(Plan("w", Fault.MERGED, 1), "pods", sent) == came


async def test_only_events_of_the_collection_that_a_plan_names_are_counted_and_met() -> None:
    sent = [event("a", 1), event("b", 2)]
    plan = Plan("w", Fault.DROPPED, 2, "egressfleets")
    assert await meddled(plan, "egressfleets", sent) == sent[:1]
    with pytest.raises(AssertionError, match="not struck"):
        await meddled(plan, "pods", sent)


async def test_a_watch_that_goes_back_tells_of_the_older_half_again_and_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(proxy, "SLOW_SECONDS", 0.0)
    sent = [event("a", version) for version in range(1, 6)]
    told = await meddled(Plan("w", Fault.BACK, 4), "pods", sent)
    assert told == sent[:4] + sent[:2]
