"""The rules of a start: one at a time by example, and all faults of two and three messages."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

import pytest
from tests.kit.egress.meddling import MESSAGES, Fate
from tests.kit.egress.start_model import LATE_SECONDS, Placement

from mediafleet_scheduler.core.egress import start
from mediafleet_scheduler.core.egress.attempt import Attempt, Looked, Phase

Fates = Mapping[int, Fate]
Fault = Callable[[Fates], str | None]


def not_once(fates: Fates) -> str | None:
    """One placement under these fates; what is wrong unless it is started once."""
    placement = Placement(fates)
    told = placement.call()
    if not told or len(placement.started) != 1:
        return f"{fates}: told {told}, started {placement.started}"
    return _asked_again(placement, fates)


def twice(fates: Fates) -> str | None:
    """The same where all attempts of a client may be lost: then its next call starts the job."""
    placement = Placement(fates)
    told = placement.call()
    placement.wait(1.0)
    if told and not placement.started:
        return f"{fates}: told of a start that never was"
    return _asked_again(placement, fates)


def _asked_again(placement: Placement, fates: Fates) -> str | None:
    placement.wait(max(LATE_SECONDS.values()))
    if not placement.call() or len(placement.started) != 1:
        return f"{fates}: asked again, started {placement.started}"
    return None


def failures(fault: Fault, numbers: Iterable[int], count: int) -> list[str]:
    """What is wrong when so many of these messages have each fate."""
    return [
        failure
        for chosen in itertools.combinations(numbers, count)
        for fates in itertools.product(Fate, repeat=count)
        if (failure := fault(dict(zip(chosen, fates, strict=True)))) is not None
    ]


def test_a_placement_is_as_many_messages_as_on_the_real_bus() -> None:
    placement = Placement({})
    assert placement.call()
    placement.wait(1.0)
    assert placement.world.messages == MESSAGES


def test_whatever_becomes_of_two_messages_the_job_is_started_once() -> None:
    assert failures(not_once, range(2 * MESSAGES), 2) == []


@pytest.mark.timeout(180)
def test_whatever_becomes_of_three_of_the_ten_commonest_messages_it_is_not_started_twice() -> None:
    assert failures(twice, range(10), 3) == []


def test_a_rule_that_takes_silence_for_proof_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def place_anew(attempt: Attempt, event: Looked, now: float) -> start.Next:
        return start._place(replace(attempt, tried=frozenset({event.pod_server_id or ""})), now)

    table = cast("dict[Any, Any]", start._TABLE)
    monkeypatch.setitem(table, (Phase.LOOKING, Looked), place_anew)
    assert any("'EG_1', 'EG_1'" in each for each in failures(not_once, range(2 * MESSAGES), 2))
