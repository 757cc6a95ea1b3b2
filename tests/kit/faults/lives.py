"""One workload from its start to its end under one plan, and what came of it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from tests.kit.faults.answers import Answers
from tests.kit.faults.plans import Course, Plan
from tests.kit.faults.workloads import WORKLOADS
from tests.kit.faults.world import CONVERGE_SECONDS, World
from tests.kit.watching.api import Api

PLAN_SECONDS: Final = 1200.0
"""A plan that has not ended by then never will: each of its few waits has an end of its own."""


class Verdict(StrEnum):
    """What came of a plan."""

    CONVERGED = "converged"
    UNSAFE = "unsafe"
    """A busy pod was deleted, something not ours was touched, or a write was unconditional."""
    LATE = "late"
    """What was wanted was not there in time."""
    RESTLESS = "restless"
    """There were writes though all was done."""
    ORPHANED = "orphaned"
    """Something that a resource had made was there after it."""
    BROKEN = "broken"
    """An operator ended by itself, or the story met something else."""


@dataclass(frozen=True, slots=True)
class End:
    """How a workload ended."""

    verdict: Verdict
    said: str
    """Why; empty where it converged."""
    course: Course
    struck: bool
    """Whether the fault came."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Stage:
    """Where workloads are played."""

    api: Api
    answers: Answers
    folder: Path
    converge_seconds: float = CONVERGE_SECONDS

    async def lived(self, name: str, plan: Plan | None = None) -> End:
        """Play one workload."""
        began = time.monotonic()
        workload = WORKLOADS[name]
        namespace = f"faults-{secrets.token_hex(3)}"
        world = World(self.api, namespace, workload.kind, plan, self.folder, workload.desk)
        world.converge_seconds = self.converge_seconds
        verdict, said = Verdict.CONVERGED, ""
        try:
            async with asyncio.timeout(PLAN_SECONDS), self._heard(world), world.running():
                await workload.story(world)
                if unrest := await world.unrest():
                    verdict, said = Verdict.RESTLESS, f"writes though all is done: {unrest}"
                elif orphans := await world.orphans():
                    verdict, said = Verdict.ORPHANED, f"its resource is gone: {orphans}"
                elif errors := world.crashed():
                    verdict, said = Verdict.BROKEN, repr(errors)
        except TimeoutError as error:
            verdict, said = Verdict.LATE, repr(error)
        except Exception as error:  # noqa: BLE001 - each plan's own verdict, told together
            verdict, said = Verdict.BROKEN, repr(error)
        if world.wrongs:
            verdict, said = Verdict.UNSAFE, repr(world.wrongs)
        seconds = time.monotonic() - began
        return End(verdict, said, world.course, world.traffic.struck, seconds)

    @asynccontextmanager
    async def _heard(self, world: World) -> AsyncIterator[None]:
        self.answers.worlds.append(world)
        try:
            yield
        finally:
            self.answers.worlds.remove(world)
