"""The operator through a proxy that does one thing wrong: safe, and done within 90 s all the same.

A clean run of each workload says how many writes and events of pods it has; plans strike each of
them with each fault. CI runs some by a fixed seed, `make faults` all.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeGuard

import pytest
from tests.kit.faults.mutants import MUTANTS, Mutant
from tests.kit.faults.plans import Course, Plan, every, some
from tests.kit.faults.verdicts import failures
from tests.kit.faults.workloads import WORKLOADS
from tests.kit.faults.world import CONVERGE_SECONDS, Loads, World
from tests.kit.node.operating import ROOT
from tests.kit.watching.api import Api

from mediafleet_operator.rounds import serve
from mediafleet_testbed.cluster.kwok import crowded
from mediafleet_testbed.node import Node

PLANS: Final = int(os.environ.get("MEDIAFLEET_PLANS", "40"))
"""0: all."""
SEED: Final = int(os.environ.get("MEDIAFLEET_SEED", "1"))
AT_A_TIME: Final = 12
MISTAKES: Final = int(os.environ.get("MEDIAFLEET_MISTAKES", "2"))
"""So many of the twelve: most show only in that a story does not end."""
LONG_FOR_A_CLEAN_RUN_SECONDS: Final = 45.0

pytestmark = pytest.mark.timeout(7200 if PLANS != 40 else 900)


@pytest.fixture
async def api(node: Node, tmp_path: Path) -> AsyncIterator[Api]:
    # Each operator has a thread that waits for its watch to end.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(8 * AT_A_TIME))
    node.kubectl("apply", "-f", str(ROOT / "crds"), "--server-side", "--force-conflicts")
    with crowded(node, tmp_path):
        async with Api(node.kubeconfig) as api:
            yield api


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Loads:
    loads = Loads()
    monkeypatch.setattr(serve, "poll_pod", loads.poll)
    return loads


Lived = tuple[Course, bool]


async def lived(
    api: Api,
    loads: Loads,
    folder: Path,
    name: str,
    plan: Plan | None,
    converge_seconds: float = CONVERGE_SECONDS,
) -> Lived:
    """A workload from its start to its end: what it took, and whether the fault came."""
    workload = WORKLOADS[name]
    world = World(api, f"faults-{secrets.token_hex(3)}", workload.kind, plan, folder)
    world.converge_seconds = converge_seconds
    loads.worlds.append(world)
    try:
        async with world.running():
            await workload.story(world)
            unrest, course = await world.unrest(), world.course
            assert world.crashed() == []
            assert world.wrongs == []
            assert unrest == [], "writes though all is done"
            return course, world.traffic.struck
    finally:
        loads.worlds.remove(world)


async def test_whatever_goes_wrong_once_no_busy_pod_goes_and_all_is_done_in_the_end(
    api: Api, loads: Loads, tmp_path: Path
) -> None:
    turns = asyncio.Semaphore(AT_A_TIME)

    async def one(name: str, plan: Plan | None) -> Lived | Exception:
        async with turns:
            try:
                return await lived(api, loads, tmp_path, name, plan)
            except Exception as error:  # noqa: BLE001 - each plan's own verdict, told together
                return error

    clean = await asyncio.gather(*(one(name, None) for name in WORKLOADS))
    assert failures(WORKLOADS, clean) == {}
    courses = {name: said[0] for name, said in zip(WORKLOADS, clean, strict=True) if well(said)}
    plans = list(every(courses)) if PLANS == 0 else some(courses, PLANS, SEED)
    ended = await asyncio.gather(*(one(each.workload, each) for each in plans))
    assert failures(plans, ended) == {}
    struck = [said[1] for said in ended if well(said)]
    print(f"{len(plans)} plans over {courses}; {sum(struck)} faults came")
    # Writes are fewer now and then: what the last one was in one run may not be in another.
    assert sum(struck) >= 0.9 * len(plans)


@pytest.mark.parametrize("mutant", MUTANTS[:MISTAKES], ids=str)
async def test_a_mistake_in_the_engine_does_not_pass(
    api: Api, loads: Loads, tmp_path: Path, mutant: Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant.make(monkeypatch)
    lives = (
        lived(api, loads, tmp_path, mutant.workload, plan, LONG_FOR_A_CLEAN_RUN_SECONDS)
        for plan in mutant.plans
    )
    ended = await asyncio.gather(*lives, return_exceptions=True)
    found = [said for said in ended if isinstance(said, BaseException)]
    print(f"{mutant}: {found[:1]}")
    assert found


def well(said: Lived | Exception) -> TypeGuard[Lived]:
    """Whether all held."""
    return not isinstance(said, Exception)
