"""Keeps half the pods of a fleet busy, with jobs of a few seconds each."""

from __future__ import annotations

import asyncio
import random
import time
from types import TracebackType
from typing import Final, Self

from tests.kit.fleets.users import Users, comes_to_run, end_for_certain
from tests.kit.watching.job_logs import JobLogs
from tests.kit.watching.pods import PodWatch

from mediafleet_testbed.waiting import WaitedInVainError

JOB_SECONDS: Final = (2.0, 10.0)
_TICK_SECONDS: Final = 0.1


class Crowd:
    """Feeds one fleet, as an async context manager; leaving waits until the last job has ended."""

    def __init__(
        self, fleet: str, users: Users, pods: PodWatch, logs: JobLogs, chance: random.Random
    ) -> None:
        self.fleet = fleet
        self.given_up: list[str] = []
        """Jobs that could not be ended."""
        self.users = users
        self._pods = pods
        self._logs = logs
        self._chance = chance
        self._jobs: set[asyncio.Task[None]] = set()
        self._unseen = 0
        """Jobs on their way, which no log tells of yet."""

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._feed(), name=f"crowd of {self.fleet}")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._task.cancel()
        if error is not None:
            for job in self._jobs:
                job.cancel()
        await asyncio.gather(self._task, *self._jobs, return_exceptions=True)

    @property
    def busy_share(self) -> float:
        """Share of the pods that may be given work and have some."""
        serving = self._pods.serving(self.fleet)
        return self._busy() / len(serving) if serving else 0.0

    def _busy(self) -> int:
        return sum(bool(self._logs.running(pod.uid)) for pod in self._pods.serving(self.fleet))

    def _missing(self) -> int:
        half = (len(self._pods.serving(self.fleet)) + 1) // 2
        return half - self._busy() - self._unseen

    async def until_half_busy(self, seconds: float) -> bool:
        """Wait until half the pods are busy, no longer than `seconds`; whether they are."""
        deadline = time.monotonic() + seconds
        while self._busy() * 2 < len(self._pods.serving(self.fleet)):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_TICK_SECONDS)
        return True

    async def _feed(self) -> None:
        while True:
            for _ in range(self._missing()):
                self._unseen += 1
                task = asyncio.create_task(self._job())
                self._jobs.add(task)
                task.add_done_callback(self._jobs.discard)
            await asyncio.sleep(_TICK_SECONDS)

    async def _job(self) -> None:
        begun, runs = None, False
        try:
            begun = await self.users.begin()
            if begun is not None and begun.agreed:
                runs = await comes_to_run(begun, self._logs)
        finally:
            self._unseen -= 1
        if begun is None or not (runs or await comes_to_run(begun, self._logs)):
            return
        await asyncio.sleep(self._chance.uniform(*JOB_SECONDS))
        try:
            await end_for_certain(begun, self._logs)
        except WaitedInVainError as error:
            self.given_up.append(str(error))
