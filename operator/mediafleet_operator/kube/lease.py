"""Who works: a Lease of coordination.k8s.io, held by one operator at a time.

Holding it counts on the monotonic clock of this process from before the last renewal was sent, so
a paused or cut-off process knows that its time is over before another one takes the Lease.
A holder whose Lease did not change for its whole duration, as seen by *our* clock, is gone: the
clocks of two machines are never compared.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.formats.times import rfc3339
from mediafleet_common.kube.client import Api, Json
from mediafleet_common.kube.errors import (
    AlreadyExistsError,
    ConflictError,
    GoneError,
    KubeError,
)
from mediafleet_operator.kube import paths

_log: Final = logging.getLogger(__name__)
NOT_YET: Final = "the API server has not answered yet"


@dataclass(frozen=True, slots=True)
class Terms:
    """How long what lasts. A renewal that fails is tried again until the deadline."""

    duration_seconds: float = 15.0
    """Others may take the Lease when it has not been renewed for so long."""
    deadline_seconds: float = 10.0
    """We stop when it has not been renewed for so long; less, so that two never work."""
    retry_seconds: float = 2.0
    call_seconds: float = 4.0


class LostLeaseError(Exception):
    """We no longer hold the Lease."""


class Lease:
    """One candidate for a Lease."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        identity: str,
        terms: Terms = Terms(),
        clock: Clock = SYSTEM,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._api = api
        self._collection = paths.collection("coordination.k8s.io/v1", "leases", namespace)
        self._target = self._collection.item(name)
        self._name = name
        self._identity = identity
        self._terms = terms
        self._clock = clock
        self._sleep = sleep
        self._renewed_at: float | None = None
        self.unanswered: str | None = NOT_YET
        """Why nothing is known of the Lease so far; `None` since the first answer."""
        self._seen: tuple[str, float] | None = None
        """Version of the Lease as last seen held by somebody else, and when it first was."""

    def held(self) -> bool:
        """Whether we may work now."""
        at = self._renewed_at
        return at is not None and self._clock.monotonic() - at < self._terms.deadline_seconds

    async def acquire(self) -> None:
        """Wait until we hold it."""
        while True:
            try:
                async with asyncio.timeout(self._terms.call_seconds):
                    taken = await self._take()
                self.unanswered = None
                if taken:
                    return
            except TimeoutError:
                self._complain("no answer from the API server")
            except (ConflictError, AlreadyExistsError):
                _log.debug("lease: another one was quicker")
                self.unanswered = None
            except KubeError as error:
                self._complain(str(error))
            await self._sleep(self._terms.retry_seconds)

    def _complain(self, why: str) -> None:
        _log.warning("lease: %s", why)
        if self.unanswered is not None:
            self.unanswered = f"waiting for the API server, to take the Lease: {why}"

    async def keep(self) -> None:
        """Renew it for ever.

        Raises:
            LostLeaseError: another one has it, or it could not be renewed in time.
        """
        while True:
            await self._sleep(self._terms.retry_seconds)
            try:
                async with asyncio.timeout(self._terms.call_seconds):
                    if not await self._take():
                        raise LostLeaseError("another one holds it")
            except TimeoutError:
                _log.warning("lease: no answer from the API server")
            except KubeError as error:
                _log.warning("lease: %s", error)
            if not self.held():
                limit = self._terms.deadline_seconds
                raise LostLeaseError(f"it could not be renewed for {limit:g} s")

    async def release(self) -> None:
        """Give it back, so that the next one need not wait; as well as can be."""
        if not self.held():
            return
        self._renewed_at = None
        try:
            async with asyncio.timeout(self._terms.call_seconds):
                lease = await self._api.get(self._target)
                if lease["spec"].get("holderIdentity") == self._identity:
                    lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                    await self._api.replace(self._target, lease)
        except (KubeError, TimeoutError) as error:
            _log.warning("lease: not given back: %s", error)

    async def _take(self) -> bool:
        """Take or renew it; `False` when somebody else holds it."""
        began = self._clock.monotonic()
        try:
            lease = await self._api.get(self._target)
        except GoneError:
            metadata = {"name": self._name}
            spec = {**self._spec(), "acquireTime": self._now(), "leaseTransitions": 0}
            await self._api.create(
                self._collection,
                {
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": metadata,
                    "spec": spec,
                },
            )
            self._renewed_at = began
            return True
        spec = lease["spec"]
        holder = spec.get("holderIdentity")
        if holder and holder != self._identity and not self._expired(lease):
            return False
        if holder != self._identity:
            transitions = (spec.get("leaseTransitions") or 0) + 1
            spec |= {"acquireTime": self._now(), "leaseTransitions": transitions}
        spec |= self._spec()
        # Conditional on the resourceVersion that was read: of two takers one fails.
        await self._api.replace(self._target, lease)
        self._renewed_at = began
        return True

    def _expired(self, lease: Json) -> bool:
        version = lease["metadata"]["resourceVersion"]
        if self._seen is None or self._seen[0] != version:
            self._seen = (version, self._clock.monotonic())
            return False
        duration = lease["spec"].get("leaseDurationSeconds") or self._terms.duration_seconds
        return self._clock.monotonic() - self._seen[1] >= float(duration)

    def _spec(self) -> Json:
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": round(self._terms.duration_seconds),
            "renewTime": self._now(),
        }

    def _now(self) -> str:
        return rfc3339(self._clock.unix(), "microseconds")
