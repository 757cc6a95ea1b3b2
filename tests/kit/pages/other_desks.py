"""Pages of nodes, of AI workers and of scaling to look at."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry
from tests.kit.pages.desks import EgressDesk

from mediafleet_common.api.names import Kind, PodState
from mediafleet_common.pages.site import Site, View
from mediafleet_common.reports.demand import FleetDemand
from mediafleet_common.reports.nodes import NodeReport, PoolNodes
from mediafleet_common.reports.pages.nodes import ConditionShown, NodesPage
from mediafleet_common.serving.http import HttpServer
from mediafleet_scheduler.core.advertise.listing import LeftOut
from mediafleet_scheduler.core.workers.dispatch import Dispatcher
from mediafleet_scheduler.core.workers.pages.workers import workers_page
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.core.workers.views import Offer, Target, Worker

IMAGES = Target(Pipeline.TEXT_TO_IMAGE, "SG161222/RealVisXL_V4.0_Lightning")
SPEECH = Target(Pipeline.AUDIO_TO_TEXT, "openai/whisper-large-v3")
LLM = Target(Pipeline.LLM, "meta-llama/Meta-Llama-3.1-8B-Instruct")


@asynccontextmanager
async def page(view: View, read: Callable[[], str | None]) -> AsyncIterator[str]:
    """A page alone; its address."""

    def body() -> bytes | None:
        text = read()
        return None if text is None else text.encode()

    site = Site([view], body)
    http = HttpServer(
        "127.0.0.1:0",
        lambda: None,
        routes=site.routes(),
        registry=CollectorRegistry(),
        reports=site.reports(),
    )
    async with http:
        yield f"http://127.0.0.1:{http.port}/ui/#{view}"


def nodes(many: int) -> NodesPage:
    """A pool of so many nodes, of which some are off the list."""
    return NodesPage(
        pool=PoolNodes(
            namespace="media",
            name="orchestrators",
            nodes=sorted(map(_node, range(many)), key=lambda node: node.why_not is not None),
        ),
        conditions=[
            ConditionShown(
                type="NodesListed",
                status="False",
                reason="NodesNotListed",
                message=f"{many // 9} nodes do not answer: orchestrators-4 (timed out)",
            )
        ]
        if many
        else [],
    )


def _node(number: int) -> NodeReport:
    off = list(LeftOut)[number % len(LeftOut)] if number % 9 == 4 else None
    return NodeReport(
        name=f"orchestrators-{number}",
        url=f"https://node-{number}.example.com:8935",
        state=PodState.DRAINING if number % 9 == 4 else PodState.READY,
        source=None,
        region=("eu-west", "us-east", None)[number % 3],
        sessions=None if number % 11 == 7 else number % 13,
        capacity=None if number % 17 == 5 else 12,
        full=number % 13 == 12,
        why_not=None if off is None else off.value,
        detail="it tells gateways 0.0.0.0 as its address" if number % 20 == 3 else "",
    )


def workers(many: int) -> Dispatcher:
    """A broker with so many workers, whose models are all in use."""
    made = Dispatcher(itertools.count(1).__next__)
    for number in range(many):
        models = {IMAGES: Offer(1, warm=True), SPEECH: Offer(2, warm=True)}
        name = f"media/ai-worker-{number}" if number % 5 else None
        gpu = ("NVIDIA GeForce RTX 4090",)
        made.connected(
            Worker(f"conn-{number}", "203.0.113.1:1", models, hardware=gpu, name=name), 0.0
        )
    for number in range(many):
        made.submitted(f"image-{number}", IMAGES, 99.0, 0.0)
        if number % 3:
            made.submitted(f"speech-{number}", SPEECH, 99.0, 0.0)
    for number in range(4):
        made.submitted(f"late-{number}", IMAGES, 99.0, 0.0)
    if many:
        made.drain("conn-1", 0.0)
    return made


def workers_text(many: int, models: tuple[Target, ...] = (IMAGES, SPEECH, LLM)) -> str:
    """The page of so many workers."""
    return workers_page(workers(many), models, 0.0).model_dump_json()


def wave(desk: EgressDesk, name: str = "recordings", hours: float = 2.0) -> None:
    """Demand that rises and falls, with an outage in it."""
    now, seconds = time.time(), hours * 3600
    for step in range(int(seconds / 10)):
        at = now - seconds + step * 10
        jobs = int(60 + 50 * math.sin(step / 90))
        known = not 400 < step < 430
        ahead = math.ceil((60 + 50 * math.sin((step + 30) / 90)) / 10)
        desk.demand = [demand(name, at, jobs, known=known, forecast=ahead)]
        desk.outlook.look()


def demand(
    name: str, at: float, jobs: int, *, known: bool = True, forecast: int | None = None
) -> FleetDemand:
    """Of a fleet whose pods take ten jobs each and follow late."""
    if not known:
        reason = "pods rec-3 and rec-4 have not told their load lately"
        return FleetDemand(
            kind=Kind.EGRESS_FLEET,
            namespace="media",
            name=name,
            known=False,
            reason=reason,
            at=at,
        )
    ready = max(1, math.ceil(jobs / 10))
    return FleetDemand(
        kind=Kind.EGRESS_FLEET,
        namespace="media",
        name=name,
        known=True,
        at=at,
        ready=ready,
        busy=max(1, ready - 1),
        work=jobs,
        size=10.0,
        free={"track": 10 * ready - jobs},
        each={"track": 10},
        queued={"track": 7} if jobs > 100 else {},
        forecast=forecast,
    )
