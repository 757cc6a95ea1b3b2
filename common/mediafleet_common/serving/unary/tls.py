"""TLS for one connection, in memory: bytes in, bytes out.

Python's and uvloop's own keep 256 KiB of buffers for each connection and take it over only after
its handshake, so that silent ones could not be counted.
"""

from __future__ import annotations

import ssl
from typing import Final

_CHUNK: Final = 64 * 1024


class ServerTls:
    """The server's side."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.ready = False
        """Whether the handshake is over."""

    @property
    def protocol(self) -> str | None:
        """What both agreed on to speak; `None`: the peer named nothing."""
        return self._ssl.selected_alpn_protocol()

    def receive(self, data: bytes) -> bytes:
        """What the peer says in `data`, of which nothing is kept but half a record.

        Raises:
            ssl.SSLError: it is no TLS that we speak, or the peer says goodbye.
        """
        self._incoming.write(data)
        if not self.ready:
            try:
                self._ssl.do_handshake()
            except ssl.SSLWantReadError:
                return b""
            self.ready = True
        parts = []
        try:
            while part := self._ssl.read(_CHUNK):
                parts.append(part)
        except ssl.SSLWantReadError:
            return b"".join(parts)
        if parts:
            return b"".join(parts)
        raise ssl.SSLZeroReturnError("the peer says goodbye")

    def send(self, data: bytes) -> None:
        """Say something to the peer, by what `outgoing` gives."""
        self._ssl.write(data)

    def outgoing(self) -> bytes:
        """What is to be sent."""
        return self._outgoing.read() if self._outgoing.pending else b""
