"""The server's side of HTTP/2 by the h2 library, with a port's limits, and answers on their way."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import h2.config
import h2.settings

from mediafleet_common.formats.grpc_message import framed
from mediafleet_common.serving.http2_state import Http2State
from mediafleet_common.serving.unary.call import Call, head, tail
from mediafleet_common.serving.unary.limits import PortLimits
from mediafleet_common.serving.unary.pages import Page

_WINDOW_BYTES: Final = 72 * 1024
"""For a stream, and for the connection: a request of the largest size fits once."""
_AT_ONCE_BYTES: Final = 128 * 1024
_GO_AWAY: Final = struct.Struct(">IBIII")
_CONFIG: Final = h2.config.H2Configuration(
    client_side=False,
    header_encoding=None,
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
)


class Http2(Http2State):
    """The state of one connection, on the server's side."""

    @classmethod
    def begin(cls, limits: PortLimits) -> Http2:
        """A connection whose settings are to be sent."""
        codes = h2.settings.SettingCodes
        made = cls(_CONFIG)
        made.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                codes.MAX_CONCURRENT_STREAMS: limits.streams,
                codes.MAX_HEADER_LIST_SIZE: limits.header_bytes,
                codes.INITIAL_WINDOW_SIZE: _WINDOW_BYTES,
            },
        )
        made.decoder.max_header_list_size = limits.header_bytes
        made.initiate_connection()
        made.increment_flow_control_window(_WINDOW_BYTES - 65_535)
        return made

    def go_away(self) -> bytes:
        """The frame that says so: by hand, since the library sends nothing more after its own, and
        calls under way are to be answered."""
        return _GO_AWAY.pack(8 << 8 | 7, 0, 0, self.highest_inbound_stream_id, 0)


@dataclass(slots=True)
class _Answer:
    call: Call | None
    """`None`: it is a page, and no message of gRPC."""
    data: memoryview


class Answers:
    """Answers on their way, by stream: sent as far as windows allow."""

    def __init__(self) -> None:
        self._waiting: dict[int, _Answer] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._waiting

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def begin(self, connection: Http2, number: int, call: Call, message: bytes) -> None:
        """Send the headers of an answer whose message is to follow."""
        connection.send_headers(number, head(call))
        self._waiting[number] = _Answer(call, memoryview(framed(message)))

    def begin_page(self, connection: Http2, number: int, page: Page) -> None:
        """Send the headers of a page that is to follow."""
        status = str(page.status.value).encode()
        connection.send_headers(number, [(b":status", status), *page.headers()])
        self._waiting[number] = _Answer(None, memoryview(page.body))

    def drop(self, number: int) -> None:
        """It was sent, or nobody waits for it."""
        self._waiting.pop(number, None)

    def clear(self) -> None:
        """Drop all."""
        self._waiting.clear()

    def pump(self, connection: Http2, ended: Callable[[int], None]) -> int:
        """Send a part of what waits; how many bytes that were. `ended` gets each stream's end."""
        sent = 0
        for number, answer in tuple(self._waiting.items()):
            while answer.data:
                size = min(
                    connection.local_flow_control_window(number),
                    connection.max_outbound_frame_size,
                    len(answer.data),
                )
                if size <= 0 or sent >= _AT_ONCE_BYTES:
                    break
                connection.send_data(number, bytes(answer.data[:size]))
                answer.data = answer.data[size:]
                sent += size
            else:
                if answer.call is None:
                    connection.end_stream(number)
                else:
                    connection.send_headers(number, tail(answer.call), end_stream=True)
                ended(number)
        return sent
