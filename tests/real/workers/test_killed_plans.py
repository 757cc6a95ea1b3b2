"""A broker that is killed at each job that it sends and before each result: another one answers.

CI runs one of each by a fixed seed, `make faults` all.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest
from tests.kit.faults.plans import dealt
from tests.kit.faults.streams import killed
from tests.kit.faults.streams.plans import StreamCourse, StreamPlan, every
from tests.kit.faults.verdicts import failures, folders, good, lived_all
from tests.kit.figures import Show

PLANS: Final = int(os.environ.get("MEDIAFLEET_KILLED_PLANS", "2"))
"""0: all."""
SEED: Final = int(os.environ.get("MEDIAFLEET_SEED") or 1)
AT_A_TIME: Final = 2
pytestmark = pytest.mark.timeout(900)


async def test_whenever_a_broker_is_killed_each_of_its_tasks_is_answered_once_by_another(
    tmp_path: Path, show: Show
) -> None:
    new = folders(tmp_path)
    course, _ = await killed.lived(None, next(new))

    async def planned(plan: StreamPlan) -> tuple[StreamCourse, bool]:
        return await killed.lived(plan, next(new))

    plans = list(every(course, kills=True))
    if PLANS:
        plans = dealt(plans, lambda plan: plan.fault, PLANS, SEED)
    ended = await lived_all(plans, planned, AT_A_TIME)
    assert failures(plans, ended) == {}
    struck = [came for _, came in good(ended)]
    show(f"{len(plans)} plans over {course}; {sum(struck)} faults came")
    assert struck
    assert all(struck)
