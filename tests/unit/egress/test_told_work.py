"""What a desk tells a reporter of community metrics: jobs that run, by names of rooms alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_scheduler.core.community.work.kinds import Family, Kind, Work
from mediafleet_scheduler.egress.process.serve import _work

if TYPE_CHECKING:
    from mediafleet_scheduler.egress.process.branches import Branches


def desk(*rooms: tuple[str, float | None]) -> SimpleNamespace:
    """A Redis with a job of type web in each room, and when it started."""
    jobs = {
        str(number): SimpleNamespace(room=room, kind=RequestType.WEB, lines=720, started_at=started)
        for number, (room, started) in enumerate(rooms)
    }
    return SimpleNamespace(ledger=SimpleNamespace(jobs=jobs))


async def test_jobs_of_all_its_redises_are_told_once_they_have_started() -> None:
    services = [desk(("demo", 1.0), ("demo", None)), desk(("", 2.0), ("demo", 3.0))]
    branches = cast("Branches", SimpleNamespace(services=services))
    cells = {Kind.EGRESS_BY_TYPE: "web", Kind.EGRESS_BY_RESOLUTION: "720p"}
    assert await _work(branches, str.upper) == [
        Work("ROOM DEMO", Family.EGRESS, 2, cells),
        Work("UNKNOWN", Family.EGRESS, 1, cells),
    ]
