"""A node's connection, of which one lasts for weeks."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import h2.config
import h2.connection
import h2.events

from mediafleet_common.formats.grpc_message import framed
from mediafleet_common.formats.node_url import parse_node_url
from mediafleet_common.probes.grpc_connection import GrpcConnection


class Server(asyncio.Transport):
    """The other end, which answers each call with nothing."""

    def __init__(self, client: GrpcConnection) -> None:
        super().__init__()
        self._client = client
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        )
        self._h2.initiate_connection()
        client.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        for event in self._h2.receive_data(bytes(data)):
            if isinstance(event, h2.events.StreamEnded):
                kind = [(":status", "200"), ("content-type", "application/grpc")]
                self._h2.send_headers(event.stream_id, kind)
                self._h2.send_data(event.stream_id, framed(b""))
                self._h2.send_headers(event.stream_id, [("grpc-status", "0")], end_stream=True)
        asyncio.get_running_loop().call_soon(self._client.data_received, self._h2.data_to_send())

    def abort(self) -> None:
        self._client.connection_lost(None)


async def test_only_the_latest_calls_of_a_connection_are_remembered() -> None:
    client = GrpcConnection(parse_node_url("https://n:1"))
    Server(client)
    for _ in range(1100):
        await client.call("/s/m", b"")
    assert len(client._h2._closed_streams) <= 1024
    client.abort()


async def test_a_connection_that_is_over_leaves_nothing_to_the_collector() -> None:
    gc.disable()
    try:
        client = GrpcConnection(parse_node_url("https://n:1"))
        left: list[weakref.ref[Any]] = [weakref.ref(client._h2)]
        Server(client)
        await client.call("/s/m", b"")
        client.abort()
        for _ in range(3):
            await asyncio.sleep(0)
        client._transport = None  # the server's, which is of this test, refers back
        del client
        assert [each() for each in left] == [None]
    finally:
        gc.enable()
