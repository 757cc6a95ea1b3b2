"""Arbitrary requests leave an advertiser as it was, and its limits hold."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from tests.kit.advertise.scene import desk, entry, nodes, until, write

from mediafleet_common.formats.node_url import NodeUrl
from mediafleet_common.probes.ping import NodeClient
from mediafleet_common.serving.tls import FilePair, self_signed
from mediafleet_common.wire.livepeer_pb2 import OrchestratorInfo
from mediafleet_testbed.load import h2_load
from mediafleet_testbed.load.fuzzing import Target
from mediafleet_testbed.processes import Processes
from mediafleet_testbed.real_servers import free_port

REQUESTS: Final = int(os.environ.get("MEDIAFLEET_FUZZ", "6000"))
GROWTH_MB: Final = 50.0
_SETTINGS: Final = 4
_MAX_STREAMS: Final = 3


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "nodes.yaml"


@pytest.mark.timeout(max(120, REQUESTS // 200))
async def test_arbitrary_requests_are_answered_or_refused_and_cost_no_memory(path: Path) -> None:
    async with nodes(3) as three, Processes(path.parent) as processes:
        regions = [{"name": "eu", "cidrs": ["127.0.0.0/8"]}]
        entries = [entry(f"n{number}", node) for number, node in enumerate(three)]
        write(path, *entries, order="by_gateway", max_nodes=2, regions=regions)
        port, http = free_port(), free_port()
        member = await processes.python(
            "advertiser",
            "mediafleet.main",
            *("advertise", "--nodes", str(path), "--listen", f"127.0.0.1:{port}"),
            *("--http", f"127.0.0.1:{http}", "--plaintext"),
        )
        await processes.says(member, "3 of 3 nodes listed")
        target = Target(port, http, member.process.pid)
        memory = await asyncio.to_thread(lambda: list(target.rounds(1, REQUESTS)))
        assert target.answered + target.refused + target.http == REQUESTS
        assert memory[-1] - memory[0] < GROWTH_MB
        assert member.process.returncode is None
        assert "Traceback" not in member.log.read_text()
        async with NodeClient(NodeUrl("http", "127.0.0.1", port)) as client:
            info = OrchestratorInfo.FromString(await client.orchestrator_info(10.0) or b"")
            assert len(info.nodes) == 2


def announced(port: int) -> dict[int, int]:
    """The settings that a server greets with."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + h2_load.frame(_SETTINGS, 0, 0))
        data = b""
        while len(data) < 9 or len(data) < 9 + int.from_bytes(data[:3], "big"):
            data += connection.recv(4096)
    size = int.from_bytes(data[:3], "big")
    assert data[3] == _SETTINGS
    return dict(struct.iter_unpack(">HI", data[9 : 9 + size]))


async def test_no_more_streams_than_so_many_on_a_connection(path: Path) -> None:
    write(path)
    async with desk(path) as one:
        found = await asyncio.to_thread(announced, one.serving.grpc_port)
        assert found[_MAX_STREAMS] == 100


@pytest.mark.parametrize("way", ["files", "mounted"])
async def test_certificates_are_replaced_while_serving_without_a_failed_call(
    path: Path, way: str
) -> None:
    """As a program writes them, the one after the other, and as Kubernetes does, by a link."""
    folder = path.parent / "tls"
    put = _put_files if way == "files" else _put_mounted
    put(folder, 0)
    troubles: list[str] = []
    pair = FilePair(folder / "tls.crt", folder / "tls.key", troubles.append)
    async with nodes(1) as (a,):
        write(path, entry("a", a))
        async with desk(path, pair.contexts()) as one:
            port = one.serving.grpc_port
            lasting = await _steady(port)
            results: list[h2_load.Result] = []
            for number in range(1, 4):
                await until(partial(_shows, port, put(folder, number), results))
            results.append(await lasting)
    assert sum(result.failed for result in results) == 0
    assert results[-1].answered > 0
    # A key without its certificate yet is told of, and nobody is served with it.
    assert all("does not belong" in trouble for trouble in troubles)


async def _shows(port: int, certificate: str, results: list[h2_load.Result]) -> bool:
    """Call on a new connection; whether new ones get this certificate."""
    task = h2_load.Task("127.0.0.1", port, True, 0.0, 4, ("",))
    results.append(await asyncio.to_thread(h2_load.call, task))
    where = ("127.0.0.1", port)
    return await asyncio.to_thread(ssl.get_server_certificate, where) == certificate


async def _steady(port: int) -> asyncio.Future[h2_load.Result]:
    """Calls on one connection that was there before."""
    task = h2_load.Task("127.0.0.1", port, True, 2.0, 4, ("",))
    return asyncio.ensure_future(asyncio.to_thread(h2_load.call, task))


def _put_files(folder: Path, number: int) -> str:
    key, certificate = self_signed([f"host{number}.example.com"])
    folder.mkdir(exist_ok=True)
    (folder / "tls.key").write_bytes(key)
    (folder / "tls.crt").write_bytes(certificate)
    return certificate.decode()


def _put_mounted(folder: Path, number: int) -> str:
    folder.mkdir(exist_ok=True)
    certificate = _put_files(folder / f"v{number}", number)
    link = folder / "..new"
    link.symlink_to(f"v{number}")
    link.replace(folder / "..data")
    for name in ("tls.key", "tls.crt"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    return certificate
