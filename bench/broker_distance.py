"""A result of 300 MB from a worker at a round trip of 100 ms.

`python -m bench.broker_distance [MB]`. All that passes between the worker and the broker is held
back for 50 ms on each way, by a relay in this process. The worker posts by HTTP/2 as Go's client
does: it sends as much as the broker's windows allow.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import aiohttp
import h2.config
import h2.connection
import h2.events
import uvloop
from bench.broker import MEDIA, SECRET, brokered, registration, resident, until_registered
from bench.broker_memory import highest
from bench.egress_latency import load
from rich.console import Console

from mediafleet_common.wire.ai_worker_pb2 import NotifyAIJob
from mediafleet_testbed.load.ai_workers import Worker

ONE_WAY_SECONDS: Final = 0.05
_HEAD: Final = (
    b"--b\r\nContent-Disposition: attachment; filename=a.wav\r\nContent-Type: audio/wav\r\n\r\n"
)
_TAIL: Final = (
    b'\r\n--b\r\nContent-Type: application/json\r\n\r\n{"audio":{"url":"a.wav"}}\r\n--b--\r\n'
)
_CHUNK: Final = 1 << 18


async def relay(to: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, held back on each way."""
    host, _, port = to.rpartition(":")
    there, back = await asyncio.open_connection(host, int(port))
    await asyncio.gather(held_back(reader, back), held_back(there, writer))


async def held_back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What is read is written later, however much is on its way."""
    loop = asyncio.get_running_loop()
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def read() -> None:
        data = b"-"
        while data:
            data = await reader.read(_CHUNK)
            under_way.put_nowait((loop.time() + ONE_WAY_SECONDS, data))

    async def write() -> None:
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(due - loop.time())
            if not data:
                writer.close()
                return
            writer.write(data)

    with contextlib.suppress(ConnectionError):
        await asyncio.gather(read(), write())


async def post(address: str, context: ssl.SSLContext, task_id: int, size: int) -> None:
    """A result, as fast as the broker lets it in."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    client.initiate_connection()
    headers = {
        ":method": "POST",
        ":path": "/aiResults",
        ":scheme": "https",
        ":authority": address,
        "authorization": "Livepeer-AI-Worker-1.0",
        "credentials": SECRET,
        "content-type": MEDIA,
        "pipeline": "text-to-speech",
        "taskid": str(task_id),
    }
    client.send_headers(1, list(headers.items()))
    left = bytearray(_HEAD)
    files = size
    while True:
        while (window := client.local_flow_control_window(1)) > 0 and (left or files):
            if not left:
                more = min(files, _CHUNK)
                files -= more
                left += bytes(more) + (b"" if files else _TAIL)
            part = bytes(left[: min(window, client.max_outbound_frame_size)])
            del left[: len(part)]
            client.send_data(1, part, end_stream=not left and not files)
        writer.write(client.data_to_send())
        await writer.drain()
        for event in client.receive_data(await reader.read(_CHUNK)):
            if isinstance(event, h2.events.StreamEnded):
                writer.close()
                return


async def main(megabytes: int) -> None:
    """Print the figure."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        member, runner, address, certificate = await stack.enter_async_context(brokered(folder))
        server = await asyncio.start_server(
            lambda reader, writer: relay(address, reader, writer), "127.0.0.1", 0
        )
        far = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        context = ssl.create_default_context(cadata=certificate.decode())
        context.set_alpn_protocols(["h2"])
        jobs: asyncio.Queue[NotifyAIJob] = asyncio.Queue()
        worker = Worker(SECRET, None, jobs.put_nowait)
        stack.callback(worker.close)
        await worker.register(far, context, registration())
        session = await stack.enter_async_context(aiohttp.ClientSession())
        await until_registered(session, runner, 1)
        before = resident(member.process.pid)
        body = {"model_id": "m", "text": "1"}
        began = time.perf_counter()
        limit = aiohttp.ClientTimeout(total=300)

        async def ask() -> int:
            async with session.post(
                f"{runner}/text-to-speech", json=body, timeout=limit
            ) as response:
                read = 0
                async for chunk in response.content.iter_any():
                    read += len(chunk)
            return read

        asking = asyncio.create_task(ask())
        job = await jobs.get()
        await post(far, context, job.task_id, megabytes << 20)
        posted = time.perf_counter() - began
        read = await asking
        Console(width=130).print(
            f"{megabytes} MB at a round trip of {2000 * ONE_WAY_SECONDS:.0f} ms: posted in"
            f" {posted:.1f} s, read by its caller ({read >> 20} MB of base64) in"
            f" {time.perf_counter() - began:.1f} s,"
            f" {highest(member.process.pid) - before:.0f} MB more memory\n{load()}"
        )
        server.close()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 300))
