"""Marks of pods are written beside the rounds: no drain and no new pod waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import pytest
from tests.kit.operator.cluster import Cluster
from tests.kit.operator.fleet_builders import pod

from mediafleet_common.api.names import DrainReason, Kind, PodState
from mediafleet_common.kube.errors import ConflictError
from mediafleet_common.kube.pace import Rank
from mediafleet_operator.core.fleet.actions import Action, Drain, Mark, Undrain
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.kube import digest
from mediafleet_operator.kube.apply import Outcome, rank
from mediafleet_operator.manifests.resource import Resource
from mediafleet_operator.rounds.mark_writer import AT_A_TIME, MarkWriter
from mediafleet_operator.rounds.round import ACTIONS_A_PASS

KEY: Final = FleetKey(Kind.EGRESS_FLEET, "media", "rec")


def fleet() -> Resource:
    meta = {"name": "rec", "namespace": "media", "uid": "u", "resourceVersion": "1"}
    spec = {"redis": {"address": "redis:6379"}}
    return digest.resource({"metadata": meta, "spec": spec}, Kind.EGRESS_FLEET)


def mark(slot: int) -> Mark:
    return Mark(pod(slot, state=PodState.PENDING, ready=True), PodState.READY)


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (Mark(pod(0, unmarked=True), PodState.READY), Rank.PATIENT),
        (Mark(pod(0, unmarked=True), PodState.READY, busy=False, busy_at=1.0), Rank.PATIENT),
        (Mark(pod(0, unmarked=True), PodState.READY, busy=True), Rank.PROMPT),
        (Mark(pod(0, unmarked=True), PodState.READY, address="https://a:1"), Rank.PROMPT),
        (Mark(pod(0, unmarked=True), PodState.READY, address=""), Rank.PROMPT),
        (mark(0), Rank.PROMPT),
        (Drain(pod(0), DrainReason.NODE), Rank.URGENT),
        (Undrain(pod(0)), Rank.URGENT),
    ],
)
def test_only_a_label_that_nobody_waits_for_is_written_last(
    action: Mark | Drain | Undrain, expected: Rank
) -> None:
    assert rank(action) is expected


class SlowServer:
    """Writes batches when the test lets it."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go_on = asyncio.Semaphore(0)
        self.news: asyncio.Queue[FleetKey] = asyncio.Queue()
        self.error: BaseException | None = None
        self.writer = MarkWriter(self.apply, self.news.put_nowait)

    async def apply(self, resource: Resource, actions: Sequence[Action]) -> list[Outcome]:
        del resource
        marks = [each for each in actions if isinstance(each, Mark)]
        self.batches.append([each.pod.slot for each in marks])
        await self.go_on.acquire()
        if self.error is not None:
            raise self.error
        return [Outcome(each) for each in marks]


async def test_a_round_does_not_wait_for_a_slow_mark_and_hears_of_it_later() -> None:
    server = SlowServer()
    server.writer.want(fleet(), [mark(1)])
    assert await server.writer.outcomes(KEY) == []
    assert server.writer.pending(KEY, mark(1))
    assert not server.writer.pending(KEY, mark(2))
    server.go_on.release()
    assert await server.news.get() == KEY
    ended = await server.writer.outcomes(KEY)
    assert [each.action for each in ended] == [mark(1)]
    assert not server.writer.pending(KEY, mark(1))
    assert await server.writer.outcomes(KEY) == []


async def test_who_waited_for_the_marks_needs_no_further_news() -> None:
    server = SlowServer()
    server.go_on.release()
    server.writer.want(fleet(), [mark(1)])
    assert len(await server.writer.outcomes(KEY)) == 1
    assert server.news.empty()


async def test_a_mark_that_is_no_longer_planned_is_not_begun_and_none_is_written_twice() -> None:
    server = SlowServer()
    marks = [mark(slot) for slot in range(AT_A_TIME + 2)]
    server.writer.want(fleet(), marks)
    await server.writer.outcomes(KEY)
    assert server.batches == [[0, 1, 2, 3]]
    server.writer.want(fleet(), [*marks[:AT_A_TIME], marks[-1]])
    for _ in range(2):
        server.go_on.release()
    for _ in range(2):
        await server.news.get()
    assert server.batches == [[0, 1, 2, 3], [5]]


async def test_a_fleet_that_is_gone_has_no_more_marks() -> None:
    server = SlowServer()
    server.writer.want(fleet(), [mark(slot) for slot in range(AT_A_TIME + 1)])
    await server.writer.outcomes(KEY)
    server.writer.forget(KEY)
    assert not server.writer.pending(KEY, mark(AT_A_TIME))
    assert await server.writer.outcomes(KEY) == []
    await server.writer.close()
    assert len(server.batches) == 1


async def test_a_fault_shows_in_the_next_round_and_once() -> None:
    server = SlowServer()
    server.error = ValueError("a bug")
    server.go_on.release()
    server.writer.want(fleet(), [mark(1)])
    with pytest.raises(ValueError, match="a bug"):
        await server.writer.outcomes(KEY)
    assert await server.writer.outcomes(KEY) == []
    server.error = None
    server.go_on.release()
    server.writer.want(fleet(), [mark(1)])
    assert len(await server.writer.outcomes(KEY)) == 1


async def test_a_mark_that_is_refused_is_planned_anew() -> None:
    cluster = Cluster(replicas=1)
    refused = [ConflictError("somebody was quicker")]

    def hook(verb: str, target: object) -> None:
        del target
        if verb == "patch" and refused and "pending" in cluster.states.values():
            raise refused.pop()

    cluster.server.before_write = hook
    await cluster.settle(4)
    assert not refused
    assert cluster.states == {"orch-0": "ready"}


async def test_a_large_fleet_is_made_in_parts_so_that_others_have_their_turn() -> None:
    cluster = Cluster(replicas=4 * ACTIONS_A_PASS)
    cluster.now += 100
    await cluster.settle(1)
    assert len(cluster.pods) == 3 * ACTIONS_A_PASS
    await cluster.settle(2)
    assert len(cluster.pods) == 4 * ACTIONS_A_PASS
