"""Asks desks what the demand is: `GET /demand`, one task for each desk.

All replicas of a desk answer the same, so any that its Service leads to is right. A desk that does
not answer is asked again after growing pauses, and what it said before soon counts no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from pydantic import ValidationError

from mediafleet_common.api.names import Reason
from mediafleet_common.api.reading import first_mistake
from mediafleet_common.back_off import BackOff
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.kube.errors import KubeError
from mediafleet_common.probes.http_client import Failure, FetchError, fetch
from mediafleet_common.reports.demand import Demand, FleetDemand
from mediafleet_common.serving.small_files import MAX_SECRET_BYTES, read_small_text
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.kube.pool_tokens import PoolTokens
from mediafleet_operator.rounds.metrics import OperatorMetrics
from mediafleet_operator.settings import DemandTimes

MAX_BYTES: Final = 8 * 1024 * 1024

Ask = Callable[[str], Awaitable[Demand]]
"""Asks one desk.

Raises:
    FetchError: it does not answer, or not in words that we know.
"""


@dataclass(frozen=True, slots=True)
class Tokens:
    """By which desks are asked, never that for the API server."""

    desk: Path | None = None
    """Its file, for the egress desk and the broker; kubelet replaces what is in it."""
    pools: PoolTokens | None = None
    """For advertisers."""

    async def of(self, url: str, desks: Collection[str]) -> str | None:
        """The token for what is at a URL; `desks` are those that whoever started us named. `None`:
        it is asked without one.

        Raises:
            FetchError: there is none now.
        """
        if url in {f"{each.rstrip('/')}/demand" for each in desks}:
            return self._of_desk()
        # Of a Service of ours: NAME.NAMESPACE.svc. A name may have dots.
        rest, _, svc = (urlsplit(url).hostname or "").rpartition(".")
        if self.pools is None or svc != "svc":
            return None
        try:
            return await self.pools.of(rest.rpartition(".")[2])
        except KubeError as error:
            why = f"there is no token to ask with: {error}"
            raise FetchError(Failure.UNREACHABLE, why) from error

    def _of_desk(self) -> str | None:
        if self.desk is None:
            return None
        try:
            return read_small_text(self.desk, MAX_SECRET_BYTES).strip()
        except OSError as error:
            why = f"the token in {self.desk} cannot be read: {error.strerror}"
            raise FetchError(Failure.UNREACHABLE, why) from error


async def ask(
    session: aiohttp.ClientSession, tokens: Tokens, desks: Collection[str], url: str
) -> Demand:
    """What a desk says; raises FetchError."""
    headers = {"Accept": "application/json"}
    if (token := await tokens.of(url, desks)) is not None:
        headers["Authorization"] = f"Bearer {token}"
    body = await fetch(session, url, max_bytes=MAX_BYTES, headers=headers)
    try:
        # A newer desk may say more than we know of.
        return Demand.model_validate_json(body, extra="ignore")
    except ValidationError as error:
        raise FetchError(Failure.UNREADABLE, first_mistake(error)) from error


@dataclass(frozen=True, slots=True)
class Silence:
    """Why there is no demand that counts now."""

    reason: Reason
    why: str


@dataclass(slots=True)
class _Desk:
    """What is known of one desk."""

    followed: dict[FleetKey, float] = field(default_factory=dict)
    """The fleets that are asked after, and how often: seconds between two questions."""
    said: dict[FleetKey, FleetDemand] = field(default_factory=dict)
    fresh: dict[FleetKey, float] = field(default_factory=dict)
    """When a word on each fleet came that was newer than the one before."""
    heard_at: float | None = None
    trouble: str | None = None
    """Why it did not answer last."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class DemandPoller:
    """What the desks last said; `on_news` gets each fleet whose demand changed."""

    def __init__(
        self,
        ask: Ask,
        on_news: Callable[[FleetKey], None],
        metrics: OperatorMetrics,
        clock: Clock = SYSTEM,
        times: DemandTimes | None = None,
    ) -> None:
        self._times = times or DemandTimes()
        self._ask = ask
        self._on_news = on_news
        self._metrics = metrics
        self._clock = clock
        self._desks: dict[str, _Desk] = {}
        self._urls: dict[FleetKey, str] = {}

    def follow(self, key: FleetKey, url: str, every_seconds: float) -> None:
        """From now on ask this desk for the demand of a fleet, no more rarely than that."""
        if self._urls.get(key) != url:
            self.forget(key)
            self._urls[key] = url
        desk = self._desks.setdefault(url, _Desk())
        if every_seconds < min(desk.followed.values(), default=every_seconds):
            desk.wake.set()
        desk.followed[key] = every_seconds
        if desk.task is None:
            desk.task = asyncio.create_task(self._run(url, desk), name=f"demand {url}")

    def forget(self, key: FleetKey) -> None:
        """Stop asking for the demand of this fleet."""
        url = self._urls.pop(key, None)
        desk = self._desks.get(url) if url else None
        if url is None or desk is None:
            return
        for each in (desk.followed, desk.said, desk.fresh):
            each.pop(key, None)
        if not desk.followed:
            del self._desks[url]
            if desk.task is not None:
                desk.task.cancel()

    def heard(self, key: FleetKey) -> FleetDemand | Silence:
        """What counts of a fleet now."""
        url = self._urls.get(key, "")
        desk = self._desks.get(url)
        if desk is None or (desk.heard_at is None and desk.trouble is None):
            return Silence(Reason.DEMAND_UNKNOWN, "the desk has not been asked yet")
        now = self._clock.monotonic()
        if desk.heard_at is None or now - desk.heard_at > self._times.valid_seconds:
            why = f"{url} does not answer: {desk.trouble or 'no answer yet'}"
            return Silence(Reason.DESK_UNREACHABLE, why)
        said = desk.said.get(key)
        if said is None:
            return Silence(Reason.DEMAND_UNKNOWN, f"the desk at {url} does not know the fleet")
        if now - desk.fresh[key] > self._times.valid_seconds:
            return Silence(Reason.DEMAND_UNKNOWN, f"{url} repeats an old answer")
        return said

    async def close(self) -> None:
        """Stop asking."""
        tasks = [desk.task for desk in self._desks.values() if desk.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, url: str, desk: _Desk) -> None:
        back_off = BackOff(self._times.first_pause_seconds, self._times.max_pause_seconds)
        while True:
            try:
                demand = await self._ask(url)
            except FetchError as error:
                self._metrics.demand_polls.labels(error.no_load.why.value).inc()
                news = desk.trouble is None
                desk.trouble = error.no_load.detail or error.no_load.why.value
                if news:
                    self._announce(desk)
                await asyncio.sleep(back_off.pause())
            else:
                self._metrics.demand_polls.labels("ok").inc()
                self._note(desk, demand)
                back_off.reset()
                await _rest(desk, self._times.max_pause_seconds)

    def _note(self, desk: _Desk, demand: Demand) -> None:
        now = self._clock.monotonic()
        again = desk.trouble is not None
        desk.heard_at, desk.trouble = now, None
        answered = {FleetKey(each.kind, each.namespace, each.name): each for each in demand.fleets}
        for key in desk.followed:
            before, said = desk.said.get(key), answered.get(key)
            if said is None:
                desk.said.pop(key, None)
            else:
                desk.said[key] = said
                if before is None or said.at > before.at:
                    desk.fresh[key] = now
            if again or _differ(before, said):
                self._on_news(key)

    def _announce(self, desk: _Desk) -> None:
        for key in desk.followed:
            self._on_news(key)


async def _rest(desk: _Desk, longest_seconds: float) -> None:
    """Until the next question is due, or is wanted sooner."""
    asked_at = asyncio.get_running_loop().time()
    while True:
        desk.wake.clear()
        due = asked_at + min(desk.followed.values(), default=longest_seconds)
        try:
            async with asyncio.timeout_at(due):
                await desk.wake.wait()
        except TimeoutError:
            return


def _differ(before: FleetDemand | None, after: FleetDemand | None) -> bool:
    """Whether there is news, the time of it apart."""
    if before is None or after is None:
        return before is not after
    return before.model_copy(update={"at": after.at}) != after
