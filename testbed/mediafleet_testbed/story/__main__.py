"""`python -m mediafleet_testbed.story`, run by the demo's Job."""

from __future__ import annotations

import asyncio
import os
import sys

from livekit import api
from rich.console import Console

from mediafleet_testbed.errors import TestbedError
from mediafleet_testbed.story.claims import Claims
from mediafleet_testbed.story.cluster import Cluster
from mediafleet_testbed.story.egress import EgressStory
from mediafleet_testbed.story.pool import PoolStory
from mediafleet_testbed.story.workers import WorkersStory


async def tell(console: Console) -> Claims:
    """All three parts."""
    claims = Claims()
    namespace = os.environ["POD_NAMESPACE"]
    async with Cluster(namespace) as cluster:
        console.rule("LiveKit: 51 recordings started at once")
        async with api.LiveKitAPI(
            f"http://livekit.{namespace}.svc:7880",
            os.environ["LIVEKIT_API_KEY"],
            os.environ["LIVEKIT_API_SECRET"],
        ) as livekit:
            await EgressStory(cluster, "recorder", livekit, console).tell(claims)
        console.rule("Livepeer: a pool grows to 8 nodes and shrinks to 4 while sessions run")
        await PoolStory(cluster, "transcoders", console).tell(claims)
        console.rule("AI: workers come for tasks that wait, and go")
        broker, token = os.environ["BROKER"], os.environ["BROKER_TOKEN"]
        await WorkersStory(cluster, "speech", broker, token, console).tell(claims)
    return claims


def main() -> None:
    """Tell it; exit 1 when a claim failed."""
    console = Console(width=100, soft_wrap=True, force_terminal=os.environ.get("COLOUR") == "1")
    try:
        claims = asyncio.run(tell(console))
    except TestbedError as error:
        sys.exit(f"story: {error}")
    claims.print(console)
    sys.exit(1 if claims.failed else 0)


if __name__ == "__main__":
    main()
