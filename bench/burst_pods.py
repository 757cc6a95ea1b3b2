"""Answers for all pods of kwok: egress workers that are idle.

`python -m bench.burst_pods` beside kwok, as root, where its pods' network is free.
"""

from __future__ import annotations

import asyncio
import subprocess
from typing import Final, cast

import uvloop

from mediafleet_common.api.names import Port
from mediafleet_testbed.cluster.kwok import PODS

_METRICS: Final = b"""\
livekit_egress_available 1
livekit_egress_can_accept_request 1
livekit_egress_is_disabled 0
livekit_egress_is_terminating 0
livekit_egress_requests{type="track"} 0
livekit_node_cpu_load 0.01
"""
_ANSWER: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(_METRICS)
    + _METRICS
)


class _Worker(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        for _ in range(data.count(b"\r\n\r\n")):
            self._transport.write(_ANSWER)


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Worker, "0.0.0.0", Port.EGRESS_METRICS, backlog=4096)
    print("ready", flush=True)
    await server.serve_forever()


def main() -> None:
    """Serve until a signal ends it."""
    subprocess.run(["ip", "route", "replace", "local", PODS, "dev", "lo"], check=True)
    uvloop.run(_serve())


if __name__ == "__main__":
    main()
