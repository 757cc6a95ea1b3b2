"""A port that anybody can reach: how many connections it has, and for how long."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from mediafleet_common.serving.addresses import split_host_port
from mediafleet_common.serving.run import CannotStartError
from mediafleet_common.serving.unary.call import Method
from mediafleet_common.serving.unary.connection import Connection
from mediafleet_common.serving.unary.limits import PortLimits
from mediafleet_common.serving.unary.pages import Pages

_LOOK_SECONDS: Final = 0.5
_GRACE_SECONDS: Final = 2.0
_BACKLOG: Final = 1024

Contexts = Callable[[], ssl.SSLContext]
"""The TLS material for the next connection."""


class UnaryPort:
    """Serves `methods`, by path, on `listen`: `HOST:PORT`; port 0 takes a free one, told by `port`.

    With `pages` a GET is answered too, over HTTP/2 and HTTP/1.1; who asks by the latter counts as
    one who made no call: it makes room first, and has the time of a first call for all of it.
    Without `contexts` it speaks plaintext. Leaving waits two seconds for calls under way.

    Raises:
        CannotStartError: on entering, when the address cannot be listened on.
    """

    def __init__(
        self,
        listen: str,
        methods: dict[bytes, Method],
        contexts: Contexts | None,
        limits: PortLimits | None = None,
        pages: Pages | None = None,
    ) -> None:
        self.limits: Final = limits or PortLimits()
        self.methods: Final = methods
        self.pages: Final = pages
        self._listen = listen
        self._contexts = contexts
        self._server: asyncio.Server | None = None
        self._looking: asyncio.Task[None] | None = None
        self._silent: dict[Connection, None] = {}
        """Those that have made no call, the oldest first."""
        self._callers: dict[Connection, None] = {}
        """The others, by their last call."""
        self._held = 0
        self._changed = asyncio.Event()
        self.port = 0

    async def __aenter__(self) -> Self:
        host, port = split_host_port(self._listen)
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._accept, host, port, backlog=_BACKLOG
            )
        except OSError as error:
            raise CannotStartError(f"cannot listen on {self._listen}: {error}") from error
        self.port = int(self._server.sockets[0].getsockname()[1])
        self._looking = asyncio.create_task(self._look(), name="connections")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._looking is not None:
            self._looking.cancel()
        if self._server is not None:
            self._server.close()
        for each in (*self._silent, *self._callers):
            each.leave()
        try:
            async with asyncio.timeout(_GRACE_SECONDS):
                while self._callers:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass
        for each in (*self._silent, *self._callers):
            each.abort()
        if self._server is not None:
            await self._server.wait_closed()

    def gone(self, connection: Connection) -> None:
        """The connection is no more."""
        self._silent.pop(connection, None)
        self._callers.pop(connection, None)
        self._changed.set()

    def served(self, connection: Connection) -> None:
        """It has made a call."""
        self._silent.pop(connection, None)
        self._callers.pop(connection, None)
        self._callers[connection] = None

    def hold(self, size: int) -> bool:
        """Bytes of unfinished requests came, or were used (negative); whether there is room."""
        self._held += size
        return self._held <= self.limits.unread_bytes

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._silent) + len(self._callers)

    def _accept(self) -> Connection:
        if self.connections >= self.limits.connections:
            self._make_room()
        context = None if self._contexts is None else self._contexts()
        made = Connection(self, context, asyncio.get_running_loop().time())
        self._silent[made] = None
        return made

    def _make_room(self) -> None:
        """End the one that has been silent for longest."""
        victim = next(iter(self._silent), None)
        if victim is None:
            victim = next((each for each in self._callers if not each.busy), None)
        if victim is None:
            victim = next(iter(self._callers))
        victim.abort()
        self.gone(victim)

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for each in (*self._silent, *self._callers):
                each.look(loop.time())
