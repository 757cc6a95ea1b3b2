"""What a job takes of a pod beside its CPUs, and which rooms and types a fleet takes."""

from __future__ import annotations

import math

import pytest

from mediafleet_common.api.egress.costs import CpuCost, Limits, Memory, RequestType
from mediafleet_common.api.egress.placement import Placement
from mediafleet_common.probes.load import Load
from mediafleet_scheduler.core.egress.accounting.accounts import HOLD_SECONDS, Job
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger, Pod
from mediafleet_scheduler.core.egress.accounting.resources import Need, Rest, Rules, need_of
from mediafleet_scheduler.core.egress.capacity import ever_fits
from mediafleet_scheduler.core.egress.placement.modes import Refusal, WorkerView, short_of
from mediafleet_scheduler.core.egress.rooms import room_names
from mediafleet_scheduler.core.egress.views import Fleet

NOW = 1_000_000.0
R = RequestType
WEB, TRACK = Need(R.WEB, 4.0, 0.5), Need(R.TRACK, 0.5, 0.5)


def rest(
    rules: Rules, *kinds: RequestType, age: float = 0.0, load: Load | None = None, at: float = NOW
) -> Rest:
    """What is left of a pod with jobs of these types that started so long ago."""
    ledger, pod = Ledger(), Pod("p", "u", 64.0, rules)
    for number, kind in enumerate(kinds):
        ledger.put(Job(f"e{number}", "f", "p", "u", "c", kind, 1.0, "t", NOW - age))
        ledger.start(f"e{number}", NOW - age, "SRV")
    if load is not None:
        ledger.measure(pod, load, CpuCost(), at)
    return ledger.account(pod, 0.8, NOW).rest


MEMORY = Rules(memory=Memory(max_gb=4.0, cost_gb=0.5))


def test_a_gigabyte_of_memory_stays_free() -> None:
    assert rest(MEMORY).memory_gb == 3.0
    assert rest(MEMORY).fits(Need(R.TRACK, 0.5, 2.9))
    assert not rest(MEMORY).fits(Need(R.TRACK, 0.5, 3.0)), "as egress: not even exactly"


def test_new_jobs_count_with_their_memory_beside_what_the_pod_uses() -> None:
    assert rest(MEMORY, R.WEB, R.WEB).memory_gb == 2.0
    told = Load(jobs=2, memory_share=0.25)
    assert rest(MEMORY, R.WEB, R.WEB, load=told).memory_gb == 1.0
    assert rest(MEMORY, R.WEB, R.WEB, age=HOLD_SECONDS, load=told).memory_gb == 2.0


def test_without_word_from_the_pod_every_job_counts_with_its_memory() -> None:
    assert rest(MEMORY, R.WEB, R.TRACK, age=3600).memory_gb == 2.0


def test_a_job_that_started_after_the_pods_word_counts_beside_it() -> None:
    told = Load(jobs=0, memory_share=0.0)
    assert rest(MEMORY, R.WEB, age=16, load=told, at=NOW - 18).memory_gb == 2.5


def test_memory_is_not_looked_at_unless_it_is_limited() -> None:
    assert rest(Rules(), R.WEB, load=Load(jobs=1, memory_share=0.9)).memory_gb == math.inf


def test_a_job_with_chrome_is_counted_with_four_pulse_clients_and_others_with_none() -> None:
    rules = Rules(max_pulse_clients=8)
    assert rest(rules, R.TRACK, R.SDK_AUDIO_ROOM_COMPOSITE).pulse_clients == 8
    assert rest(rules, R.WEB).fits(WEB)
    full = rest(rules, R.WEB, R.AUDIO_ROOM_COMPOSITE)
    assert not full.fits(WEB)
    assert full.fits(TRACK)


def test_what_the_pod_says_of_its_pulse_clients_counts() -> None:
    rules = Rules(max_pulse_clients=10)
    told = Load(jobs=1, pulse_share=0.3)
    assert rest(rules, R.WEB, age=HOLD_SECONDS, load=told).pulse_clients == 7
    assert rest(rules, R.WEB, load=told).pulse_clients == 3


def test_a_type_has_no_more_jobs_on_a_pod_than_its_limit() -> None:
    rules = Rules(limits=Limits(web=2, track=0))
    assert rest(rules, R.WEB).fits(WEB)
    assert not rest(rules, R.WEB, R.WEB).fits(WEB)
    assert rest(rules, R.WEB, R.WEB).fits(Need(R.ROOM_COMPOSITE, 4.0))
    assert not rest(rules).fits(TRACK)


@pytest.mark.parametrize(
    ("rules", "need", "times"),
    [
        (Rules(), TRACK, math.inf),
        (Rules(), WEB, 15),
        (Rules(limits=Limits(web=2)), WEB, 2),
        (Rules(max_pulse_clients=3), WEB, 0),
        (MEMORY, TRACK, 5),
        (MEMORY, Need(R.TRACK, 0.5, 0.0), math.inf),
        (MEMORY, Need(R.TRACK, 0.5, 3.0), 0),
    ],
)
def test_how_many_find_what_they_need(rules: Rules, need: Need, times: float) -> None:
    assert rest(rules).times(need) == times


def test_what_sdk_audio_needs_is_its_own() -> None:
    placement = Placement.model_validate(
        {
            "cpuCost": {"audioRoomComposite": 2, "sdkAudioRoomComposite": 0.5},
            "memory": {"maxGb": 8, "costGb": 1, "sdkAudioCostGb": 0.2},
        }
    )
    assert need_of(R.SDK_AUDIO_ROOM_COMPOSITE, placement) == Need(
        R.SDK_AUDIO_ROOM_COMPOSITE, 0.5, 0.2
    )
    assert need_of(R.AUDIO_ROOM_COMPOSITE, placement).memory_gb == 1.0
    plain = Placement.model_validate({"cpuCost": {"audioRoomComposite": 2}})
    assert need_of(R.SDK_AUDIO_ROOM_COMPOSITE, plain).cores == 2.0


@pytest.mark.parametrize(
    ("placement", "cores", "wanted"),
    [
        ({}, 4.0, True),
        ({}, 3.9, False),
        ({}, None, True),
        ({"memory": {"maxGb": 2, "costGb": 1}}, 4.0, False),
        ({"limits": {"web": 0}}, 4.0, False),
        ({"maxPulseClients": 3}, 4.0, False),
    ],
)
def test_what_could_never_fit(placement: object, cores: float | None, wanted: bool) -> None:
    rules = Placement.model_validate(placement)
    fleet = Fleet("", "f", rules, frozenset(R), None, (), pod_cores=cores)
    assert ever_fits(fleet, need_of(R.WEB, rules)) is wanted


@pytest.mark.parametrize(
    ("patterns", "taken", "not_taken"),
    [
        ([], ["vip-1", ""], []),
        (["vip-*"], ["vip-1", "vip-"], ["vip", "my-vip-1", ""]),
        (["*"], ["anything"], [""]),
        (["town.hall"], ["town.hall"], ["town-hall", "town.hall.2"]),
        (["!vip-*"], ["other", ""], ["vip-1"]),
        (["vip-*", "!vip-test*"], ["vip-1"], ["vip-test-1", "other"]),
        (["a*z"], ["az", "a\nz"], ["azb"]),
    ],
)
def test_the_rooms_that_a_fleet_takes(
    patterns: list[str], taken: list[str], not_taken: list[str]
) -> None:
    names = room_names(patterns)
    assert [room for room in [*taken, *not_taken] if names.take(room)] == taken


@pytest.mark.parametrize(
    ("left", "why"),
    [
        (Rest(pulse_clients=3), Refusal.NO_PULSE_CLIENTS),
        (Rest(memory_gb=0.5), Refusal.NO_MEMORY),
        (Rest(of_type={RequestType.WEB: 0}), Refusal.NO_CAPACITY),
    ],
)
def test_memory_and_pulse_clients_have_reasons_of_their_own(left: Rest, why: Refusal) -> None:
    need = Need(RequestType.WEB, 4.0, memory_gb=1.0)
    short = WorkerView("a", "a", cores=8.0, free_cores=8.0, jobs=1, rest=left)
    no_cpu = WorkerView("b", "b", cores=8.0, free_cores=1.0, jobs=1)
    assert short_of([short, no_cpu], need) is why
    assert short_of([no_cpu], need) is Refusal.NO_CAPACITY
