"""Every number of replicas that a resource was ever told, with the time it was."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from tests.kit.watching import api

from mediafleet_common.api.names import API_VERSION, PLURALS, Kind
from mediafleet_testbed.waiting import WaitedInVainError

_AGAIN_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Told:
    """One change of `spec.replicas`."""

    at: float
    """Unix time at which this was seen."""
    replicas: int | None


class ReplicaWatch:
    """Follows the resources of a kind in a namespace, as an async context manager."""

    def __init__(self, server: api.Api, kind: Kind, namespace: str) -> None:
        self._server = server
        self._path = f"/apis/{API_VERSION}/namespaces/{namespace}/{PLURALS[kind]}"
        self._told: dict[str, list[Told]] = {}
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow(), name="replica-watch")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def of(self, name: str, since: float = 0.0) -> list[Told]:
        """What a resource was told since, in order; its state before is not part of it."""
        return [told for told in self._told.get(name, ()) if told.at >= since]

    def counts(self, name: str, since: float = 0.0) -> list[int | None]:
        """The numbers alone."""
        return [told.replicas for told in self.of(name, since)]

    def now(self, name: str) -> int | None:
        """What it is told now."""
        told = self._told.get(name)
        return told[-1].replicas if told else None

    async def until(self, name: str, enough: Callable[[int], bool], seconds: float) -> Told:
        """Wait for a number.

        Raises:
            WaitedInVainError: it did not come.
        """
        try:
            async with asyncio.timeout(seconds), self._changed:
                while (count := self.now(name)) is None or not enough(count):
                    await self._changed.wait()
        except TimeoutError:
            counts = self.counts(name)
            raise WaitedInVainError(f"replicas of {name}: {counts} after {seconds:g} s") from None
        return self._told[name][-1]

    async def _follow(self) -> None:
        while True:
            try:
                async with contextlib.aclosing(self._server.watch(self._path)) as events:
                    async for _, seen in events:
                        await self._note(seen)
            except (aiohttp.ClientError, TimeoutError, api.ApiRefusedError, OSError):
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _note(self, seen: dict[str, Any]) -> None:
        told = self._told.setdefault(seen["metadata"]["name"], [])
        replicas = seen["spec"].get("replicas")
        if not told or told[-1].replicas != replicas:
            told.append(Told(time.time(), replicas))
            async with self._changed:
                self._changed.notify_all()
