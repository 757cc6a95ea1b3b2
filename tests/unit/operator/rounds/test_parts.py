"""The operator's small parts: queue, statuses, Events, children, probing."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any, cast

import pytest
import uvloop
from prometheus_client import CollectorRegistry
from tests.kit.operator.kube_server import KubeServer

from mediafleet_common.api.egress.fleet import EgressFleetStatus
from mediafleet_common.api.names import Kind, Reason
from mediafleet_common.api.pool.orchestrator_pool import OrchestratorPoolSpec
from mediafleet_common.api.shared import ConditionStatus, PodStatus
from mediafleet_common.clock import Clock
from mediafleet_common.kube.client import Api
from mediafleet_common.probes.http_client import Failure, NoLoad
from mediafleet_common.probes.load import Load, Source
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.core.fleet.state import FleetState
from mediafleet_operator.kube.children import contains, wanted
from mediafleet_operator.kube.report import EVENT_BURST, EventWriter, StatusWriter
from mediafleet_operator.manifests.children import disruption
from mediafleet_operator.manifests.pods.pod import Product
from mediafleet_operator.manifests.resource import Resource
from mediafleet_operator.rounds.metrics import OperatorMetrics
from mediafleet_operator.rounds.probes import RARE_AT_A_TIME, Prober, Subject
from mediafleet_operator.rounds.queue import KeyedQueue
from mediafleet_operator.settings import ProbeTimes

KEY = FleetKey(Kind.ORCHESTRATOR_POOL, "media", "orch")


def resource(status: EgressFleetStatus | None = None, **spec: Any) -> Resource:
    parsed = OrchestratorPoolSpec.model_validate(spec)
    return Resource(KEY, "uid", "1", 1, False, parsed, status)


async def test_a_key_waits_once_and_is_worked_on_once_at_a_time() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    queue.add("a")
    queue.add("a")
    assert len(queue) == 1
    assert await queue.take() == "a"
    queue.add("a")
    queue.add("a")
    assert len(queue) == 0, "not while it is worked on"
    queue.done("a")
    assert len(queue) == 1, "but once after that"


@pytest.mark.looptime
async def test_of_several_times_the_first_counts() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    loop = asyncio.get_running_loop()
    began = loop.time()
    for seconds in (9, 2, 5):
        queue.add_after("a", seconds)
    await queue.take()

    assert loop.time() - began == pytest.approx(2)
    queue.close()


def test_a_key_that_is_due_at_once_can_be_asked_for_again_on_uvloop() -> None:
    async def asked_twice() -> str:
        queue: KeyedQueue[str] = KeyedQueue()
        for _ in range(2):
            queue.add_after("a", 0.0)
        key = await queue.take()
        queue.close()
        return key

    assert uvloop.run(asked_twice()) == "a"


def test_a_status_in_which_only_loads_changed_waits_its_turn() -> None:
    now = 100.0
    writer = StatusWriter(cast("Api", KubeServer()), Clock(monotonic=lambda: now))
    old = EgressFleetStatus(replicas=1, jobs=1, pods=[PodStatus(name="a", state="ready", load=1)])
    busier = EgressFleetStatus(
        replicas=1, jobs=2, pods=[PodStatus(name="a", state="ready", load=2)]
    )
    grown = EgressFleetStatus(replicas=2, jobs=1, pods=[PodStatus(name="a", state="ready", load=1)])
    one = resource(old)
    state = FleetState("uid", status_written_at=now - 2)

    assert writer.due(one, state, old) is None
    assert writer.due(one, state, busier) == pytest.approx(3)
    assert writer.due(one, state, grown) == 0
    now += 3
    assert writer.due(one, state, busier) == 0


def test_the_status_of_a_fleet_that_keeps_changing_is_written_once_a_second() -> None:
    now = 100.0
    writer = StatusWriter(
        cast("Api", KubeServer()), Clock(monotonic=lambda: now), load_only_seconds=5, seconds=1
    )
    known = EgressFleetStatus(observed_generation=1, replicas=1)
    one, state = resource(known), FleetState("uid")
    assert writer.due(one, state, EgressFleetStatus(replicas=2)) == 0
    state.status_written_at = now
    now += 0.25
    assert writer.due(one, state, EgressFleetStatus(replicas=3)) == pytest.approx(0.75)
    now += 0.75
    assert writer.due(one, state, EgressFleetStatus(replicas=3)) == 0


def test_the_first_status_of_a_new_fleet_waits_a_second_for_its_pods() -> None:
    now, none = 100.0, EgressFleetStatus()
    writer = StatusWriter(cast("Api", KubeServer()), Clock(monotonic=lambda: now), seconds=1)
    state = FleetState("uid")
    first = EgressFleetStatus(observed_generation=1, replicas=1, ready_replicas=0)
    ready = EgressFleetStatus(observed_generation=1, replicas=1, ready_replicas=1)

    assert writer.due(resource(none), state, first) == 1
    now += 0.75
    assert writer.due(resource(none), state, ready) == pytest.approx(0.25)
    now += 0.25
    assert writer.due(resource(none), state, ready) == 0


def said(ready: str, reason: Reason, **more: str) -> EgressFleetStatus:
    """A status of generation 1 with its condition Ready, and others."""
    both = {"Ready": (ready, reason.value), **{name: (is_so, name) for name, is_so in more.items()}}
    conditions = [
        ConditionStatus(type=name, status=is_so, reason=why, last_transition_time="", message="")
        for name, (is_so, why) in both.items()
    ]
    return EgressFleetStatus(observed_generation=1, conditions=conditions)


@pytest.mark.parametrize(
    ("status", "spec", "seconds"),
    [
        (said("False", Reason.WAITING_FOR_PODS), {}, 5),
        (said("False", Reason.WAITING_FOR_PODS, Degraded="False"), {}, 5),
        (said("True", Reason.AS_WANTED), {}, 1),
        (said("False", Reason.WAITING_FOR_PODS, Degraded="True"), {}, 1),
        (said("False", Reason.IMAGE_PULL), {}, 1),
        (said("False", Reason.WAITING_FOR_PODS), {"autoscaling": {"max": 2}}, 1),
    ],
    ids=["starts", "starts well", "ready", "starts in trouble", "fails", "starts and is scaled"],
)
def test_a_first_status_that_says_only_that_pods_start_waits_for_them(
    status: EgressFleetStatus, spec: dict[str, Any], seconds: float
) -> None:
    clock = Clock(monotonic=lambda: 100.0)
    writer = StatusWriter(cast("Api", KubeServer()), clock, seconds=1, first_seconds=5)
    new, known = (
        resource(EgressFleetStatus(), **spec),
        resource(EgressFleetStatus(observed_generation=1), **spec),
    )

    assert writer.due(new, FleetState("uid"), status) == seconds
    assert writer.due(known, FleetState("uid"), status) == 0


def test_what_comes_of_a_change_is_told_once_its_pods_have_started_or_after_a_while() -> None:
    now = 100.0
    writer = StatusWriter(
        cast("Api", KubeServer()), Clock(monotonic=lambda: now), seconds=1, change_seconds=10
    )
    state = FleetState("uid", status_written_at=50.0)
    changed = resource(EgressFleetStatus(observed_generation=0))
    starts = said("False", Reason.WAITING_FOR_PODS)

    assert writer.due(changed, state, starts) == 10
    now = 104.0
    assert writer.due(changed, state, starts) == 6
    assert writer.due(changed, state, said("True", Reason.AS_WANTED)) == 0
    now = 111.0
    assert writer.due(changed, state, starts) == 0


async def test_too_many_events_of_one_fleet_are_dropped() -> None:
    from mediafleet_common.api.events import EventToPost

    server, now = KubeServer(), 100.0
    writer = EventWriter(cast("Api", server), "me", Clock(monotonic=lambda: now))
    state = FleetState("uid")
    for _ in range(EVENT_BURST + 10):
        await writer.post(resource(), state, EventToPost("Normal", Reason.SCALED_UP, "more"))
    assert len(server.objects) == EVENT_BURST
    now += 25
    for _ in range(10):
        await writer.post(resource(), state, EventToPost("Normal", Reason.SCALED_UP, "more"))

    assert len(server.objects) == EVENT_BURST + 3
    event = next(iter(server.objects.values()))
    assert event["regarding"]["uid"] == "uid"


def test_what_the_api_server_adds_to_a_child_does_not_matter_and_what_it_lacks_does() -> None:
    live = {"spec": {"replicas": 2, "more": 1, "ports": [{"port": 1, "nodePort": 3}]}}

    assert contains(live, {"spec": {"replicas": 2, "ports": [{"port": 1}]}})
    assert not contains(live, {"spec": {"replicas": 3}})
    assert not contains(live, {"spec": {"ports": [{"port": 1}, {"port": 2}]}})
    assert not contains({}, live)


def test_a_pool_gets_its_advertiser_and_what_that_may_do() -> None:
    children = {each["kind"]: each for each in wanted(resource(), Product("ours:1", "Never"))}
    pod = children["Deployment"]["spec"]["template"]["spec"]

    assert children["Service"]["metadata"]["name"] == "orch"
    assert [port["port"] for port in children["Service"]["spec"]["ports"]] == [8935, 8080]
    assert children["Deployment"]["metadata"]["name"] == "orch-advertiser"
    assert children["Deployment"]["spec"]["replicas"] == 2
    assert pod["containers"][0]["args"][:3] == ["advertise", "--pool", "media/orch"]
    assert pod["serviceAccountName"] == children["RoleBinding"]["subjects"][0]["name"]
    rules = children["Role"]["rules"]
    named = {rule["resources"][0]: rule["verbs"] for rule in rules if "resourceNames" in rule}
    assert named == {"orchestratorpools": ["get"], "orchestratorpools/status": ["patch"]}
    others = {verb for rule in rules if "resourceNames" not in rule for verb in rule["verbs"]}
    assert others == {"list", "watch"}
    assert all("*" not in str(rule) for rule in children["Role"]["rules"])


def test_a_certificate_of_the_users_is_mounted() -> None:
    deployment = wanted(resource(advertise={"tlsSecret": "cert"}), Product("ours:1"))[-2]
    spec = deployment["spec"]["template"]["spec"]

    assert {"name": "tls", "secret": {"secretName": "cert"}} in spec["volumes"]
    assert "--tls-cert" in spec["containers"][0]["args"]


def test_a_fleets_budget_holds_on_to_busy_pods_alone() -> None:
    budget = disruption.budget(resource())

    assert budget["spec"]["maxUnavailable"] == 0
    assert budget["spec"]["selector"]["matchLabels"]["mediafleet.dev/busy"] == "true"


class Pods:
    """Answers like pods, and counts."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.answer: Load | NoLoad = Load(jobs=0)

    async def __call__(self, url: str, source: Source) -> Load | NoLoad:
        del url, source
        self.asked.append(asyncio.get_running_loop().time())
        return self.answer


def subject(*, often: bool) -> dict[str, Subject]:
    return {"u": Subject(KEY, "http://10.0.0.1:7936/metrics", Source.TRANSCODE, often)}


@pytest.mark.looptime
async def test_pods_are_asked_at_once_then_rarely_and_every_second_while_it_matters() -> None:
    pods, news = Pods(), list[FleetKey]()
    prober = Prober(pods, news.append, OperatorMetrics(CollectorRegistry()))
    prober.follow(KEY, subject(often=False))
    await asyncio.sleep(20)
    assert len(pods.asked) == 2
    prober.follow(KEY, subject(often=True))
    await asyncio.sleep(5.5)
    assert len(pods.asked) in (7, 8)
    await prober.close()


@pytest.mark.looptime
async def test_a_pod_that_stays_silent_is_asked_ever_more_rarely_until_it_answers_or_matters() -> (
    None
):
    pods = Pods()
    pods.answer = NoLoad(Failure.UNREACHABLE, "refused")
    prober = Prober(pods, lambda key: None, OperatorMetrics(CollectorRegistry()))
    prober.follow(KEY, subject(often=False))
    await asyncio.sleep(600)
    assert 10 <= len(pods.asked) <= 16, "after 15, 30 and then each 60 s, spread by a fifth"
    silent = len(pods.asked)
    prober.follow(KEY, subject(often=True))
    await asyncio.sleep(3.5)
    assert len(pods.asked) >= silent + 3, "who matters is asked at once"
    pods.answer = Load(jobs=0)
    await asyncio.sleep(1.5)
    prober.follow(KEY, subject(often=False))
    known = len(pods.asked)
    await asyncio.sleep(60)
    assert len(pods.asked) - known >= 3
    await prober.close()


@pytest.mark.looptime
async def test_it_tells_news_alone_but_every_answer_of_a_pod_that_matters() -> None:
    pods, news = Pods(), list[FleetKey]()
    prober = Prober(pods, news.append, OperatorMetrics(CollectorRegistry()))
    prober.follow(KEY, subject(often=False))
    await asyncio.sleep(40)
    assert len(news) == 1
    pods.answer = NoLoad(Failure.UNREACHABLE, "refused")
    await asyncio.sleep(19)
    assert len(news) == 2
    assert prober.histories["u"][-1].jobs is None
    prober.follow(KEY, subject(often=True))
    await asyncio.sleep(5.5)
    assert len(news) > 6
    await prober.close()


@pytest.mark.looptime
async def test_thousands_of_silent_pods_hold_up_no_pod_that_matters_and_are_not_asked_at_once() -> (
    None
):
    asked, at_once, most = Counter[str](), 0, 0

    async def silent(url: str, source: Source) -> NoLoad:
        nonlocal at_once, most
        del source
        asked[url] += 1
        rare = url != "drains"
        at_once += rare
        most = max(most, at_once)
        await asyncio.sleep(1.0)
        at_once -= rare
        return NoLoad(Failure.TIMED_OUT, "no answer")

    prober = Prober(silent, lambda key: None, OperatorMetrics(CollectorRegistry()))
    count = 10 * RARE_AT_A_TIME
    rare = {f"u{n}": Subject(KEY, f"pod {n}", Source.TRANSCODE, often=False) for n in range(count)}
    prober.follow(KEY, {**rare, "d": Subject(KEY, "drains", Source.TRANSCODE, often=True)})
    await asyncio.sleep(10.5)
    assert most == RARE_AT_A_TIME
    assert asked["drains"] == 6
    assert len(asked) == 1 + count
    await prober.close()


@pytest.mark.looptime
async def test_of_many_silent_pods_few_are_asked_a_second_and_a_needed_one_at_once() -> None:
    asked = Counter[str]()

    async def silent(url: str, source: Source) -> NoLoad:
        del source
        asked[url] += 1
        return NoLoad(Failure.UNREACHABLE, "refused")

    metrics, times = OperatorMetrics(CollectorRegistry()), ProbeTimes(silent_per_second=2)
    prober = Prober(silent, lambda key: None, metrics, times=times)
    pods = {f"u{n}": Subject(KEY, f"pod {n}", Source.TRANSCODE, often=False) for n in range(200)}
    prober.follow(KEY, pods)
    await asyncio.sleep(10)
    assert asked.total() == 200, "each once"
    await asyncio.sleep(190)
    assert 1.5 < (asked.total() - 200) / 200 <= 2 * 1.05
    before = asked["pod 7"]
    prober.follow(KEY, {**pods, "u7": replace(pods["u7"], often=True)})
    await asyncio.sleep(0.1)
    assert asked["pod 7"] == before + 1
    prober.follow(KEY, {"u1": pods["u1"]})
    before = asked["pod 1"]
    await asyncio.sleep(2000)
    assert asked["pod 1"] - before > 20, "few that are silent are asked each minute"
    await prober.close()


@pytest.mark.looptime
async def test_many_idle_pods_are_asked_more_rarely_and_those_with_work_as_before() -> None:
    asked, busy = Counter[str](), set[str]()

    async def pods_answer(url: str, source: Source) -> Load:
        del source
        asked[url] += 1
        return Load(jobs=int(url in busy))

    metrics, times = OperatorMetrics(CollectorRegistry()), ProbeTimes(idle_per_second=10)
    prober = Prober(pods_answer, lambda key: None, metrics, times=times)
    pods = {f"u{n}": Subject(KEY, f"pod {n}", Source.TRANSCODE, often=False) for n in range(300)}
    prober.follow(KEY, pods)
    await asyncio.sleep(60)
    busy |= {"pod 1", "pod 2"}
    asked.clear()
    await asyncio.sleep(600)
    assert 5 < (asked.total() - asked["pod 1"] - asked["pod 2"]) / 600 < 12
    assert 30 <= asked["pod 1"] <= 50, "each 15 s once its work is known"
    times = ProbeTimes()
    assert times.idle_seconds * 1.2 < 60 - times.often_seconds, "or its load would be too old"
    await prober.close()


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("often", "failures", "known"),
    [(False, 1, True), (False, 2, False), (True, 1, False)],
)
async def test_one_missed_answer_makes_no_load_unknown_but_of_a_pod_about_which_is_decided(
    often: bool, failures: int, known: bool
) -> None:
    said = list[int | None]()
    prober: Prober

    async def pods(url: str, source: Source) -> Load | NoLoad:
        del url, source
        said.extend(each.jobs for each in prober.histories.get("u", ())[-1:])
        asked.append(1)
        late = 1 < len(asked) <= 1 + failures
        return NoLoad(Failure.TIMED_OUT, "late") if late else Load(jobs=0)

    asked = list[int]()
    prober = Prober(pods, lambda key: None, OperatorMetrics(CollectorRegistry()))
    prober.follow(KEY, subject(often=often))
    await asyncio.sleep(60)
    assert (None not in said) is known
    await prober.close()


@pytest.mark.looptime
async def test_a_pod_that_is_gone_is_asked_no_more() -> None:
    pods, news = Pods(), list[FleetKey]()
    prober = Prober(pods, news.append, OperatorMetrics(CollectorRegistry()))
    prober.follow(KEY, subject(often=True))
    await asyncio.sleep(1.5)
    prober.follow(KEY, {})
    before = len(pods.asked)
    await asyncio.sleep(5)

    assert len(pods.asked) == before
    assert prober.histories == {}
