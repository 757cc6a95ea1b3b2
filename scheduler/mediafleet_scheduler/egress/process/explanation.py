"""What the desk tells people: `GET /explain`, why the next job would go where, or where a job is;
`GET /costs`, what jobs really use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import TypeVar

from aiohttp import web

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.placement import Mode
from mediafleet_common.reports.costs import FleetCosts, LearnedReport
from mediafleet_common.reports.explanation import Explanation, FleetExplained
from mediafleet_common.reports.job import JobExplained, JobsExplained
from mediafleet_common.serving.access import EVERYTHING, narrowed, scope_of
from mediafleet_scheduler.core.egress.placement.explanation import (
    explain,
    nothing_taken,
    unreadable,
)
from mediafleet_scheduler.core.egress.views import Fleet
from mediafleet_scheduler.egress.ledger.script_calls import StoreError
from mediafleet_scheduler.egress.ledger.whereabouts import explained
from mediafleet_scheduler.egress.process.branch import EgressService
from mediafleet_scheduler.egress.process.branch_state import Branch
from mediafleet_scheduler.egress.process.branches import Branches

WordT = TypeVar("WordT", bound=StrEnum)


def explain_route(branches: Branches) -> web.RouteDef:
    """`GET /explain?type=TYPE`, with `mode` once or more for some of the modes; or `?job=ID`."""

    @narrowed
    async def answer(request: web.Request) -> web.Response:
        if "job" in request.query:
            sees = scope_of(request).sees
            known = await whereabouts(branches.services, request.query["job"], sees)
            body = known.model_dump_json(by_alias=False, indent=1)
            return web.Response(text=body, content_type="application/json")
        kind = _one_of(RequestType, "type", request.query.getall("type", [""])[0])
        wanted = request.query.getall("mode", [])
        modes = [_one_of(Mode, "mode", each) for each in wanted] or list(Mode)
        answer = explanation(
            branches.all, kind, modes, branches.clock.unix(), scope_of(request).sees
        )
        body = answer.model_dump_json(by_alias=False, indent=1)
        return web.Response(text=body, content_type="application/json")

    return web.get("/explain", answer)


def costs_route(branches: Branches) -> web.RouteDef:
    """`GET /costs`: what jobs really use, beside what is configured."""

    @narrowed
    async def answer(request: web.Request) -> web.Response:
        sees = scope_of(request).sees
        costs: list[FleetCosts] = []
        for service in branches.services:
            reported = service.pods.costs.reported(service.pods.fleets)
            costs += (each for each in reported if sees(each.namespace))
        costs.sort(key=lambda each: (each.namespace, each.name))
        body = LearnedReport(fleets=costs).model_dump_json(by_alias=False, indent=1)
        return web.Response(text=body, content_type="application/json")

    return web.get("/costs", answer)


async def whereabouts(
    services: Iterable[EgressService],
    egress_id: str,
    sees: Callable[[str], bool] = EVERYTHING.sees,
) -> JobsExplained:
    """What each ledger knows of a job, where `sees` says so of its fleet's namespace."""
    jobs: list[JobExplained] = []
    unread: list[str] = []
    kept = 0
    for service in services:
        kept = max(kept, service.keep_ended_seconds)
        try:
            found = explained(egress_id, await service.find(egress_id), service.ledger.waiting)
        except StoreError:
            # Its words may name a Redis of others.
            unread.append("its Redis does not answer; the desk's log says more")
        else:
            if found is not None and sees(found.fleet.partition("/")[0]):
                jobs.append(found)
    return JobsExplained(jobs=jobs, kept_seconds=kept, unread=unread)


def explanation(
    branches: Iterable[Branch],
    kind: RequestType,
    modes: Sequence[Mode],
    now: float,
    sees: Callable[[str], bool] = EVERYTHING.sees,
) -> Explanation:
    """What would become of the next job of a type on each Redis, where `sees` says so."""
    fleets = [fleet for branch in branches for fleet in _of_branch(branch, kind, modes, now, sees)]
    return Explanation(type=kind, at=now, fleets=fleets)


def _of_branch(
    branch: Branch,
    kind: RequestType,
    modes: Sequence[Mode],
    now: float,
    sees: Callable[[str], bool],
) -> Iterator[FleetExplained]:
    view = branch.fleets.view
    service, complaint = branch.service, branch.complaint
    if service is not None and complaint is None:
        complaint = service.complaint
    fleets = [each for each in view.fleets if sees(each.namespace)] if view is not None else []
    for fleet in sorted(fleets, key=lambda fleet: fleet.rank):
        if service is None or complaint is not None:
            yield unreadable(fleet, f"its Redis is not served: {complaint}")
        else:
            yield nothing_taken(fleet, kind) or _of_fleet(service, fleet, kind, modes, now)


def _of_fleet(
    service: EgressService, fleet: Fleet, kind: RequestType, modes: Sequence[Mode], now: float
) -> FleetExplained:
    seen = {
        mode: service.pods.seen(_in_mode(fleet, mode), now, kind.needs_chrome) for mode in modes
    }
    learnt = service.pods.costs.estimate(fleet, kind)
    return explain(fleet, kind, seen, service.ledger.waiting.values(), now, learnt)


def _in_mode(fleet: Fleet, mode: Mode) -> Fleet:
    placement = fleet.placement.model_copy(update={"mode": mode})
    return replace(fleet, placement=placement)


def _one_of(words: type[WordT], name: str, text: str) -> WordT:
    try:
        return words(text)
    except ValueError:
        known = ", ".join(words)
        raise web.HTTPBadRequest(text=f"{name}: one of {known}\n") from None
