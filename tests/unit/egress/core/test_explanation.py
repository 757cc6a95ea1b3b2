"""Why the next job would go where: the explanation agrees with what places it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from mediafleet.commands import app
from mediafleet.tools import explain as command
from mediafleet_common.api.egress.costs import CpuCost, Limits, RequestType
from mediafleet_common.api.egress.placement import Mode, Placement
from mediafleet_common.api.names import PodState
from mediafleet_common.reports.explanation import Explanation, FleetExplained
from mediafleet_scheduler.core.egress.accounting.resources import Need, Rest, need_of
from mediafleet_scheduler.core.egress.placement.explanation import (
    KEY_NAMES,
    Seen,
    explain,
    nothing_taken,
    unreadable,
    why_not,
)
from mediafleet_scheduler.core.egress.placement.modes import KEYS, WorkerView, choose
from mediafleet_scheduler.core.egress.queue import Waiting
from mediafleet_scheduler.core.egress.rooms import room_names
from mediafleet_scheduler.core.egress.views import Fleet, Worker

TRACK, WEB = RequestType.TRACK, RequestType.WEB


def fleet(mode: Mode = Mode.SPREAD, accepts: Sequence[RequestType] = tuple(RequestType)) -> Fleet:
    placement = Placement(mode=mode, cpu_cost=CpuCost(), limits=Limits(web=2))
    return Fleet("live", "rec", placement, frozenset(accepts), None, ())


def seen(
    name: str,
    free: float | None,
    jobs: int = 1,
    state: PodState = PodState.READY,
    known: bool = True,
    left_out: bool = False,
) -> Seen:
    cores = None if free is None else 16.0
    worker = Worker(name, f"uid-{name}", f"topic-{name}", None, cores, None, state)
    return Seen(worker, WorkerView(name, worker.uid, cores, free, jobs, known), left_out)


def told(
    pods: Sequence[Seen], kind: RequestType = TRACK, mode: Mode = Mode.SPREAD
) -> FleetExplained:
    return explain(fleet(mode), kind, dict.fromkeys(Mode, pods), (), 100.0)


@given(
    free=st.lists(st.one_of(st.none(), st.floats(0, 16)), max_size=6),
    jobs=st.lists(st.integers(0, 3), min_size=6, max_size=6),
    kind=st.sampled_from(RequestType),
)
def test_the_first_of_each_order_is_the_pod_that_would_be_chosen(
    free: list[float | None], jobs: list[int], kind: RequestType
) -> None:
    pods = [seen(f"p{n}", cores, jobs[n]) for n, cores in enumerate(free)]
    need = need_of(kind, fleet().placement)
    for mode in told(pods, kind).modes:
        chosen = choose((each.view for each in pods), need, mode.mode, random.Random(0))
        first = mode.order[0].name if mode.order else None
        assert first == (chosen.name if chosen else None)
        assert [each.key for each in mode.order] == sorted(
            (each.key for each in mode.order), key=lambda key: [part.value for part in key]
        )


@pytest.mark.parametrize("mode", Mode)
def test_every_part_of_a_key_has_a_name(mode: Mode) -> None:
    key = KEYS[mode](seen("a", 4.0).view, Need(TRACK, 0.5))
    assert len(key) == len(KEY_NAMES[mode])


FULL = Rest(memory_gb=0.5, pulse_clients=3, of_type={WEB: 0})
WORDS = {
    "a candidate": (seen("a", 4.0), Need(WEB, 4.0), None),
    "a pod that drains": (
        seen("a", 16.0, 0, PodState.DRAINING),
        Need(WEB, 4.0),
        "it is draining",
    ),
    "one that failed": (
        seen("a", 16.0, 0, left_out=True),
        Need(WEB, 4.0),
        "it failed what it was given, and gets nothing for a while",
    ),
    "CPUs": (seen("a", 3.999), Need(WEB, 4.0), "3.99 CPUs are free, 4 are needed"),
    "unknown CPUs": (seen("a", None), Need(WEB, 4.0), None),
}


@pytest.mark.parametrize(("pod", "need", "wanted"), WORDS.values(), ids=WORDS)
def test_why_a_pod_is_not_given_a_job(pod: Seen, need: Need, wanted: str | None) -> None:
    assert why_not(pod, need) == wanted


@pytest.mark.parametrize(
    ("rest", "wanted"),
    [
        (Rest(memory_gb=0.5), "0.50 GB are free, more than 1 needed"),
        (Rest(pulse_clients=3), "3 PulseAudio clients are free, 4 are needed"),
        (Rest(of_type={WEB: 0}), "it has as many web jobs as spec.placement.limits allows"),
    ],
)
def test_what_beside_cpus_keeps_a_job_away(rest: Rest, wanted: str) -> None:
    pod = seen("a", 16.0)
    view = WorkerView("a", "u", 16.0, 12.0, 1, rest=rest)
    assert why_not(Seen(pod.worker, view, False), Need(WEB, 4.0, memory_gb=1.0)) == wanted


def test_each_mode_is_told_with_what_stock_pods_would_bid() -> None:
    result = told([seen("busy", 8.0, 3), seen("idle", 16.0, 0), seen("full", 0.1)])
    by_mode = {each.mode: each for each in result.modes}
    assert {mode: [p.name for p in each.order] for mode, each in by_mode.items()} == {
        Mode.PACK: ["busy", "idle"],
        Mode.SPREAD: ["idle", "busy"],
        Mode.TYPE_AWARE: ["idle", "busy"],
    }
    assert by_mode[Mode.PACK].bids == {"busy": 1.0, "idle": 0.5, "full": -1.0}
    assert by_mode[Mode.SPREAD].bids == {"busy": 0.5, "idle": 1.0, "full": -1.0}
    assert [each.mode for each in result.modes if each.in_force] == [Mode.SPREAD]


def test_pods_of_unknown_load_are_drawn_from_when_there_are_more_than_two() -> None:
    two = told([seen("a", 4.0, known=False), seen("b", 5.0, known=False)])
    three = told([seen(name, 4.0, known=False) for name in "abc"])
    assert two.modes[0].drawn_from == []
    assert three.modes[0].drawn_from == ["a", "b", "c"]


def test_fleets_that_take_nothing_say_why() -> None:
    other = nothing_taken(fleet(accepts=[WEB]), TRACK)
    assert other is not None
    assert other.why_not == "spec.accepts does not name track"
    assert nothing_taken(fleet(), TRACK) is None
    assert (
        unreadable(fleet(), "its Redis is not served: no").why_not == "its Redis is not served: no"
    )


def test_no_name_of_a_room_is_told() -> None:
    of_rooms = Fleet(
        "live", "rec", Placement(), frozenset(RequestType), None, (), rooms=room_names(["canary-*"])
    )
    waiting = [Waiting("EG_canary", of_rooms.key, TRACK, 0.5, "canary-1", 99.0, until=200.0)]
    result = explain(of_rooms, TRACK, {Mode.PACK: [seen("a", 4.0)]}, waiting, 100.0)
    assert (result.waiting, result.some_rooms_only) == (1, True)
    assert "canary" not in result.model_dump_json()


def printed(
    monkeypatch: pytest.MonkeyPatch, *fleets: FleetExplained, more: Sequence[str] = ()
) -> str:
    text = Explanation(type=TRACK, at=100.0, fleets=list(fleets)).model_dump_json(by_alias=False)
    monkeypatch.setattr(command, "fetch", lambda *_: text)
    result = CliRunner().invoke(app, ["explain", "http://desk:8080", *more], env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    return result.output


def test_the_table_says_where_it_goes_and_why_not_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pods = [seen("rec-0", 8.0, 3), seen("rec-1", 16.0, 0), seen("rec-2", 16.0, 0, PodState.PENDING)]
    text = printed(monkeypatch, told(pods))
    assert "live/rec  a track needs 0.5 CPUs" in text
    assert "spread (in force): goes to rec-1" in text
    assert "pack: goes to rec-0" in text
    assert "rec-2  it is pending" in text
    heading = next(line for line in text.splitlines() if "FREE CPUS" in line)
    assert heading.split("  ")[2].strip() == "POD"


def test_a_job_that_fits_nowhere_is_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(monkeypatch, told([seen("rec-0", 0.1)]))
    assert "pack: it fits no pod" in text
    assert "The next track fits nowhere." in text


def test_json_is_what_the_desk_said(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(monkeypatch, told([seen("rec-0", 8.0)]), more=["-o", "json"])
    assert Explanation.model_validate_json(text).fleets[0].name == "rec"


def test_a_desk_that_does_not_answer_is_told_in_a_line() -> None:
    result = CliRunner().invoke(app, ["explain", "127.0.0.1:1"])
    assert result.exit_code == 1
    assert result.output == (
        "http://127.0.0.1:1 does not answer: Connection refused. Is it there? "
        "Of a cluster: kubectl port-forward service/NAME PORT, and leave that running\n"
    )


def test_a_pod_that_does_not_tell_its_load_is_said_to_be_unknown_though_its_jobs_are_known() -> (
    None
):
    silent = seen("p0", 8.0)
    silent = replace(silent, view=replace(silent.view, measured=False))
    assert [pod.load_known for pod in told([silent, seen("p1", 8.0)]).pods] == [False, True]


def test_a_pod_that_counts_by_other_costs_is_explained_by_those() -> None:
    one = seen("old", 3.0)
    old = replace(one, view=replace(one.view, counts=Placement(cpu_cost=CpuCost(track=4.0))))
    pods = [old, seen("new", 3.0)]
    explained = told(pods)
    assert [each.why_not for each in explained.pods] == ["3.00 CPUs are free, 4 are needed", None]
    for mode in explained.modes:
        assert [each.name for each in mode.order] == ["new"]
        assert mode.bids["old"] < 0 < mode.bids["new"]
