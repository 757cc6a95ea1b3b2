"""The least that a gRPC server in Python can do: the same bytes for every call.

`python -m bench.bare_server PORT BYTES` is the baseline of what the advertiser's answers cost.
"""

from __future__ import annotations

import asyncio
import sys

import grpc
import uvloop

from mediafleet_common.serving.grpc_server import GrpcServer


async def _serve(port: int, size: int) -> None:
    answer = bytes(size)

    async def call(_: bytes, __: object) -> bytes:
        return answer

    method = grpc.unary_unary_rpc_method_handler(call)
    handlers = grpc.method_handlers_generic_handler("net.Orchestrator", {"GetOrchestrator": method})
    async with GrpcServer(f"127.0.0.1:{port}", [handlers], None):
        print("ready", flush=True)
        await asyncio.Event().wait()


def main() -> int:
    """Serve until a signal ends it."""
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
