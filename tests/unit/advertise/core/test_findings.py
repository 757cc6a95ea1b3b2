"""What an advertiser tells of sources, of a head and of addresses that do not answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from mediafleet_common.api.names import Condition, Reason
from mediafleet_common.api.pool.advertise import Advertise
from mediafleet_common.kube.errors import KubeError
from mediafleet_common.reports.finding import Finding, transition_time
from mediafleet_scheduler.advertise.conditions import keep_writing
from mediafleet_scheduler.advertise.metrics import AdvertiseMetrics
from mediafleet_scheduler.core.advertise.findings import (
    UNUSED,
    HeadState,
    SourceState,
    findings,
)
from mediafleet_scheduler.core.advertise.listing import LeftOut, Remark

EU = {"name": "eu", "list_url": "http://eu/list"}
HEAD = {"address": "head:8935"}
FINE = HeadState()


def one(advertise: dict[str, Any], sources: dict[str, SourceState], head: HeadState) -> Finding:
    (finding,) = findings(Advertise.model_validate(advertise), sources, head, ()).values()
    return finding


def test_what_is_not_in_use_is_not_spoken_of() -> None:
    assert findings(Advertise(), {}, FINE, ["a"]) == {}
    fixed = Advertise.model_validate({"sources": [{"name": "eu", "urls": ["https://a:1"]}]})
    assert findings(fixed, {}, FINE, ()) == {}


@pytest.mark.parametrize(
    ("state", "status", "reason", "words"),
    [
        (SourceState(), "True", Reason.SOURCES_READ, "Every list can be read."),
        (SourceState("HTTP 503"), "False", Reason.SOURCE_AWAY, "stays for now"),
        (SourceState("HTTP 503", True), "False", Reason.SOURCE_DROPPED, "off the list"),
    ],
)
def test_a_source(state: SourceState, status: str, reason: Reason, words: str) -> None:
    finding = one({"sources": [EU]}, {"eu": state}, FINE)
    assert finding.status == status
    assert finding.reason is reason
    assert words in finding.message


def test_many_sources_that_are_away_are_named_up_to_five() -> None:
    names = [f"s{number}" for number in range(8)]
    sources = [{"name": name, "list_url": f"http://{name}/l"} for name in names]
    finding = one({"sources": sources}, {name: SourceState("no") for name in names}, FINE)
    assert "s4 cannot" in finding.message
    assert "s5 cannot" not in finding.message
    assert finding.message.endswith("And 3 more.")


@pytest.mark.parametrize(
    ("state", "fallback", "reason", "words"),
    [
        (FINE, "unavailable", Reason.HEAD_ANSWERS, "answers"),
        (HeadState("no connection"), "unavailable", Reason.HEAD_AWAY, "get UNAVAILABLE"),
        (HeadState("no connection"), "advertise", Reason.HEAD_AWAY, "get the list alone"),
        (HeadState(None, "it is us"), "advertise", Reason.HEAD_IS_ADVERTISER, "it is us"),
    ],
)
def test_a_head(state: HeadState, fallback: str, reason: Reason, words: str) -> None:
    finding = one({"head": HEAD, "head_fallback": fallback}, {}, state)
    assert finding.reason is reason
    assert finding.status == ("True" if reason is Reason.HEAD_ANSWERS else "False")
    assert finding.message.rstrip(".").endswith(words)


@pytest.mark.parametrize(("listed", "said"), [(True, "they are listed"), (False, "not listed")])
def test_five_addresses_that_do_not_answer_are_all_named(listed: bool, said: str) -> None:
    pod = Advertise.model_validate({"probe": "pod", "list_unverified": listed})
    (bad,) = findings(pod, {}, FINE, ["n1", "n2", "n0", "n4", "n3"]).values()
    assert "The pods of n0, n1, n2, n3, n4 answer" in bad.message
    assert f"{said}, as advertise.listUnverified says" in bad.message


def test_addresses_that_do_not_answer_are_named_and_what_that_means() -> None:
    pod = Advertise.model_validate({"probe": "pod", "list_unverified": False})
    (bad,) = findings(pod, {}, FINE, [f"n{number}" for number in range(7)]).values()
    assert (bad.status, bad.reason) == ("False", Reason.ADDRESS_UNVERIFIED)
    assert "n0, n1, n2, n3, n4 and 2 more" in bad.message
    assert "not listed" in bad.message
    (good,) = findings(pod, {}, FINE, ()).values()
    assert good.status == "True"


@dataclass
class Resource:
    """Takes conditions, or is away."""

    written: list[list[dict[str, Any]]] = field(default_factory=list)
    away: bool = False
    found: list[dict[str, Any]] = field(default_factory=list)

    async def read(self) -> list[dict[str, Any]]:
        if self.away:
            raise KubeError("the API server is away")
        return self.found

    async def write(self, conditions: list[dict[str, Any]]) -> None:
        if self.away:
            raise KubeError("the API server is away")
        self.written.append(conditions)

    @property
    def last(self) -> dict[str, tuple[str, str]]:
        return {each["type"]: (each["status"], each["reason"]) for each in self.written[-1]}


@dataclass
class Told:
    """Conditions as they are set."""

    findings: dict[Condition, Finding] = field(default_factory=dict)

    def now(self) -> dict[Condition, Finding]:
        return self.findings


@pytest.mark.looptime
async def test_conditions_are_written_when_they_change_and_again_when_that_failed() -> None:
    told, resource = Told(), Resource()
    metrics = AdvertiseMetrics(CollectorRegistry())
    task = asyncio.create_task(keep_writing(told, resource, metrics))
    await asyncio.sleep(10)
    assert resource.written == []
    head = Finding("True", Reason.HEAD_ANSWERS, "yes")
    told.findings = {Condition.HEAD_READY: head}
    await asyncio.sleep(10)
    assert len(resource.written) == 1
    resource.away = True
    told.findings = {Condition.HEAD_READY: Finding("False", Reason.HEAD_AWAY, "no")}
    await asyncio.sleep(10)
    resource.away = False
    await asyncio.sleep(20)
    assert resource.last == {"HeadReady": ("False", "HeadAway")}
    told.findings = {}
    await asyncio.sleep(3)
    assert resource.last == {"HeadReady": ("True", "NotUsed")}
    assert UNUSED.status == "True"
    await asyncio.sleep(60)
    assert len(resource.written) == 3
    task.cancel()


@pytest.mark.looptime
async def test_what_was_said_before_us_is_taken_over_or_taken_back() -> None:
    old = {"lastTransitionTime": "2026-01-01T00:00:00Z", "message": "no", "reason": "HeadAway"}
    head = {**old, "type": "HeadReady", "status": "False"}
    gone = {**old, "type": "SourcesReady", "status": "False"}
    others = {**old, "type": "Ready", "status": "False"}
    told, resource = Told(), Resource(found=[head, gone, others], away=True)
    told.findings = {Condition.HEAD_READY: Finding("False", Reason.HEAD_AWAY, "no")}
    metrics = AdvertiseMetrics(CollectorRegistry())
    task = asyncio.create_task(keep_writing(told, resource, metrics))
    await asyncio.sleep(1)
    resource.away = False
    await asyncio.sleep(20)
    assert resource.last == {
        "HeadReady": ("False", "HeadAway"),
        "SourcesReady": ("True", "NotUsed"),
    }
    times = {each["type"]: each["lastTransitionTime"] for each in resource.written[-1]}
    assert times["HeadReady"] == old["lastTransitionTime"] != times["SourcesReady"]
    assert len(resource.written) == 1
    task.cancel()


def test_a_transition_time_moves_only_when_the_status_does() -> None:
    old = "2026-01-01T00:00:00Z"
    said = Finding("False", Reason.HEAD_AWAY, "no")
    assert transition_time(said, ("False", old), 1_767_323_045.0) == old
    for before in (("True", old), None):
        assert transition_time(said, before, 1_767_323_045.0) == "2026-01-02T03:04:05Z"


def nodes_listed(*found: Remark) -> Finding:
    (finding,) = findings(Advertise(), {}, FINE, (), found).values()
    return finding


def test_a_pool_of_which_every_node_is_listed_says_so_with_what_is_odd() -> None:
    assert nodes_listed() == Finding("True", Reason.ALL_LISTED, "Every Ready node is listed.")
    odd = nodes_listed(Remark("a", None, "its clock is off"))
    assert (odd.status, odd.message) == ("True", "Every Ready node is listed. a: its clock is off.")


def test_nodes_that_are_left_out_are_named_first_and_with_the_reason() -> None:
    finding = nodes_listed(
        Remark("a", None, "odd"),
        Remark("b", LeftOut.BAD_URL, "no port"),
        Remark("c", LeftOut.ADVERTISES_ONLY),
    )
    assert (finding.status, finding.reason) == ("False", Reason.NODES_LEFT_OUT)
    assert finding.message == "Not listed: b: bad url, no port. c: advertises only. a: odd."


@pytest.mark.parametrize(("count", "more"), [(10, False), (11, True)])
def test_ten_nodes_are_named_and_the_rest_counted(count: int, more: bool) -> None:
    finding = nodes_listed(*(Remark(f"n{i}", LeftOut.DEAD) for i in range(count)))
    assert finding.message.count("dead") == 10
    assert finding.message.endswith("And 1 more.") is more


def test_a_message_fits_into_a_condition() -> None:
    for reason in (None, LeftOut.DEAD):
        assert len(nodes_listed(Remark("a", reason, "x" * 40_000)).message) == 1000
