"""Flame graphs of a desk, an advertiser and an operator under load, by py-spy.

`python -m bench.profiles FOLDER [SECONDS]` writes desk.svg, advertiser.svg and, on a machine that
can run the testbed's node, operator.svg; `python -m bench.profiles FOLDER SECONDS PID` writes the
one of a process that runs already. Frames of C code are in them (uvloop, protobuf, system calls).
Reading another process takes root, or `kernel.yama.ptrace_scope` 0.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import redis.asyncio as redis
import uvloop
from bench import advertise, egress_latency, egress_throughput

from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.redis_bus import RedisBus
from mediafleet_testbed.processes import Processes
from mediafleet_testbed.real_servers import redis_server
from mediafleet_testbed.standins.node import StandInNode
from mediafleet_testbed.standins.node_flags import parse_flags

SECONDS: Final = 15.0
WARM_UP_SECONDS: Final = 2.0
SAMPLES_A_SECOND: Final = 250
STARTS_A_SECOND: Final = 150.0
PODS: Final = 50
NODES: Final = 50


async def recorded(pid: int, file: Path, seconds: float) -> None:
    """Sample a process for so long and draw what it did.

    Raises:
        RuntimeError: py-spy could not read it.
    """
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("py-spy")), "record", "--native"),
        *("--rate", str(SAMPLES_A_SECOND), "--duration", f"{seconds:.0f}"),
        *("--pid", str(pid), "--output", str(file)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"py-spy: {told.decode().strip()}")
    print(file, flush=True)


async def under(load: Awaitable[object], pid: int, file: Path, seconds: float) -> None:
    """The flame graph of a process while it is under a load that goes on for somewhat longer."""
    loading = asyncio.ensure_future(load)
    await asyncio.sleep(WARM_UP_SECONDS)
    await recorded(pid, file, seconds)
    await loading


async def of_desk(folder: Path, seconds: float) -> None:
    """A desk that is given all of the starts at a fixed rate."""
    async with AsyncExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mediafleet-bench-")))
        server = stack.enter_context(redis_server())
        connection = redis.Redis.from_url(server.url)
        stack.push_async_callback(connection.aclose)
        processes = await stack.enter_async_context(Processes(scratch))
        bus = await stack.enter_async_context(RedisBus(connection))
        client = await stack.enter_async_context(Client(bus, "EgressInternal"))
        pods = egress_latency.fleet(processes, server.url, PODS, upstream=False)
        await stack.enter_async_context(pods)
        desk = await egress_latency.start_desk(processes, scratch, server.url, PODS, "desk")
        calls = egress_throughput.calls(client, None)
        long_enough = seconds + 2 * WARM_UP_SECONDS
        load = egress_throughput.at_rate(calls, STARTS_A_SECOND, long_enough)
        await under(load, desk.process.pid, folder / "desk.svg", seconds)
        await processes.dismiss(desk)


async def of_advertiser(folder: Path, seconds: float) -> None:
    """An advertiser that is asked by one gateway after the other, 32 at a time."""
    flags = ["-serviceAddr=http://127.0.0.1:0", "-httpAddr=http://0.0.0.0:0", "-cliAddr=:0"]
    async with StandInNode(parse_flags(flags)) as node:
        entries = advertise.addresses(NODES, node.port)
        async with advertise.desk(entries, tls=True) as desk:
            load = advertise.load(desk.port, desk.pid, seconds + 2 * WARM_UP_SECONDS, tls=True)
            await under(load, desk.pid, folder / "advertiser.svg", seconds)


async def run(folder: Path, seconds: float, pid: int | None) -> None:
    """Those that are asked for."""
    if pid is not None:
        await recorded(pid, folder / f"process-{pid}.svg", seconds)
        return
    await of_desk(folder, seconds)
    await of_advertiser(folder, seconds)
    # In a process of its own, since it goes on inside the node's network.
    command = (sys.executable, "-m", "bench.operator_profile", str(folder), str(seconds))
    process = await asyncio.create_subprocess_exec(*command)
    if await process.wait() != 0:
        raise RuntimeError("the operator could not be profiled")


def main() -> int:
    """Draw them; exit status."""
    if len(sys.argv) < 2:
        print(__doc__)
        return 2
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else SECONDS
    pid = int(sys.argv[3]) if len(sys.argv) > 3 else None
    try:
        uvloop.run(run(folder, seconds, pid))
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
