"""Arbitrary requests for an advertiser, over gRPC and HTTP, and what they do to its memory.

The same requests for the same seed. Some are noise, some are real ones with a few bytes changed.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mediafleet_common.wire.livepeer_pb2 import Capabilities, OrchestratorRequest
from mediafleet_testbed.load import h2_load

BATCH: Final = 5_000
HTTP_SHARE: Final = 10
"""One in so many requests is HTTP."""
_ON_A_CONNECTION: Final = 50
_IN_FLIGHT: Final = 8
_TIMEOUT_SECONDS: Final = 20.0
_METHODS: Final = ("GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PRI", "\xff")
_PATHS: Final = (
    "/orchestrators",
    "/orchestrators?scope=own",
    "/orchestrators?caps=llm&caps=35/noop",
    "/metrics",
    "/readyz",
    "/healthz",
    "/demand",
    "/conditions",
    "/nodes",
)


def messages(seed: int, count: int) -> tuple[str, ...]:
    """Messages for GetOrchestrator, in hexadecimal."""
    chance = random.Random(seed)
    return tuple(_message(chance).hex() for _ in range(count))


def _message(chance: random.Random) -> bytes:
    match chance.randrange(100):
        case kind if kind < 40:
            return chance.randbytes(chance.randrange(200))
        case kind if kind < 80:
            real = bytearray(_real(chance))
            for _ in range(chance.randrange(4)):
                real[chance.randrange(len(real))] = chance.randrange(256)
            return bytes(real[: chance.randrange(len(real) + 1)])
        case kind if kind < 98:
            return _real(chance)
        case _:
            return chance.randbytes(chance.randrange(1000, 3000))


def _real(chance: random.Random) -> bytes:
    capabilities = Capabilities(bitstring=[chance.getrandbits(64)])
    return OrchestratorRequest(
        address=chance.randbytes(20),
        sig=chance.randbytes(65),
        capabilities=capabilities.SerializeToString(),
    ).SerializeToString()


def http_request(chance: random.Random) -> tuple[bytes, bool]:
    """A request, or something like one, and whether it is noise, after which nothing can follow."""
    if chance.randrange(10) == 0:
        return chance.randbytes(chance.randrange(1, 300)), True
    path = chance.choice(_PATHS)
    if chance.randrange(2):
        path += chance.choice("?&/%") + chance.randbytes(chance.randrange(40)).hex()
    if chance.randrange(4) == 0:
        path = "/" + chance.randbytes(20).decode("latin-1").replace(" ", "+")
    lines = [f"{chance.choice(_METHODS)} {path} HTTP/1.1", "Host: localhost"]
    if chance.randrange(3) == 0:
        value = chance.choice(('"x"', "*", "\x00", "a" * 9000, chance.randbytes(30).hex()))
        lines.append(f"{chance.choice(('If-None-Match', 'Accept', 'Range'))}: {value}")
    body = b""
    if chance.randrange(4) == 0:
        body = chance.randbytes(chance.choice((10, 1000, 100_000)))
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body, False


@dataclass(slots=True)
class Target:
    """An advertiser to be asked, and what came of it."""

    port: int
    http_port: int
    pid: int
    answered: int = 0
    refused: int = 0
    http: int = 0

    def resident_mb(self) -> float:
        """Its memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * 4096 / 1e6

    def rounds(self, seed: int, count: int) -> Iterator[float]:
        """Send `count` requests; after each batch its memory in MB.

        Raises:
            OSError: it does not take connections any more, or hung up in the middle of calls.
        """
        sent = 0
        while sent < count:
            batch = min(BATCH, count - sent)
            http = batch // HTTP_SHARE
            told = messages(seed + sent, batch - http)
            task = h2_load.Task("127.0.0.1", self.port, False, 0.0, _IN_FLIGHT, told)
            result = h2_load.call_each(task)
            self.answered += result.answered
            self.refused += result.failed
            self._http(random.Random(seed + sent), http)
            sent += batch
            yield self.resident_mb()

    def _http(self, chance: random.Random, count: int) -> None:
        last = self.http + count
        while self.http < last:
            address = ("127.0.0.1", self.http_port)
            with (
                socket.create_connection(address, timeout=_TIMEOUT_SECONDS) as connection,
                # It may hang up at noise, as it should; the next connection must work.
                suppress(OSError),
            ):
                for _ in range(min(_ON_A_CONNECTION, last - self.http)):
                    request, noise = http_request(chance)
                    self.http += 1
                    connection.sendall(request)
                    if noise:
                        break
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1 << 16):
                    pass
