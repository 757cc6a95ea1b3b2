"""Which buses are on one server, however it is spelled: what is published on one is heard on the
other. What a server says of itself changes at a failover, and can be forged.

The channel is one that the documented ACL lets a desk use. Another desk has another channel.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from mediafleet_scheduler.psrpc import channels

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mediafleet_scheduler.psrpc.bus import Bus

_SERVICE: Final = "EgressInternal"
_METHOD: Final = "MediafleetEcho"

NameT = TypeVar("NameT", bound=Hashable)


@dataclass(slots=True)
class _Shout(Generic[NameT]):
    """One message, and who has heard it."""

    name: NameT
    heard: set[NameT] = field(default_factory=set)
    by_itself: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, name: NameT) -> None:
        self.heard.add(name)
        if name == self.name:
            self.by_itself.set()


class Echo(Generic[NameT]):
    """The buses of one desk, each by its name."""

    def __init__(self, own_seconds: float, grace_seconds: float) -> None:
        """`own_seconds`: a bus that does not hear itself within this hears nobody.
        `grace_seconds`: the others may hear a message so long after its own bus did."""
        self._own_seconds = own_seconds
        self._grace_seconds = grace_seconds
        self._channel = channels.request(_SERVICE, _METHOD, (secrets.token_hex(16),))
        self._buses: dict[NameT, Bus] = {}
        self._shouts: dict[bytes, _Shout[NameT]] = {}

    @asynccontextmanager
    async def listening(self, name: NameT, bus: Bus) -> AsyncIterator[None]:
        """While a bus takes part."""

        def receive(data: bytes) -> None:
            shout = self._shouts.get(data)
            if shout is not None:
                shout.add(name)

        subscription = await bus.subscribe(self._channel, receive)
        self._buses[name] = bus
        try:
            yield
        finally:
            del self._buses[name]
            await subscription.close()

    async def same(self, name: NameT) -> set[NameT]:
        """The others that are on the server of one, as far as they hear at this moment."""
        if len(self._buses) < 2:
            return set()
        token = secrets.token_hex(16).encode()
        shout = self._shouts[token] = _Shout(name)
        try:
            self._buses[name].publish(self._channel, token)
            async with asyncio.timeout(self._own_seconds):
                await shout.by_itself.wait()
            await asyncio.sleep(self._grace_seconds)
        except TimeoutError:
            return set()
        finally:
            del self._shouts[token]
        return shout.heard - {name}
