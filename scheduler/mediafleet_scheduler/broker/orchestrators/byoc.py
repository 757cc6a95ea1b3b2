"""One orchestrator's external capabilities (BYOC): registered, kept up, and taken back at the end.

Wire: livepeer/go-livepeer byoc/job_orchestrator.go (RegisterCapability, UnregisterCapability).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import quote

from mediafleet_scheduler.broker.models import ModelEntry
from mediafleet_scheduler.broker.orchestrators.calls import Calls, tell_each
from mediafleet_scheduler.broker.orchestrators.door import BYOC, UnderWay
from mediafleet_scheduler.core.workers.dispatch import Dispatcher
from mediafleet_scheduler.core.workers.orchestrators.external import (
    Capability,
    Next,
    Registered,
    next_call,
    registration,
)

DOOR: Final = "byoc"


class Capabilities:
    """What one orchestrator was told, and what it is to be told next."""

    def __init__(
        self,
        calls: Calls,
        base_url: str,
        token: Callable[[], str | None],
        dispatcher: Dispatcher,
        under_way: UnderWay,
        again_seconds: float,
    ) -> None:
        self._calls = calls
        self._base_url = base_url
        self._token = token
        self._dispatcher = dispatcher
        self._under_way = under_way
        self._again_seconds = again_seconds
        self._registered: dict[str, Registered] = {}
        self._tried: set[str] = set()
        """Names that it may know: a call that was broken off may have been heard."""

    def forget(self) -> None:
        """The orchestrator has started anew: it knows nothing."""
        self._registered.clear()

    async def look(self, models: Iterable[ModelEntry], now: float) -> None:
        """Tell what has changed.

        Raises:
            CallError: something cannot be told now; all else was, unless the orchestrator is away.
        """
        wanted = {name: each for each in models if (name := each.capability) is not None}
        await tell_each(
            sorted(wanted.keys() | self._registered.keys()),
            lambda name: self._look(wanted.get(name), name, now),
        )

    async def leave(self) -> None:
        """Take all back.

        Raises:
            CallError: the orchestrator does not hear it.
        """
        for name in sorted(self._tried):
            await self._unregister(name)

    async def _look(self, entry: ModelEntry | None, name: str, now: float) -> None:
        if entry is None:
            await self._unregister(name)
            return
        capacity = self._dispatcher.capacity(entry.target)
        wanted = self._wanted(entry, name)
        step = next_call(wanted, capacity, self._registered.get(name), now, self._again_seconds)
        if step is Next.REGISTER:
            busy = self._under_way.count(self._calls.entry.key, entry.target)
            message = registration(wanted, capacity, busy)
            self._tried.add(name)
            await self._calls.register(message)
            self._registered[name] = Registered(wanted, capacity, now)
        elif step is Next.UNREGISTER:
            await self._unregister(name)
        self._calls.show(DOOR, name, registered=name in self._registered)

    async def _unregister(self, name: str) -> None:
        await self._calls.unregister(name)
        self._registered.pop(name, None)
        self._tried.discard(name)
        self._calls.show(DOOR, name, registered=False)

    def _wanted(self, entry: ModelEntry, name: str) -> Capability:
        assert entry.byoc is not None
        pipeline, model = entry.target
        path = f"{BYOC}/{self._calls.entry.key}/{pipeline}/{quote(model)}"
        price = entry.byoc
        return Capability(
            name,
            f"{self._base_url}{path}",
            price.price_per_unit,
            price.price_scaling,
            price.currency,
            self._token(),
        )
