"""A Deployment of the chart is replaced while callers open connections: none is refused."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest
from tests.kit.cluster.ai_workers import BROKER, make_secret
from tests.kit.cluster.product import Product, deployed

from mediafleet_common.api.names import Port
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node
from mediafleet_testbed.story.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DEPLOYMENTS: Final = ("mediafleet-broker", "mediafleet-egress")
PORTS: Final = 3
PAUSE_SECONDS: Final = 0.05
ANSWER_SECONDS: Final = 30.0
REPLACED_SECONDS: Final = 180.0
ENOUGH: Final = 20
"""Answers of each port, before and after."""

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def product(node: Node, workspace: Workspace) -> Iterator[Product]:
    make_secret(workspace)
    with deployed(node, workspace, {"broker": BROKER}) as product:
        yield product


@dataclass(slots=True)
class Told:
    """What callers of each port met."""

    answered: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)


@asynccontextmanager
async def callers(product: Product) -> AsyncIterator[Told]:
    """A new connection to each Service, again and again: the page's port, and the workers'."""
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    told = Told()
    async with asyncio.TaskGroup() as group:
        tasks = []
        for name in DEPLOYMENTS:
            host = str(product.workspace.get("service", name)["spec"]["clusterIP"])
            tasks.append(group.create_task(_call(told, host, Port.DESK_HTTP, None)))
            if "broker" in name:
                tasks.append(group.create_task(_call(told, host, Port.ORCHESTRATOR, tls)))
        yield told
        for task in tasks:
            task.cancel()


async def _call(told: Told, host: str, port: int, tls: ssl.SSLContext | None) -> None:
    where = f"{host}:{port}"
    while True:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await _asked(host, port, tls)
            assert answer.startswith(b"HTTP/1.1 "), answer
            told.answered[where] += 1
        except (OSError, TimeoutError, AssertionError) as error:
            told.refused.append(f"{where}: {error!r}")
        await asyncio.sleep(PAUSE_SECONDS)


async def _asked(host: str, port: int, tls: ssl.SSLContext | None) -> bytes:
    reader, writer = await asyncio.open_connection(host, port, ssl=tls)
    try:
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: it\r\nConnection: close\r\n\r\n")
        return await reader.readline()
    finally:
        writer.close()


def pods(product: Product) -> set[str]:
    """Names of the pods of both Deployments, those that end included."""
    selector = "app.kubernetes.io/component in (broker, egress)"
    return {each["metadata"]["name"] for each in product.workspace.pods(selector)}


async def answered(told: Told, before: Counter[str]) -> None:
    """Wait until each port was asked often enough since."""
    await until(
        "each port has answered",
        lambda: asyncio.sleep(0, told.answered - before),
        lambda more: len(more) == PORTS and min(more.values()) >= ENOUGH,
        seconds=REPLACED_SECONDS,
    )


async def test_no_connection_is_refused_while_broker_and_desk_are_replaced(
    product: Product,
) -> None:
    before = await asyncio.to_thread(pods, product)
    async with callers(product) as told:
        await answered(told, Counter())
        # A pod is Ready before its Service leads to it.
        told.refused.clear()
        restart = ("rollout", "restart", *(f"deployment/{each}" for each in DEPLOYMENTS))
        await asyncio.to_thread(product.workspace.kubectl, *restart)
        await until(
            "the old pods are gone",
            lambda: asyncio.to_thread(pods, product),
            lambda found: not found & before and len(found) == len(before),
            seconds=REPLACED_SECONDS,
        )
        await answered(told, told.answered.copy())
    assert told.refused == []
