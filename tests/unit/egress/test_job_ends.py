"""Which words of pods end a job: only those of the attempt that the ledger has."""

from __future__ import annotations

import asyncio

import pytest
from livekit.protocol import egress as livekit

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.clock import SYSTEM
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.attempt import Report
from mediafleet_scheduler.egress.peers.answers import word_of
from mediafleet_scheduler.egress.peers.io_info import IoInfo
from mediafleet_scheduler.egress.peers.job_info import CREATES, UPDATES, JobInfos
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.envelope import Request, encode
from mediafleet_testbed.buses import MemoryBus

JOB = Job("EG_x", "/rec", "pod-1", "uid", "pod-1", RequestType.TRACK, 0.5, "second", 0.0, 1.0)
ENDS = ("EGRESS_COMPLETE", "EGRESS_LIMIT_REACHED")
ABORTS = ("EGRESS_FAILED", "EGRESS_ABORTED")


def info(status: str) -> bytes:
    made: bytes = livekit.EgressInfo(egress_id="EG_x", status=status).SerializeToString()
    return made


class Listener:
    """Job info of a desk, and the pods that it listens to."""

    def __init__(self) -> None:
        self.bus = MemoryBus()
        io = IoInfo(Client(self.bus, "IOInfo"), 5.0)
        self.infos = JobInfos(io, 0.01, 2.5, lambda channel, error: pytest.fail(str(error)), SYSTEM)
        self._requests = 0

    async def create(self, client_id: str, *, twice: bool = False) -> None:
        self._requests += 1
        request = Request(f"REQ_{self._requests}", client_id, 0, 1, info("EGRESS_STARTING"))
        for _ in range(2 if twice else 1):
            self.bus.publish(CREATES, encode(request))
        await asyncio.sleep(0)

    async def update(self, client_id: str, status: str) -> None:
        self.bus.publish(UPDATES, encode(Request("REQ_u", client_id, 0, 1, info(status))))
        await asyncio.sleep(0)

    def ends(self, client_id: str, status: str, job: Job | None = JOB) -> bool:
        return self.infos.ends(word_of(info(status)), client_id, job)


@pytest.fixture
async def heard() -> Listener:
    listener = Listener()
    await listener.infos.listen(listener.bus, listener.bus, lambda request, word: None)
    return listener


@pytest.mark.parametrize("status", ABORTS)
async def test_a_late_failure_of_the_first_attempt_frees_nothing_of_the_second(
    heard: Listener, status: str
) -> None:
    await heard.create("first")
    await heard.create("second")
    assert not heard.ends("first", status)
    assert heard.ends("second", status)


@pytest.mark.parametrize("status", ABORTS)
async def test_a_failure_before_the_start_counts_is_left_to_the_attempt(
    heard: Listener, status: str
) -> None:
    await heard.create("first")
    assert not heard.ends("first", status, JOB._replace(started_at=None))
    assert not heard.ends("first", status, None)


async def test_after_two_attempts_on_one_pod_a_failure_may_be_of_either(heard: Listener) -> None:
    await heard.create("first", twice=True)
    assert heard.ends("first", "EGRESS_FAILED"), "one request that was heard twice is one attempt"
    await heard.create("first")
    assert not heard.ends("first", "EGRESS_FAILED")
    assert heard.ends("first", "EGRESS_COMPLETE")


async def test_who_speaks_for_a_job_is_known_from_the_ledger_where_nothing_was_heard(
    heard: Listener,
) -> None:
    assert not heard.ends("first", "EGRESS_FAILED")
    assert heard.ends("first", "EGRESS_FAILED", JOB._replace(io_client="first"))
    assert not heard.ends("first", "EGRESS_FAILED", JOB._replace(io_client="second"))


@pytest.mark.parametrize("status", ENDS)
async def test_an_end_after_a_start_counts(heard: Listener, status: str) -> None:
    await heard.create("first")
    assert heard.ends("first", status)
    assert heard.ends("first", status, JOB._replace(started_at=None))
    assert not heard.ends("second", status)


@pytest.mark.parametrize(
    ("updates", "report"),
    [
        ([], Report.CREATED),
        (["EGRESS_FAILED"], Report.CREATED),
        (["EGRESS_ACTIVE"], Report.STARTED),
        (["EGRESS_COMPLETE", "EGRESS_ACTIVE"], Report.ENDED),
        (["EGRESS_ACTIVE", "EGRESS_FAILED"], Report.ENDED),
    ],
)
async def test_what_was_heard_tells_how_far_a_job_is(
    heard: Listener, updates: list[str], report: Report
) -> None:
    await heard.create("first")
    for status in updates:
        await heard.update("first", status)
    assert (await heard.infos.report("EG_x"))[:2] == (report, False)
