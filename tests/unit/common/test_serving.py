"""Health, metrics, TLS material, logs and signals of every long-running command."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import ssl
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from prometheus_client import CollectorRegistry, Counter, Metric

from mediafleet_common.serving import logs
from mediafleet_common.serving.addresses import split_host_port
from mediafleet_common.serving.http import HttpServer, Metrics
from mediafleet_common.serving.run import CannotStartError, calm_collector, run
from mediafleet_common.serving.tls import FilePair, self_signed


async def _get(port: int, path: str) -> tuple[int, str]:
    url = f"http://127.0.0.1:{port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def test_readiness_says_why_not() -> None:
    reasons: list[str | None] = ["no view yet", None]
    async with HttpServer("127.0.0.1:0", ready=lambda: reasons.pop(0)) as server:
        assert await _get(server.port, "/readyz") == (503, "no view yet")
        assert await _get(server.port, "/readyz") == (200, "ok")
        assert await _get(server.port, "/healthz") == (200, "ok")


async def test_metrics_are_those_of_the_registry_and_routes_can_be_added() -> None:
    registry = CollectorRegistry()
    Counter("mediafleet_things", "Things.", registry=registry).inc()

    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    routes = [web.get("/hello", hello)]
    async with HttpServer("127.0.0.1:0", lambda: None, routes=routes, registry=registry) as server:
        status, text = await _get(server.port, "/metrics")
        assert status == 200
        assert "mediafleet_things_total 1.0" in text
        assert await _get(server.port, "/hello") == (200, "hello")


async def test_metrics_that_many_ask_for_at_once_are_made_once_and_are_never_old() -> None:
    class Things:
        made = 0

        def collect(self) -> Iterator[Metric]:
            self.made += 1
            metric = Metric("mediafleet_made", "Texts made.", "gauge")
            metric.add_sample("mediafleet_made", {}, self.made)
            yield metric

    things, registry = Things(), CollectorRegistry()
    shown = Metrics(registry)
    registry.register(things)
    things.made = 0
    texts = await asyncio.gather(*(shown.text("") for _ in range(20)))
    assert (things.made, len({text for text, _ in texts})) == (1, 1)
    text, media = await shown.text("")
    assert b"mediafleet_made 2.0" in text
    assert media.startswith("text/plain")


async def test_a_port_in_use_is_told_in_a_sentence() -> None:
    async with HttpServer("127.0.0.1:0", lambda: None) as server:
        with pytest.raises(CannotStartError, match="cannot listen on"):
            async with HttpServer(f"127.0.0.1:{server.port}", lambda: None):
                pass


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        (":0", ("0.0.0.0", 0)),
        ("[::1]:9", ("::1", 9)),
        ("localhost:8080", ("localhost", 8080)),
    ],
)
def test_addresses(text: str, pair: tuple[str, int]) -> None:
    assert split_host_port(text) == pair


@pytest.mark.parametrize("text", ["", "8080", "host", "host:", "host:http", "host:99999", "h:-1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(CannotStartError, match="HOST:PORT"):
        split_host_port(text)


def test_a_self_signed_certificate_names_its_hosts() -> None:
    _, certificate = self_signed(["node.example", "127.0.0.1"])
    names = x509.load_pem_x509_certificate(certificate).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["node.example"]
    assert [str(a) for a in names.value.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_a_self_signed_certificate_is_trusted_by_those_who_take_it_as_root() -> None:
    _, certificate = self_signed(["127.0.0.1"])
    context = ssl.create_default_context(cadata=certificate.decode())
    assert len(context.get_ca_certs()) == 1


def _write(folder: Path, key: bytes, certificate: bytes) -> FilePair:
    (folder / "k").write_bytes(key)
    (folder / "c").write_bytes(certificate)
    return FilePair(folder / "c", folder / "k", on_error=pytest.fail)


def test_a_key_that_is_not_the_certificates_is_refused_at_start(tmp_path: Path) -> None:
    pair = _write(tmp_path, self_signed(["a"])[0], self_signed(["a"])[1])
    with pytest.raises(CannotStartError, match="does not belong"):
        pair.load()


@pytest.mark.parametrize("junk", [b"", b"nonsense"])
def test_junk_is_no_tls_pair(tmp_path: Path, junk: bytes) -> None:
    with pytest.raises(CannotStartError, match="not PEM"):
        _write(tmp_path, junk, junk).load()


def test_a_log_line_of_foreign_text_stays_one_line() -> None:
    assert logs.printable("a\nb\x1b[31mé") == "a\\nb\\x1b[31mé"
    assert logs.printable("x" * 300) == "x" * 200 + "…"


def test_json_logs_are_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        logs.configure("info", json=True)
        logging.getLogger("mediafleet.x").warning("two\nlines")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    record = json.loads(capsys.readouterr().err)
    assert (record["level"], record["logger"], record["message"]) == (
        "warning",
        "mediafleet.x",
        "two\nlines",
    )


def test_sigterm_sets_the_stop_event() -> None:
    async def main(stop: asyncio.Event) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(stop.wait(), 5)

    assert run(main) == 0


def test_a_second_signal_ends_the_process_at_once() -> None:
    child = os.fork()
    if child == 0:

        async def main(stop: asyncio.Event) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            await stop.wait()
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()

        run(main)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 128 + signal.SIGTERM


def test_what_cannot_start_exits_1_with_its_sentence(caplog: pytest.LogCaptureFixture) -> None:
    async def main(_: asyncio.Event) -> None:
        raise CannotStartError("no such file")

    assert run(main) == 1
    assert caplog.messages == ["no such file"]


async def test_noise_is_refused_without_a_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with HttpServer("127.0.0.1:0", ready=lambda: None) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"\x00\xff\xfe noise\r\n\r\n")
        assert b" 400 " in await asyncio.wait_for(reader.readline(), 20)
        writer.close()
        await writer.wait_closed()
    assert [record for record in caplog.records if record.name == "aiohttp.server"] == []


class Circle:
    """What only the collector frees."""

    alive = 0

    def __init__(self) -> None:
        self.itself = self
        Circle.alive += 1

    def __del__(self) -> None:
        Circle.alive -= 1


def test_circles_that_outlived_one_look_of_the_collector_go_soon() -> None:
    threshold = gc.get_threshold()
    calm_collector()
    try:
        in_use, most = deque[Circle](maxlen=2000), 0
        for _ in range(300_000):
            in_use.append(Circle())
            most = max(most, Circle.alive)
        # 10,000 until the first look, and the 2,000 in use at each look since a second one: 28,000.
        # With 50 looks until a second one it was 68,000, and grew.
        assert most < 40_000
    finally:
        gc.unfreeze()
        gc.set_threshold(*threshold)
