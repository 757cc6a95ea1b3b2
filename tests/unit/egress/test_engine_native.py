"""Fleets without a desk: what stock pods are told, what is refused, and the way there in need."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import pytest
import yaml
from tests.kit.fleets.views import egress_view
from tests.kit.operator.fleet_builders import fleet, observe, pending, pod, words
from tests.kit.operator.kube_server import KubeServer
from typer.testing import CliRunner

from mediafleet.commands import app
from mediafleet.in_pod.egress_config import merge, ours
from mediafleet_common.api.egress.fleet import EgressFleetSpec
from mediafleet_common.api.egress.redis import RedisSpec
from mediafleet_common.api.names import Annotation, Condition, Kind, Reason
from mediafleet_common.api.shared import ConditionStatus, FleetStatus
from mediafleet_common.kube import client, login
from mediafleet_common.kube.client import Api, Json
from mediafleet_common.kube.errors import RefusedError
from mediafleet_common.kube.paths import Target
from mediafleet_operator.core.break_glass import CannotBreakGlassError, switches
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.core.plan import plan
from mediafleet_operator.core.status.conditions import conditions
from mediafleet_operator.kube import paths
from mediafleet_operator.manifests.pods.egress import settings
from mediafleet_operator.manifests.resource import Resource, engine_conflict, template_hash
from mediafleet_scheduler.directory.conditions import report_mode, report_redis
from mediafleet_scheduler.directory.entries_file import WorkersFile
from mediafleet_scheduler.directory.objects import fleet_facts

REDIS = {"address": "redis:6379"}
ENVIRONMENT = {"POD_NAMESPACE": "live", "POD_NAME": "rec-0", "POD_UID": "0123456789abcdef"}


def raw(name: str, namespace: str = "live", **spec: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "resourceVersion": "1"}
    return {"metadata": meta, "spec": {"redis": REDIS, **spec}}


def spec(engine: str = "native", mode: str = "spread", **more: Any) -> EgressFleetSpec:
    return EgressFleetSpec.model_validate(
        {"redis": REDIS, "placement": {"engine": engine, "mode": mode}, **more}
    )


def resource(name: str, of: EgressFleetSpec) -> Resource:
    key = FleetKey(Kind.EGRESS_FLEET, "live", name)
    return Resource(key, f"uid-{name}", "1", 1, deleting=False, spec=of, status=None)


def test_stock_pods_are_told_the_mode_and_the_topic_that_livekit_server_calls() -> None:
    told = json.dumps(settings(spec(mode="type_aware")))
    user = yaml.compose("{cluster_id: mine, api_key: k}", Loader=yaml.SafeLoader)
    assert isinstance(user, yaml.MappingNode)
    merge(user, ours({**ENVIRONMENT, "MEDIAFLEET_EGRESS_CONFIG": told}))
    config = yaml.safe_load(yaml.serialize(user))
    assert config["cluster_id"] == ""
    assert config["affinity_mode"] == "type_aware"
    assert config["api_key"] == "k"


def test_pods_of_the_desk_keep_a_topic_of_their_own_and_know_of_no_mode() -> None:
    told = json.dumps(settings(spec("scheduler")))
    config = ours({**ENVIRONMENT, "MEDIAFLEET_EGRESS_CONFIG": told})
    assert config["cluster_id"] == "live.rec-0.01234567"
    assert "affinity_mode" not in config


def test_pods_are_replaced_for_the_engine_and_with_it_for_the_mode() -> None:
    hashes = {template_hash(spec(engine, mode)) for engine, mode in ENGINES_AND_MODES}
    assert len(hashes) == 3, "the desk's modes need no new pods"
    assert template_hash(spec("scheduler", "pack")) == template_hash(
        EgressFleetSpec.model_validate({"redis": REDIS})
    )


ENGINES_AND_MODES = [
    ("scheduler", "pack"),
    ("scheduler", "spread"),
    ("native", "pack"),
    ("native", "spread"),
]


def test_no_desk_serves_such_a_fleet() -> None:
    fleets = [
        fleet_facts({**raw(name, placement={"engine": engine}), "kind": "EgressFleet"})
        for name, engine in (("a", "native"), ("b", "scheduler"))
    ]
    view = egress_view(fleets, ())
    assert [each.name for each in view.fleets] == ["b"]
    assert [each.name for each in view.native] == ["a"]
    with pytest.raises(ValueError, match="fleet a: no desk serves engine native; leave it out"):
        WorkersFile.model_validate({"fleets": [{"name": "a", "placement": {"engine": "native"}}]})


SAME = {
    "the same address": (REDIS, REDIS, True),
    "another database of it": (REDIS, {**REDIS, "db": 3}, True),
    "another user of it": (REDIS, {**REDIS, "username": "u"}, True),
    "another address": (REDIS, {"address": "other:6379"}, False),
    "the same sentinels in another order": (
        {"sentinel": {"masterName": "m", "addresses": ["a:1", "b:1"]}},
        {"sentinel": {"masterName": "m", "addresses": ["b:1", "a:1"]}},
        True,
    ),
    "another master": (
        {"sentinel": {"masterName": "m", "addresses": ["a:1"]}},
        {"sentinel": {"masterName": "n", "addresses": ["a:1"]}},
        False,
    ),
    "a cluster": (REDIS, {"cluster": {"addresses": ["redis:6379"]}}, False),
}


@pytest.mark.parametrize(("one", "other", "same"), SAME.values(), ids=SAME)
def test_whether_two_fleets_name_one_redis(
    one: dict[str, Any], other: dict[str, Any], same: bool
) -> None:
    specs = [RedisSpec.model_validate(each) for each in (one, other)]
    assert specs[0].same_server(specs[1]) is same


def test_it_is_refused_beside_a_fleet_of_the_desk_on_the_same_redis() -> None:
    native, desk = resource("a", spec()), resource("b", spec("scheduler"))
    elsewhere = resource("c", spec("scheduler", redis={"address": "other:6379"}))
    assert engine_conflict(native, [native, elsewhere]) is None
    assert engine_conflict(desk, [native, desk]) is None
    said = engine_conflict(native, [native, desk, elsewhere])
    assert said is not None
    assert "beside live/b with engine scheduler on the same Redis" in said


def test_a_refused_fleet_makes_no_pods_and_says_why() -> None:
    refused = fleet(3, engine_conflict="not beside live/b")
    observation = observe(refused, [pod(0, template="old")], {0: 0})
    planned = plan(observation)
    assert words(planned.actions) == [], "and its old pods stay"
    said = {each.type: each for each in conditions(observation, planned, None)}
    template = said[Condition.TEMPLATE_VALID]
    assert (template.status, template.reason) == ("False", Reason.ENGINE_CONFLICT)
    assert said[Condition.READY].reason == Reason.ENGINE_CONFLICT


def test_a_fleet_that_may_not_use_its_redis_makes_no_pods_and_says_why() -> None:
    refused = fleet(3, redis_problem="have it declared")
    observation = observe(refused, [pod(0, template="old")], {0: 0})
    planned = plan(observation)
    assert words(planned.actions) == [], "and its old pods stay"
    said = {each.type: each for each in conditions(observation, planned, None)}
    found = said[Condition.REDIS_NOT_ALLOWED]
    assert (found.status, found.message) == ("True", "have it declared")
    assert said[Condition.READY].reason == Reason.REDIS_NOT_DECLARED
    allowed = observe(fleet(1), [pod(0)], {0: 0})
    may = conditions(allowed, plan(allowed), None)
    assert Condition.REDIS_NOT_ALLOWED not in {each.type for each in may}


@pytest.mark.parametrize("native", [True, False])
def test_what_a_desk_said_of_the_mode_goes_with_the_engine(native: bool) -> None:
    said = ConditionStatus(
        type=Condition.MODE_UNSUPPORTED.value,
        status="True",
        last_transition_time="2026-01-01T00:00:00Z",
        reason=Reason.MODE_IGNORED.value,
    )
    observation = observe(fleet(1, native=native), [pod(0)], {0: 0})
    kept = conditions(observation, plan(observation), FleetStatus(conditions=[said]))
    assert (said in kept) is native


@pytest.mark.parametrize(
    ("of", "reason", "stays"),
    [
        ({}, Reason.REDIS_OF_OTHERS, True),
        ({}, Reason.REDIS_ALLOWED, False),
        ({"native": True}, Reason.REDIS_OF_OTHERS, False),
        ({"redis_problem": "have it declared"}, Reason.REDIS_OF_OTHERS, False),
    ],
)
def test_what_a_desk_found_out_of_the_redis_stays_while_the_desk_looks_at_it(
    of: dict[str, Any], reason: Reason, stays: bool
) -> None:
    said = ConditionStatus(
        type=Condition.REDIS_NOT_ALLOWED.value,
        status="True",
        last_transition_time="2026-01-01T00:00:00Z",
        reason=reason.value,
    )
    observation = observe(fleet(1, **of), [pod(0)], {0: 0})
    kept = conditions(observation, plan(observation), FleetStatus(conditions=[said]))
    assert (said in kept) is stays
    assert len({each.type for each in kept}) == len(kept)


class Applies(KubeServer):
    """Keeps what is applied."""

    def __init__(self) -> None:
        super().__init__()
        self.applied: list[tuple[str, str, Json]] = []

    async def apply(self, target: Target, body: Json, manager: str, *, force: bool = True) -> Json:
        del force
        self.applied.append((target.path, manager, body))
        return body


async def test_the_desk_writes_the_condition_and_nothing_else() -> None:
    server = Applies()

    @asynccontextmanager
    async def connect() -> AsyncIterator[Api]:
        yield cast("Api", server)

    of = egress_view([fleet_facts(raw("a", placement={"engine": "native"}))], ()).native[0]
    await report_mode(of, known=False, connect=connect)
    ((path, manager, body),) = server.applied
    assert path.endswith("/namespaces/live/egressfleets/a/status")
    assert manager == "mediafleet-egress"
    assert list(body["status"]) == ["conditions"]
    (condition,) = body["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("ModeUnsupported", "True")


@pytest.mark.parametrize("allowed", [True, False])
async def test_the_desk_says_that_a_redis_is_one_of_others_and_takes_it_back(
    allowed: bool,
) -> None:
    server = Applies()

    @asynccontextmanager
    async def connect() -> AsyncIterator[Api]:
        yield cast("Api", server)

    (of,) = egress_view([fleet_facts(raw("a"))], ()).fleets
    await report_redis(of, allowed, connect=connect)
    ((_, _, body),) = server.applied
    (condition,) = body["status"]["conditions"]
    assert condition["type"] == "RedisNotAllowed"
    assert condition["status"] == ("False" if allowed else "True")
    said = {**raw("a"), "status": body["status"]}
    assert egress_view([fleet_facts(said)], ()).fleets[0].kept_out is not allowed


def merged(into: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """A merge patch, as the API server applies it (RFC 7386)."""
    result = dict(into)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            before = result.get(key)
            result[key] = merged(before if isinstance(before, dict) else {}, value)
        else:
            result[key] = value
    return result


def test_break_glass_switches_all_fleets_of_the_redis_at_once_and_back_as_they_were() -> None:
    fleets = {
        "a": raw("a", update={"maxSurge": 2, "maxFailures": 5}),
        "b": raw("b", "other"),
        "c": raw("c", redis={"address": "elsewhere:6379"}),
        "d": raw("d", placement={"engine": "native"}),
    }
    there = switches(fleets.values(), "live", "a", undo=False)
    assert [(each.namespace, each.name) for each in there] == [("live", "a"), ("other", "b")]
    switched = {each.name: merged(fleets[each.name], each.patch) for each in there}
    for one in switched.values():
        read = EgressFleetSpec.model_validate(one["spec"])
        assert read.placement.engine == "native"
        assert (read.update.strategy, read.update.max_surge) == ("surge", 100)
    assert switched["a"]["spec"]["update"]["maxFailures"] == 5

    back = switches(switched.values(), "live", "a", undo=True)
    for each in back:
        restored = merged(switched[each.name], each.patch)
        before = EgressFleetSpec.model_validate(fleets[each.name]["spec"])
        assert EgressFleetSpec.model_validate(restored["spec"]) == before
        assert Annotation.BEFORE_BREAK_GLASS not in restored["metadata"]["annotations"]


def test_break_glass_says_what_keeps_it_from_helping() -> None:
    fleets = [raw("a", paused=True), raw("b", replicas=0), raw("c", replicas=2)]
    said = {each.name: each.but for each in switches(fleets, "live", "a", undo=False)}
    assert said == {
        "a": "it is paused: no pod is made until spec.paused is false",
        "b": "it has 0 replicas: scale it up",
        "c": None,
    }


def test_a_fleet_that_was_switched_by_hand_keeps_its_update_on_the_way_back() -> None:
    by_hand = raw("a", placement={"engine": "native"}, update={"maxSurge": 7})
    (back,) = switches([by_hand], "live", "a", undo=True)
    assert merged(by_hand, back.patch)["spec"]["update"] == {"maxSurge": 7}


def test_break_glass_says_what_it_cannot_do() -> None:
    with pytest.raises(CannotBreakGlassError, match="there is no EgressFleet live/x"):
        switches([raw("a")], "live", "x", undo=False)
    with pytest.raises(CannotBreakGlassError, match="EgressFleet live/a cannot be read"):
        switches([raw("a", placement={"engine": "magic"})], "live", "a", undo=False)
    assert switches([raw("a")], "live", "a", undo=True) == [], "it has that engine already"


def test_all_stock_pods_are_made_at_once_and_the_old_ones_go_as_these_are_ready() -> None:
    spec = fleet(3, max_surge=100)
    old = [pod(slot, template="old") for slot in range(3)]
    busy = dict.fromkeys(range(3), 2)
    first = words(plan(observe(spec, old, busy)).actions)
    assert [each for each in first if each.startswith("create")] == [
        "create 3",
        "create 4",
        "create 5",
    ]
    assert not [each for each in first if each.startswith(("drain", "delete"))]

    starting = [pending(slot) for slot in (3, 4, 5)]
    assert not _moves(plan(observe(spec, [*old, *starting], busy)).actions)

    one_ready = [pod(3), *starting[1:]]
    moves = _moves(plan(observe(spec, [*old, *one_ready], {**busy, 3: 0})).actions)
    assert len(moves) == 1
    assert moves[0].startswith("drain")


def _moves(actions: Any) -> list[str]:
    return [each for each in words(actions) if not each.startswith(("mark", "busy", "state"))]


DECLARED: Final = """endpoints:
  - {name: main, addresses: ["redis:6379"], namespaces: [live], default: true}
  - {name: other, addresses: ["elsewhere:6379"], namespaces: [live]}
"""


class OfOneNamespace(KubeServer):
    """Shows its user one namespace alone."""

    async def __aenter__(self) -> OfOneNamespace:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def list_all(self, target: Target, **query: str) -> list[Json]:
        if "/namespaces/" not in target.path:
            raise RefusedError(Reason.ADMISSION_REFUSED, "forbidden")
        if target.path.endswith("/configmaps"):
            return [{"data": {"redis.yaml": DECLARED}}]
        return await super().list_all(target, **query)


def test_the_command_switches_and_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    server = OfOneNamespace()
    path = paths.fleet(FleetKey(Kind.EGRESS_FLEET, "live", "a")).path
    server.put(path, raw("a", replicas=2))
    beside = {name: path.replace("fleets/a", f"fleets/{name}") for name in ("b", "c", "d")}
    for name, redis in (("b", {"ref": "main"}), ("c", {}), ("d", {"ref": "other"})):
        server.put(beside[name], raw(name, redis=redis, replicas=1))

    async def configure(*_: object) -> None:
        pass

    monkeypatch.setattr(login, "configure", configure)
    monkeypatch.setattr(client, "Api", lambda _: server)

    def engine(*more: str) -> tuple[str, str]:
        result = CliRunner().invoke(app, ["break-glass", "a", "-n", "live", *more])
        assert result.exit_code == 0, result.output
        placement = server.objects[path]["spec"].get("placement", {})
        return placement.get("engine", "scheduler"), result.output.splitlines()[0]

    assert engine("--dry-run") == ("scheduler", "live/a would get engine native")
    assert engine() == ("native", "live/a has engine native")
    on_it = {name: "placement" in server.objects[at]["spec"] for name, at in beside.items()}
    assert on_it == {"b": True, "c": True, "d": False}, "one Redis, by whatever words"
    assert engine() == ("native", "nothing to do: all fleets of that Redis have engine native")
    assert engine("--undo") == ("scheduler", "live/a has engine scheduler")
    unknown = CliRunner().invoke(app, ["break-glass", "x", "-n", "live"])
    assert (unknown.exit_code, unknown.output) == (
        1,
        "there is no EgressFleet live/x: name its namespace with -n\n",
    )
