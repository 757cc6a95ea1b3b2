"""One orchestrator's live runners: each model one, by heartbeats, taken back at the end.

Wire: livepeer/go-livepeer server/ai_http.go (LiveRunnerHeartbeat, UnregisterLiveRunner).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from mediafleet_scheduler.broker.models import ModelEntry
from mediafleet_scheduler.broker.orchestrators.calls import (
    Answer,
    CallError,
    Calls,
    tell_each,
)
from mediafleet_scheduler.core.workers.dispatch import Dispatcher
from mediafleet_scheduler.core.workers.foreign import read_json
from mediafleet_scheduler.core.workers.orchestrators import live_runner
from mediafleet_scheduler.core.workers.orchestrators.live_runner import (
    Refusal,
    Registration,
    Runner,
)

DOOR: Final = "live-runner"
_HEARTBEAT: Final = "/runners/heartbeat"


@dataclass(slots=True)
class _Kept:
    """A runner that is registered."""

    registration: Registration
    capacity: int
    at: float


class LiveRunners:
    """The live runners of one orchestrator."""

    def __init__(
        self,
        calls: Calls,
        url: Callable[[], str],
        dispatcher: Dispatcher,
        heartbeat_seconds: float,
        on_restart: Callable[[], None],
    ) -> None:
        self._calls = calls
        self._url = url
        self._dispatcher = dispatcher
        self._heartbeat_seconds = heartbeat_seconds
        self._on_restart = on_restart
        self._kept: dict[str, _Kept] = {}

    async def look(self, models: Iterable[ModelEntry], now: float) -> None:
        """Send the heartbeats that are due.

        Raises:
            CallError: something cannot be told now; all else was, unless the orchestrator is away.
        """
        wanted = {str(each.target): each for each in models if each.live_runner is not None}
        await tell_each(
            sorted(wanted.keys() | self._kept.keys()),
            lambda app: self._look(app, wanted.get(app), now),
        )

    async def leave(self) -> None:
        """Take all back.

        Raises:
            CallError: the orchestrator does not hear it.
        """
        for app in sorted(self._kept):
            await self._unregister(app)

    async def _look(self, app: str, entry: ModelEntry | None, now: float) -> None:
        if entry is None or entry.live_runner is None:
            await self._unregister(app)
            return
        capacity, kept = self._dispatcher.capacity(entry.target), self._kept.get(app)
        if kept is None and capacity <= 0:
            return
        if kept is None or kept.capacity != capacity or now - kept.at >= kept.registration.interval:
            runner = self._runner(app, entry)
            known = None if kept is None else kept.registration
            registration = await self._beat(runner, capacity, known)
            self._kept[app] = _Kept(registration, capacity, now)
        self._calls.show(DOOR, app, registered=capacity > 0)

    def _runner(self, app: str, entry: ModelEntry) -> Runner:
        assert entry.live_runner is not None
        pipeline, model = entry.target
        url = f"{self._url()}/{pipeline}/{quote(model)}"
        return Runner(app, url, entry.live_runner.price, entry.live_runner.unit)

    async def _beat(
        self, runner: Runner, capacity: int, known: Registration | None
    ) -> Registration:
        message = live_runner.heartbeat(runner, capacity, known)
        secret = self._calls.secret() if known is None else known.secret
        answer = await self._calls.post(_HEARTBEAT, secret, json=message)
        interval = self._heartbeat_seconds
        found = live_runner.answered(known, answer.status, _object(answer), interval)
        if isinstance(found, Registration):
            return found
        if found is Refusal.UNKNOWN:
            del self._kept[runner.app]
            self._on_restart()
            return await self._beat(runner, capacity, None)
        said = self._calls.said(answer, secret, self._url().rpartition("/")[2])
        fix = " (is it run with -useLiveRunners?)" if answer.status == 404 else ""
        raise CallError(f"{_HEARTBEAT}: HTTP {answer.status}: {said}{fix}")

    async def _unregister(self, app: str) -> None:
        known = self._kept[app].registration
        # Whatever it answers, it does not know the runner any more.
        await self._calls.post(f"/runners/{quote(known.id, safe='')}/unregister", known.secret)
        del self._kept[app]
        self._calls.show(DOOR, app, registered=False)


def _object(answer: Answer) -> Mapping[str, object]:
    try:
        found = read_json(answer.body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
