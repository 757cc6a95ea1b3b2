"""What the proxy of faults does to a watch: an event is merged with the next of the same pod."""

from __future__ import annotations

import asyncio
import json
from typing import cast

import aiohttp
import pytest
from tests.kit.faults.plans import Fault, Plan
from tests.kit.faults.proxy import Proxy, Traffic


def event(pod: str, version: int) -> bytes:
    meta = {"uid": pod, "resourceVersion": str(version)}
    return json.dumps({"type": "MODIFIED", "object": {"metadata": meta}}).encode() + b"\n"


async def never() -> None:
    raise AssertionError


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
    traffic = Traffic(Plan("w", Fault.MERGED, 1), lambda _: None, never, never, lambda _: None)
    lines = asyncio.StreamReader()
    lines.feed_data(b"".join(sent))
    lines.feed_eof()
    proxy = Proxy(cast("aiohttp.ClientSession", None), traffic)

    assert [each async for each in proxy._meddled(cast("aiohttp.StreamReader", lines))] == came
    assert traffic.struck
