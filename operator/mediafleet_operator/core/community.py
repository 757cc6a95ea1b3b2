"""The status of a CommunityMetrics: what its reporter last said. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mediafleet_common.api.community_metrics import (
    CommunityMetricsSpec,
    CommunityMetricsStatus,
    Deletion,
    Delivery,
)
from mediafleet_common.api.names import Condition, Reason
from mediafleet_common.api.shared import ConditionStatus
from mediafleet_common.reports.community import CommunityReport
from mediafleet_common.reports.finding import MAX_MESSAGE_CHARACTERS, Finding, transition_time
from mediafleet_operator.core.fleet.model import Unmade

UNSEEN: Final = (
    "nobody tells the reporter who asks and streams: name a Redis in originsRedis, and the same in "
    "spec.origins of the pool"
)
"""Of each group by origin that is asked for."""
UNTOLD: Final = "nobody tells the reporter of it: name a Redis in originsRedis"
"""Of each further group that is asked for."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What is known of a resource at this moment."""

    spec: CommunityMetricsSpec
    generation: int
    now: float
    """Unix seconds."""
    report: CommunityReport | None = None
    """What the reporter says; `None`: it does not answer."""
    why: str = ""
    """Why it does not."""
    unmade: Unmade | None = None
    """Why something of the reporter could not be made."""
    sender_missing: bool = False
    """Somebody is to be sent what is shared, and there is no program to send it."""


def status(seen: Observed, before: CommunityMetricsStatus | None) -> CommunityMetricsStatus:
    """What is written; facts stay while the reporter does not answer, conditions say so."""
    known = before or CommunityMetricsStatus()
    refused = [*_refused(seen), *_untold(seen)]
    facts: Mapping[str, Any] = {} if seen.report is None else _facts(seen.report)
    return known.model_copy(
        update={
            "observed_generation": seen.generation,
            "refused": refused,
            **facts,
            "conditions": _conditions(seen, known, refused),
        }
    )


def _refused(seen: Observed) -> list[str]:
    """What is asked for and not shared, and why."""
    spec, report = seen.spec, seen.report
    why = UNSEEN
    if spec.origins_redis is not None:
        why = "" if report is None or report.origins_unknown is None else report.origins_unknown
    if spec.leave is not None or not why:
        return []
    asked = {
        "gatewaysByOrigin": spec.share.gateways_by_origin,
        "streamsByOrigin": spec.share.streams_by_origin,
    }
    return [f"{name}: {why}" for name, wanted in asked.items() if wanted]


def _untold(seen: Observed) -> list[str]:
    """Further groups that are asked for and not shared, and why."""
    spec, report = seen.spec, seen.report
    if spec.leave is not None:
        return []
    if spec.origins_redis is None:
        return [f"{name}: {UNTOLD}" for name in spec.share.further]
    return [f"{name}: nobody tells of it" for name in (report.work_untold if report else ())]


def _facts(report: CommunityReport) -> dict[str, Any]:
    deliveries = report.deliveries
    return {
        "shares": list(report.shares),
        "last_hour": report.hours.newest,
        "hours": report.hours.published,
        "left": report.left,
        "accepted": None if deliveries is None else sum(each.accepted for each in deliveries),
        "rejected": None if deliveries is None else sum(each.refused for each in deliveries),
        "deliveries": [Delivery.model_validate(each.model_dump()) for each in deliveries or ()],
        "deletions": [Deletion.model_validate(each.model_dump()) for each in report.deletions],
    }


def _conditions(
    seen: Observed, known: CommunityMetricsStatus, refused: list[str]
) -> list[ConditionStatus]:
    finding = _ready(seen, refused)
    before = next((each for each in known.conditions if each.type == Condition.READY.value), None)
    written = None if before is None else (before.status, before.last_transition_time)
    return [
        ConditionStatus(
            type=Condition.READY.value,
            status=finding.status,
            observed_generation=seen.generation,
            last_transition_time=transition_time(finding, written, seen.now),
            reason=finding.reason.value,
            message=finding.message[:MAX_MESSAGE_CHARACTERS],
        )
    ]


def _ready(seen: Observed, refused: list[str]) -> Finding:
    if seen.unmade is not None:
        return Finding("False", seen.unmade.reason, seen.unmade.why)
    report = seen.report
    if report is None:
        return Finding("False", Reason.REPORTER_AWAY, f"The reporter does not answer: {seen.why}.")
    if report.left:
        return _left(report)
    if seen.sender_missing:
        why = f"Nobody sends: the chart names no image in community.{seen.spec.sender.value}.image."
        return Finding("False", Reason.SENDER_MISSING, why)
    if report.not_written is not None:
        why = f"The newest hour is not on disk: {report.not_written}."
        return Finding("True", Reason.PARTLY_SHARED, why)
    if refused:
        return Finding("True", Reason.PARTLY_SHARED, f"Not shared: {'; '.join(refused)}.")
    return Finding("True", Reason.SHARED, f"Shared: {', '.join(report.shares) or 'nothing'}.")


def _left(report: CommunityReport) -> Finding:
    asked = len(report.deletions)
    confirmed = sum(each.confirmed for each in report.deletions)
    asked_for = f"; {confirmed} of {asked} collectors have deleted" if asked else ""
    return Finding("True", Reason.LEFT, f"Nothing is counted or published any more{asked_for}.")
