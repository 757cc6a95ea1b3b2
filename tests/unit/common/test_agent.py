"""The sidecar that shows metrics and keeps the rest of the port to itself."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from mediafleet_common.agent import live_runners
from mediafleet_common.agent.agent import OwnMetrics, pinger, refuse_foreign, serve
from mediafleet_common.agent.drain_proxy import ProxySight
from mediafleet_common.agent.hold import Release, release
from mediafleet_common.agent.live_runners import LiveRunners
from mediafleet_common.agent.network import Transferred
from mediafleet_common.agent.sockets import connections, exposed, listens, parse
from mediafleet_common.agent.witness import PROBER_SECONDS, AgentSettings, Sight, Witness
from mediafleet_common.clock import Clock
from mediafleet_common.probes.http_client import PINGS_TOO, NoLoad, client, poll
from mediafleet_common.probes.load import Load, Source
from mediafleet_common.serving.run import CannotStartError
from mediafleet_common.serving.tls import self_signed, server_context
from mediafleet_testbed.standins.node import StandInNode
from mediafleet_testbed.standins.node_flags import parse_flags
from mediafleet_testbed.standins.node_http import SPENT


@asynccontextmanager
async def agent(metrics: str, **more: Any) -> AsyncIterator[str]:
    settings = AgentSettings(metrics, **more)
    stop = asyncio.Event()
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(settings, "127.0.0.1:0", stop, port.set_result))
    try:
        yield f"http://127.0.0.1:{await asyncio.wait_for(port, 5)}"
    finally:
        stop.set()
        await task


def a_node(*flags: str) -> StandInNode:
    ports = ("-serviceAddr=127.0.0.1:0", "-cliAddr=127.0.0.1:0")
    return StandInNode(parse_flags([*ports, *flags]))


async def test_it_shows_the_metrics() -> None:
    async with (
        a_node("-monitor") as node,
        agent(f"http://127.0.0.1:{node.cli_port}/metrics") as base,
        aiohttp.ClientSession() as session,
    ):
        node.sessions.segment("one")
        async with session.get(f"{base}/metrics") as response:
            assert response.status == 200
            assert 'livepeer_current_sessions_total{node_id="standin"' in await response.text()


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
@pytest.mark.parametrize(
    "path",
    [
        *("/transferTokens", "/withdraw", "/withdrawFees", "/status", "/setMaxSessions", "/"),
        *("/metrics/../withdraw", "/metrics/%2e%2e/withdraw", "//withdraw", "/metrics%2f..%2fx"),
    ],
)
async def test_nothing_else_of_the_port_gets_through(method: str, path: str) -> None:
    async with (
        a_node("-monitor") as node,
        agent(f"http://127.0.0.1:{node.cli_port}/metrics") as base,
        aiohttp.ClientSession() as session,
    ):
        url = URL(base + path, encoded=True)
        async with session.request(method, url) as response:
            assert response.status in (404, 405)
        assert node.cli[SPENT] == []


async def test_a_node_that_does_not_answer_is_an_error_and_not_zero_sessions() -> None:
    async with (
        agent("http://127.0.0.1:1/metrics") as base,
        aiohttp.ClientSession() as session,
        session.get(f"{base}/metrics") as response,
    ):
        assert response.status == 502
        assert (await response.text()).startswith("unreachable: ")


@pytest.mark.parametrize(
    "url",
    [
        *("http://10.0.0.1:7935/metrics", "http://example.com/metrics", "https://127.0.0.1/x"),
        *("http://127.0.0.1@example.com/metrics", "file:///etc/passwd", "", "http://0.0.0.0/m"),
    ],
)
def test_it_gives_no_way_to_other_machines(url: str) -> None:
    with pytest.raises(CannotStartError, match=r"127\.0\.0\.1"):
        refuse_foreign(url)


@pytest.mark.parametrize("host", ["127.0.0.1:7935", "127.0.0.2", "localhost:1", "[::1]:7935"])
def test_addresses_of_this_machine_are_taken(host: str) -> None:
    refuse_foreign(f"http://{host}/metrics")


# What only the agent sees


DEAD = "http://127.0.0.1:1/metrics"
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"


def sockets(*lines: tuple[str, str, str]) -> str:
    """A table as Linux writes it on a little-endian machine."""
    return HEAD + "".join(
        f"   {index}: {local} {remote} {state} 00000000:00000000 00:00000000 00000000 0 0 1\n"
        for index, (local, remote, state) in enumerate(lines)
    )


NODE, CLI = ":22E7", ":1EFF"
ANY, LOOP, POD, FRIEND, PROBER = "00000000", "0100007F", "0301010A", "0808080A", "0201010A"
LISTENS = (f"{ANY}{NODE}", f"{ANY}:0000", "0A")
SAFE = (f"{LOOP}{CLI}", f"{ANY}:0000", "0A")
OPEN = (f"{ANY}{CLI}", f"{ANY}:0000", "0A")
CALL = (f"{POD}{NODE}", f"{FRIEND}:C000", "01")
OVER = (f"{POD}{NODE}", f"{FRIEND}:C001", "06")
OURS = (f"{LOOP}{NODE}", f"{LOOP}:C002", "01")
AWAY = (f"{POD}:C003", f"{FRIEND}{NODE}", "01")


def proc(folder: Path, *lines: tuple[str, str, str], six: str | None = None) -> Path:
    (folder / "tcp").write_text(sockets(*lines))
    if six is not None:
        (folder / "tcp6").write_text(six)
    return folder


async def told(base: str, source: Source) -> Load | NoLoad:
    async with client() as session:
        return await poll(session, f"{base}/metrics", source)


async def test_it_counts_the_connections_of_others_alone(tmp_path: Path) -> None:
    folder = proc(tmp_path, LISTENS, SAFE, CALL, CALL, OVER, OURS, AWAY)
    async with agent(DEAD, source=Source.CONNECTIONS, proc=folder) as base:
        assert await told(base, Source.CONNECTIONS) == Load(jobs=2, cli_exposed=False)


async def test_ipv4_that_comes_by_an_ipv6_socket_is_counted_like_any_other(tmp_path: Path) -> None:
    mapped = "0000000000000000FFFF0000"
    six = sockets((f"{mapped}{POD}{NODE}", f"{mapped}{FRIEND}:C000", "01"))
    folder = proc(tmp_path, LISTENS, six=six)
    async with agent(DEAD, source=Source.CONNECTIONS, proc=folder) as base:
        assert await told(base, Source.CONNECTIONS) == Load(jobs=1, cli_exposed=False)


async def test_who_reads_the_metrics_as_our_probers_do_is_no_gateway(tmp_path: Path) -> None:
    folder = proc(tmp_path, LISTENS, CALL, (f"{POD}{NODE}", f"{PROBER}:C000", "01"))
    now = 0.0
    async with client() as session:
        witness = Witness(AgentSettings(DEAD, proc=folder), session, Clock(monotonic=lambda: now))
        assert (await witness.look()).connections == 2
        witness.probed_by(ip_address("10.1.1.2"))
        assert (await witness.look()).connections == 1
        now += PROBER_SECONDS
        assert (await witness.look()).connections == 2


async def test_only_who_says_that_it_pings_too_is_left_out() -> None:
    async with client(PINGS_TOO) as advertiser, client() as operator:
        said = advertiser.headers["User-Agent"], operator.headers["User-Agent"]

    assert pinger(said[0], "::ffff:10.1.1.2") == ip_address("10.1.1.2")
    assert pinger(said[1], "10.1.1.2") is None
    assert pinger(said[0], None) is None


async def test_sockets_that_cannot_be_read_are_unknown_and_not_zero(tmp_path: Path) -> None:
    async with agent(DEAD, source=Source.CONNECTIONS, proc=tmp_path) as base:
        assert await told(base, Source.CONNECTIONS) == Load()
        (tmp_path / "tcp").write_text("nonsense\nmore of it\n")
        assert await told(base, Source.CONNECTIONS) == Load()


async def test_a_money_port_that_others_can_reach_is_told(tmp_path: Path) -> None:
    async with agent(DEAD, source=Source.CONNECTIONS, proc=proc(tmp_path, LISTENS, OPEN)) as base:
        assert await told(base, Source.CONNECTIONS) == Load(jobs=0, cli_exposed=True)


@pytest.mark.parametrize(
    ("body", "metric", "jobs"),
    [
        ("3", None, 3),
        ("0.4", None, 1),
        ("0", None, 0),
        ('{"jobs": 3}', None, None),
        ("true", None, None),
        ("-1", None, None),
        ("NaN", None, None),
        ("<html>", None, None),
        ('jobs{a="1"} 2\njobs{a="2"} 1\n', "jobs", 3),
        ("other 2\n", "jobs", None),
        ("jobs NaN\n", "jobs", None),
    ],
)
async def test_load_at_a_url_of_the_users(
    body: str, metric: str | None, jobs: int | None, tmp_path: Path
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=body)

    app = web.Application()
    app.router.add_get("/load", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/load"
    more = {"source": Source.URL, "load_url": url, "load_metric": metric}
    async with agent(DEAD, proc=tmp_path, **more) as base:
        assert await told(base, Source.URL) == Load(jobs=jobs)
    await runner.cleanup()


DISCOVERED = """[{"address": "https://n:8935", "runners": [
    {"url": "x", "app": "live-video-to-video/scope", "capacity": 4, "capacity_used": 3},
    {"url": "y", "app": "a/b", "capacity": 2, "capacity_used": 0, "capacity_available": 2}]}]"""


@pytest.mark.parametrize(
    ("body", "live"),
    [
        (DISCOVERED, LiveRunners(3, 6)),
        ('[{"address": "https://n:8935", "runners": null}]', LiveRunners(0, 0)),
        ("[]", LiveRunners(0, 0)),
        ("live runners are not supported", None),
        ('{"runners": []}', None),
        ("[7]", None),
        ('[{"runners": {}}]', None),
        ('[{"runners": [{"capacity": 2}]}]', None),
        ('[{"runners": [{"capacity": 2, "capacity_used": -1}]}]', None),
        ('[{"runners": [{"capacity": 2, "capacity_used": true}]}]', None),
        ('[{"runners": ["x"]}]', None),
        ("[" * 100_000, None),
    ],
)
def test_what_a_node_tells_of_its_live_runners(body: str, live: LiveRunners | None) -> None:
    assert live_runners.parse(body.encode()) == live


async def test_sessions_of_live_runners_are_the_load_and_hold_a_node(tmp_path: Path) -> None:
    """No metric of go-livepeer counts them."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=DISCOVERED)

    app = web.Application()
    app.router.add_get("/discovery", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(
        runner, "127.0.0.1", 0, ssl_context=server_context(*self_signed(["127.0.0.1"]))
    ).start()
    port = runner.addresses[0][1]
    source = Source.LIVE_RUNNERS
    async with (
        agent(DEAD, source=source, node_port=port, proc=tmp_path) as base,
        client() as session,
    ):
        assert await told(base, source) == Load(jobs=3, capacity=6)
        witness = Witness(AgentSettings(DEAD, source, node_port=port), session)
        assert await witness.jobs() == 3
        await runner.cleanup()
        assert await told(base, source) == Load()
        assert await witness.jobs() is None


async def test_it_holds_a_busy_node_until_its_session_ends(tmp_path: Path) -> None:
    folder = proc(tmp_path, LISTENS)
    async with (
        a_node("-monitor") as node,
        agent(f"http://127.0.0.1:{node.cli_port}/metrics", grace_seconds=600, proc=folder) as base,
        aiohttp.ClientSession() as session,
    ):
        node.sessions.segment("one")
        holds = asyncio.create_task(session.get(f"{base}/hold"))
        while "mediafleet_agent_holding 1" not in await shown(session, base):
            assert not holds.done()
        node.sessions.end("one")
        response = await asyncio.wait_for(holds, 10)
        assert await response.text() == "idle\n"


async def shown(session: aiohttp.ClientSession, base: str) -> str:
    async with session.get(f"{base}/metrics") as response:
        return await response.text()


async def test_it_does_not_hold_back_what_is_gone(tmp_path: Path) -> None:
    async with (
        agent(DEAD, grace_seconds=600, proc=proc(tmp_path, SAFE)) as base,
        aiohttp.ClientSession() as session,
        session.get(f"{base}/hold") as response,
    ):
        assert await response.text() == "gone\n"


@pytest.mark.parametrize(
    ("jobs", "listens", "waited", "grace", "wanted"),
    [
        ([], None, 0, 600, None),
        ([0], True, 1, 600, None),
        ([0, 0], True, 1, 600, Release.IDLE),
        ([0, 0], None, 1, 600, Release.IDLE),
        ([0, 1], True, 1, 600, None),
        ([0, None], True, 1, 600, None),
        ([1, 1], False, 1, 600, Release.GONE),
        ([1, 1], True, 584, 600, None),
        ([1, 1], True, 585, 600, Release.OUT_OF_TIME),
        ([None], True, 5, 10, Release.OUT_OF_TIME),
        ([1], True, 0, 2, None),
    ],
)
def test_how_long_a_node_is_held_back(
    jobs: list[int | None],
    listens: bool | None,
    waited: float,
    grace: float,
    wanted: Release | None,
) -> None:
    assert release(jobs, listens, waited, grace) is wanted


def test_the_sockets_of_this_very_machine_are_understood() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        with closing(socket.create_connection(("127.0.0.1", port))):
            table = parse(Path("/proc/net/tcp").read_text())

    assert listens(table, port)
    assert not exposed(table, port)
    assert any(each.port == port and str(each.local) == "127.0.0.1" for each in table)
    assert connections(table, port) == 0, "whoever is in the pod is no gateway"


def test_an_agent_that_knows_everything_has_twelve_series() -> None:
    known = Transferred(1, 2)
    sight = Sight(
        connections=1,
        listens=True,
        cli_exposed=False,
        url_load=1,
        live=LiveRunners(sessions=1, capacity=2),
        proxy=ProxySight(refusing=False, in_flight=1, transferred=known),
        network=known,
    )
    families = list(OwnMetrics(sight, holds=False).collect())
    assert sum(len(each.samples) for each in families) == 12
