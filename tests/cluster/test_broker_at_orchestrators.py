"""The chart's broker at orchestrators: stand-ins for go-livepeer, with its rules and certificates.

They run in the test itself, at the node's address: outside of the cluster, as orchestrators are.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import web
from tests.kit.cluster.ai_workers import BROKER, MODEL, POOL, make_secret, pool
from tests.kit.cluster.product import Product, deployed
from tests.kit.cluster.scene import Scene, watched
from tests.kit.fleets.changes import Scale

from mediafleet_common.api.names import Kind
from mediafleet_common.serving.tls import server_context
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node
from mediafleet_testbed.standins.node_certificate import go_livepeer_certificate
from mediafleet_testbed.standins.node_external import ExternalCapabilities, job_header
from mediafleet_testbed.standins.node_runner_registry import RunnerRegistry
from mediafleet_testbed.story.waiting import until

SECONDS: Final = 120.0
SECRET: Final = "of-orchestrators"
NAME: Final = f"{MODEL['pipeline']}/{MODEL['model']}"
CAPACITY: Final = 2
"""Of the one pod."""

pytestmark = pytest.mark.timeout(400)


@dataclass(frozen=True, slots=True)
class Address:
    """Where one orchestrator will listen, with the certificate that it makes for itself."""

    listening: socket.socket
    tls: ssl.SSLContext
    fingerprint: str

    @property
    def url(self) -> str:
        """Its service address."""
        host, port = self.listening.getsockname()
        return f"https://{host}:{port}"

    def entry(self, **doors: bool) -> dict[str, Any]:
        """Its line in the chart's values."""
        secret = {"name": "orchestrators", "key": "secret"}
        return {"url": self.url, "secret": secret, "fingerprint": self.fingerprint, **doors}


@pytest.fixture
def addresses(node: Node) -> Iterator[list[Address]]:
    # By its name: other tests add nodes of kwok, whose address nobody has.
    told = node.kubectl(
        "get", "node", node.node_name, "-o", "jsonpath={.status.addresses[0].address}"
    )
    made = []
    for _ in range(2):
        key, certificate = go_livepeer_certificate(told)
        sha = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.decode())).hexdigest()
        made.append(Address(socket.create_server((told, 0)), server_context(key, certificate), sha))
    yield made
    for each in made:
        each.listening.close()


@pytest.fixture
def product(node: Node, workspace: Workspace, addresses: list[Address]) -> Iterator[Product]:
    make_secret(workspace)
    literal = f"--from-literal=secret={SECRET}"
    workspace.kubectl("create", "secret", "generic", "orchestrators", literal)
    byoc, live = addresses
    doors = {"byoc": {"price_per_unit": 1}, "live_runner": {"price": 0.9}}
    values = {
        "models": [{**BROKER["models"][0], **doors}],
        "orchestrators": [byoc.entry(live_runner=False), live.entry(byoc=False)],
        "url": f"http://mediafleet-broker.{workspace.name}.svc.cluster.local:8080",
    }
    with deployed(node, workspace, {"broker": {**BROKER, **values}}) as product:
        yield product


@pytest.fixture
async def scene(product: Product) -> AsyncIterator[Scene]:
    async with watched(product) as scene:
        yield scene


@asynccontextmanager
async def serving(app: web.Application, address: Address) -> AsyncIterator[None]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.SockSite(runner, address.listening, ssl_context=address.tls).start()
        yield
    finally:
        await runner.cleanup()


async def spoken(url: str, text: str, headers: dict[str, str]) -> str:
    """A client's job; what it heard."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json={"text": text}, headers=headers, ssl=False) as response,
    ):
        answer = await response.json(content_type=None)
        assert response.status == 200, answer
    return base64.b64decode(answer["audio"]["url"].partition(",")[2]).decode()


async def test_jobs_of_both_doors_reach_a_pool_whose_models_the_charts_broker_registers(
    scene: Scene, addresses: list[Address]
) -> None:
    external, runners = ExternalCapabilities(SECRET), RunnerRegistry(SECRET)
    async with serving(external.app(), addresses[0]), serving(runners.app(), addresses[1]):
        fixed = pool()
        del fixed["spec"]["autoscaling"]
        await scene.create({**fixed, "spec": {**fixed["spec"], "replicas": 1}})
        await until(
            "both orchestrators know the pool's capacity",
            lambda: asyncio.sleep(0, known(external, runners)),
            lambda found: found == (CAPACITY, [CAPACITY]),
            seconds=SECONDS,
        )
        process = f"{addresses[0].url}/process/request/text-to-speech"
        assert await spoken(process, "by byoc", job_header(NAME)) == "by byoc"
        ((name, _),) = runners.ready()
        app = f"{addresses[1].url}/apps/{name}/app/text-to-speech"
        assert await spoken(app, "by live runner", {}) == "by live runner"

        await scene.change(Kind.AI_WORKER_POOL, POOL, Scale(0))
        await until(
            "without a worker there is no capability, and no runner is ready",
            lambda: asyncio.sleep(0, known(external, runners)),
            lambda found: found == (0, []),
            seconds=SECONDS,
        )
        assert NAME not in external.capabilities


def known(external: ExternalCapabilities, runners: RunnerRegistry) -> tuple[int, list[int]]:
    """What clients are told is free at each."""
    return external.available(NAME), [each.declared["capacity"] for _, each in runners.ready()]
