"""Our worker through a proxy that does one thing wrong: each task has one answer, no room is lost.

A clean run says how many registrations, jobs and results there are; plans meet each with each
fault. CI runs one of each fault by a fixed seed, `make faults` all.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest
from tests.kit.faults.plans import dealt
from tests.kit.faults.streams import world
from tests.kit.faults.streams.plans import KILLS, StreamCourse, StreamFault, StreamPlan, every
from tests.kit.faults.verdicts import failures, folders, good, lived_all
from tests.kit.figures import Show

PLANS: Final = int(os.environ.get("MEDIAFLEET_STREAM_PLANS", str(len(StreamFault) - len(KILLS))))
"""0: all."""
SEED: Final = int(os.environ.get("MEDIAFLEET_SEED") or 1)
AT_A_TIME: Final = 4
pytestmark = pytest.mark.timeout(900)


async def test_whatever_goes_wrong_once_with_a_worker_each_task_is_answered_and_no_room_is_lost(
    tmp_path: Path, show: Show
) -> None:
    new = folders(tmp_path)
    course, _ = await world.lived(None, next(new))

    async def planned(plan: StreamPlan) -> tuple[StreamCourse, bool]:
        return await world.lived(plan, next(new))

    plans = list(every(course))
    if PLANS:
        plans = dealt(plans, lambda plan: plan.fault, PLANS, SEED)
    ended = await lived_all(plans, planned, AT_A_TIME)
    assert failures(plans, ended) == {}
    struck = [came for _, came in good(ended)]
    show(f"{len(plans)} plans over {course}; {sum(struck)} faults came")
    assert sum(struck) >= 0.9 * len(plans)
