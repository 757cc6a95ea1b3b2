"""What one sender may cost the broker: parts of a result, and connections to the workers' port."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from mediafleet_common.serving.http2 import Limits
from mediafleet_common.serving.tls import self_signed
from mediafleet_scheduler.broker import parts, worker_port
from mediafleet_scheduler.broker.inputs import Folder, Inputs
from mediafleet_scheduler.broker.parts import Parts, UnreadableError
from mediafleet_scheduler.broker.worker_port import WorkerPort

JSON = b"--b\r\nContent-Type: application/json\r\n\r\n{}\r\n"


def file(name: str) -> bytes:
    disposition = f"Content-Disposition: attachment; filename={name}"
    return f"--b\r\n{disposition}\r\nContent-Type: image/png\r\n\r\npng\r\n".encode()


def read(tmp_path: Path, body: bytes) -> None:
    some = Parts("multipart/mixed; boundary=b", Folder(tmp_path, "job-"), "result-1")
    try:
        some.feed(body)
        some.whole()
    finally:
        some.close()


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"".join(file(f"{n}.png") for n in range(65)) + JSON + b"--b--\r\n", "more than 64 files"),
        (b"--b\r\nX: " + b"x" * 4096 + b"\r\n\r\n", "headers are too long"),
        (b"--b\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(20)), "header"),
        (JSON + JSON + b"--b--\r\n", "two parts are application/json"),
        (file("a.png") * 2 + JSON + b"--b--\r\n", "plain name of its own"),
    ],
)
def test_a_result_has_so_many_parts_and_headers_and_no_more(
    tmp_path: Path, body: bytes, why: str
) -> None:
    with pytest.raises(UnreadableError, match=why):
        read(tmp_path, body)


def test_so_many_files_are_a_result(tmp_path: Path) -> None:
    read(tmp_path, b"".join(file(f"{n}.png") for n in range(64)) + JSON + b"--b--\r\n")


def test_the_json_of_a_result_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "MOST_JSON", 8)
    head = b"--b\r\nContent-Type: application/json\r\n\r\n"
    read(tmp_path, head + b'{"a":12}\r\n--b--\r\n')
    with pytest.raises(UnreadableError, match="more than 8 bytes"):
        read(tmp_path, head + b'{"a":123}\r\n--b--\r\n')


@contextlib.asynccontextmanager
async def port(tmp_path: Path, limits: Limits) -> AsyncIterator[tuple[int, ssl.SSLContext]]:
    """A workers' port that nobody registers at, and how to connect by HTTP/1.1."""
    key, certificate = self_signed(["127.0.0.1"])
    (tmp_path / "tls.pem").write_bytes(key + certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.pem")
    nobody = cast("Any", None)
    some = WorkerPort(
        "127.0.0.1:0", context, nobody, nobody, Inputs(), limits, handshake_seconds=60
    )
    async with some:
        yield some.port, ssl.create_default_context(cadata=certificate.decode())


async def test_a_connection_by_http_1_that_asks_for_nothing_ends(tmp_path: Path) -> None:
    async with port(tmp_path, Limits(first_request_within=0.01)) as (number, trust):
        reader, writer = await asyncio.open_connection("127.0.0.1", number, ssl=trust)
        async with asyncio.timeout(60):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        writer.close()


async def test_a_connection_beyond_the_bound_is_ended_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_port, "MOST_CONNECTIONS", 1)
    async with port(tmp_path, Limits(first_request_within=60)) as (number, trust):
        first, writer = await asyncio.open_connection("127.0.0.1", number, ssl=trust)
        with contextlib.suppress(ConnectionError):
            other, its = await asyncio.open_connection("127.0.0.1", number, ssl=trust)
            async with asyncio.timeout(60):
                assert await other.read() == b""
            its.close()
        writer.write(b"GET /inputs/none HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await first.readline()).startswith(b"HTTP/1.1 404")
        writer.close()
