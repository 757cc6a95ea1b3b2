"""What the desk's page shows: `/ui/` on its HTTP port."""

from __future__ import annotations

from collections.abc import Iterator

from mediafleet_common.reports.pages.fleets import FleetShown, FleetsPage
from mediafleet_scheduler.core.egress.pages.fleets import fleet_shown, fleet_unknown, newest
from mediafleet_scheduler.egress.process.branch_state import Branch
from mediafleet_scheduler.egress.process.branches import Branches


def page_text(branches: Branches) -> bytes:
    """All fleets as JSON of common.reports.pages.fleets.FleetsPage."""
    return fleets_page(branches).model_dump_json(by_alias=False).encode()


def fleets_page(branches: Branches) -> FleetsPage:
    """All fleets, and the newest placements."""
    fleets = [fleet for branch in branches.all for fleet in _of_branch(branch)]
    fleets.sort(key=lambda fleet: (fleet.namespace, fleet.name))
    jobs = [job for service in branches.services for job in service.ledger.jobs.values()]
    return FleetsPage(fleets=fleets, placements=newest(jobs))


def _of_branch(branch: Branch) -> Iterator[FleetShown]:
    view, service, complaint = branch.fleets.view, branch.service, branch.complaint
    if service is not None and complaint is None:
        complaint = service.complaint
    for fleet in view.fleets if view is not None else ():
        if service is None or complaint is not None:
            yield fleet_unknown(fleet, f"its Redis is not served: {complaint}")
            continue
        uids = [worker.uid for worker in fleet.workers]
        left_out = service.pods.quarantine.left_out(uids, ())
        unconfirmed = service.confirmer.unconfirmed(fleet)
        yield fleet_shown(fleet, service.ledger, service.clock.unix(), left_out, unconfirmed)
