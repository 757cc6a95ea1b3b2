"""When a job that no pod lists is given up, and when not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.accounting.lost_jobs import (
    Evidence,
    Patience,
    Verdict,
    judge,
)

NOW = 1_000_000.0
STARTS_WITHIN = 13.0
PENDING = Job("EG_1", "/rec", "pod-0", "uid", "pod-0", RequestType.TRACK, 0.5, "t", NOW - 60)
RUNS = PENDING._replace(started_at=NOW - 60, server_id="SRV_1")
YOUNG = RUNS._replace(started_at=NOW - 5)
SILENCE = Evidence(NOW, None, (), False, True, True, None, None)

CASES = {
    "it runs": (RUNS, replace(SILENCE, runs_on="SRV_1"), Verdict.LEAVE),
    "it was only claimed, and runs": (
        PENDING,
        replace(SILENCE, runs_on="SRV_1"),
        Verdict.CONFIRM,
    ),
    "it was claimed just now, and runs": (
        PENDING._replace(claimed_at=NOW - 12.9),
        replace(SILENCE, runs_on="SRV_1"),
        Verdict.LEAVE,
    ),
    "it was claimed as long ago as a start takes, and runs": (
        PENDING._replace(claimed_at=NOW - 13),
        replace(SILENCE, runs_on="SRV_1"),
        Verdict.CONFIRM,
    ),
    "it was only claimed, a while ago": (PENDING, SILENCE, Verdict.LEAVE),
    "it was only claimed, long ago": (
        PENDING._replace(claimed_at=NOW - 121),
        SILENCE,
        Verdict.UNCONFIRMED,
    ),
    "its own server answered without it": (
        RUNS,
        replace(SILENCE, servers=("SRV_1",)),
        Verdict.MISSED,
    ),
    "so it did, but the job is young": (
        YOUNG,
        replace(SILENCE, servers=("SRV_1",)),
        Verdict.LEAVE,
    ),
    "its pod keeps silent": (RUNS, replace(SILENCE, servers=("SRV_2",)), Verdict.LEAVE),
    "its pod is gone": (RUNS, replace(SILENCE, pod_is_there=False), Verdict.SUSPECT),
    "its pod has been gone for a while": (
        RUNS,
        replace(SILENCE, pod_is_there=False, pod_serves=False, suspected_since=NOW - 8),
        Verdict.LOST,
    ),
    "its pod is gone since a moment": (
        RUNS,
        replace(SILENCE, pod_is_there=False, pod_serves=False, suspected_since=NOW - 7),
        Verdict.SUSPECT,
    ),
    "its pod has started anew": (
        RUNS,
        replace(SILENCE, server_of_pod="SRV_9", suspected_since=NOW - 8),
        Verdict.LOST,
    ),
    "its pod has another process than the one it started in": (
        RUNS,
        replace(SILENCE, process_is_new=True, suspected_since=NOW - 8),
        Verdict.LOST,
    ),
    "its worker is dead, and stays in the file": (
        RUNS,
        replace(SILENCE, unreachable=True, suspected_since=NOW - 30),
        Verdict.LOST,
    ),
    "its worker may only be away for a moment": (
        RUNS,
        replace(SILENCE, unreachable=True, suspected_since=NOW - 29),
        Verdict.SUSPECT,
    ),
    "its pod is the same": (
        RUNS,
        replace(SILENCE, server_of_pod="SRV_1", suspected_since=NOW - 30),
        Verdict.LEAVE,
    ),
    "all answered without it for a moment": (
        RUNS,
        replace(SILENCE, servers=("SRV_9",), all_answered=True, suspected_since=NOW - 29),
        Verdict.SUSPECT,
    ),
    "all answered without it, and its pod is not Ready": (
        RUNS,
        replace(
            SILENCE,
            servers=("SRV_9",),
            all_answered=True,
            pod_serves=False,
            suspected_since=NOW - 8,
        ),
        Verdict.LOST,
    ),
    "its pod is not Ready, and silent among others": (
        RUNS,
        replace(SILENCE, servers=("SRV_9",), pod_serves=False, suspected_since=NOW - 60),
        Verdict.LEAVE,
    ),
    "all answered and none has it": (
        RUNS,
        replace(SILENCE, servers=("SRV_9",), all_answered=True, suspected_since=NOW - 30),
        Verdict.LOST,
    ),
}


@pytest.mark.parametrize(("job", "evidence", "wanted"), CASES.values(), ids=CASES.keys())
def test_the_verdict(job: Job, evidence: Evidence, wanted: Verdict) -> None:
    assert judge(job, evidence, Patience(), STARTS_WITHIN) is wanted


def test_only_three_verdicts_end_a_job() -> None:
    ends = {verdict for verdict in Verdict if verdict.ends}
    assert ends == {Verdict.UNCONFIRMED, Verdict.MISSED, Verdict.LOST}
