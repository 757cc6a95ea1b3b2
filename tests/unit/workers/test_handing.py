"""Whose is a result that nobody here waits for, and how long that is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Container, Iterable
from dataclasses import dataclass, field
from typing import cast

import pytest

from mediafleet_scheduler.broker.access.secrets import Secrets
from mediafleet_scheduler.broker.results import Post
from mediafleet_scheduler.broker.shared import handing
from mediafleet_scheduler.broker.shared.handing import Handing
from mediafleet_scheduler.broker.shared.peers import HANDED, Peers
from mediafleet_scheduler.broker.shared.tasks import SharedTasks
from mediafleet_scheduler.core.workers.shared import Peer
from mediafleet_scheduler.core.workers.steps import Verdict

A, B = Peer(1, "10.0.0.1:8935", "aa" * 32), Peer(2, "10.0.0.2:8935", "bb" * 32)


@dataclass(slots=True)
class Result:
    headers: dict[str, str] = field(default_factory=dict)

    def let_in(self) -> None:
        pass

    async def body(self) -> AsyncIterator[bytes]:
        yield b""


@dataclass(slots=True)
class Scene:
    """This broker, and what the others do at each of its beats."""

    here_after: int | None = None
    """Beats after which the task is this broker's."""
    answers: list[tuple[Peer | None, Iterable[Peer]]] = field(default_factory=list)
    """Who says at each asking that it has the task, and who answers; the last one stays."""
    busy: Container[Peer | None] = frozenset()
    take_over_seconds: float = 30.0
    beats: int = 0
    handed_to: list[Peer] = field(default_factory=list)

    def may_take(self, answered: Container[Peer]) -> bool:
        return any(each in self.busy and each not in answered for each in (A, B))

    async def next_beat(self) -> None:
        self.beats += 1
        await asyncio.sleep(0)

    async def owner(self, headers: object, task_id: int) -> tuple[Peer | None, frozenset[Peer]]:
        owner, answered = self.answers[min(self.beats, len(self.answers) - 1)]
        return owner, frozenset(answered)

    async def result(self, post: object, peer: Peer) -> tuple[int, str]:
        self.handed_to.append(peer)
        return 200, "ok"

    def verdict(self, task_id: int) -> Verdict:
        is_here = self.here_after is not None and self.beats >= self.here_after
        return Verdict.WANTED if is_here else Verdict.UNKNOWN

    async def comes(self, **headers: str) -> tuple[int, str] | None:
        made = Handing(
            cast("SharedTasks", self),
            cast("Peers", self) if self.answers else None,
            Secrets(list),
            self.verdict,
        )
        return await made.result(cast("Post", Result(headers)), 7)


async def test_a_result_goes_to_the_broker_that_has_its_task() -> None:
    some = Scene(answers=[(B, [A, B])])
    assert await some.comes() == (200, "ok")
    assert (some.handed_to, some.beats) == ([B], 0)


async def test_where_all_that_have_tasks_answer_nobody_waits_for_it() -> None:
    some = Scene(answers=[(None, [A, B])], busy={A, B})
    assert await some.comes() is None
    # Its task may be newer than what was known of the others.
    assert some.beats == 1


async def test_a_result_is_held_while_a_broker_is_gone_until_another_has_its_task() -> None:
    some = Scene(answers=[(None, [A]), (None, [A]), (A, [A])], busy={A, B})
    assert await some.comes() == (200, "ok")
    assert (some.handed_to, some.beats) == ([A], 2)


async def test_a_result_is_this_brokers_once_it_has_the_task() -> None:
    for reaches_others in (False, True):
        some = Scene(here_after=3, busy={A})
        if reaches_others:
            some.answers.append((None, []))
        assert await some.comes() is None
        assert (some.handed_to, some.beats) == ([], 3)


async def test_a_result_is_held_no_longer_than_a_take_over_takes() -> None:
    some = Scene(answers=[(None, [])], busy={A}, take_over_seconds=0.02)
    assert await some.comes() is None
    assert some.beats > 0


async def test_where_too_many_results_are_held_others_are_handed_on_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handing, "MOST_HELD", 0)
    some = Scene(answers=[(B, [A, B])], busy={A})
    assert await some.comes() == (200, "ok")
    some = Scene(answers=[(None, [])], busy={A})
    assert await some.comes() is None
    assert some.beats == 0


async def test_what_a_broker_handed_on_is_handed_no_further() -> None:
    some = Scene(answers=[(B, [A, B])])
    assert await some.comes(**{HANDED.lower(): "1"}) is None
    assert some.handed_to == []
