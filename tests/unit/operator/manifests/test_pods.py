"""The pods that are made of a resource, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import pytest

from mediafleet_common.api.egress.fleet import EgressFleetSpec
from mediafleet_common.api.names import Kind
from mediafleet_common.api.pool.orchestrator_pool import OrchestratorPoolSpec
from mediafleet_common.redises.endpoints import RedisEndpoint, Redises
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.manifests.overlay import InvalidTemplateError, lay_over
from mediafleet_operator.manifests.pods import pod as pods_module
from mediafleet_operator.manifests.pods.egress import settings
from mediafleet_operator.manifests.pods.pod import Product, make_pod, problem
from mediafleet_operator.manifests.resource import Resource, fleet_spec, template_hash, with_redis

PRODUCT = Product("ours:1", "Never")


def egress(name: str = "rec", **spec: Any) -> Resource:
    parsed = EgressFleetSpec.model_validate({"redis": {"address": "redis:6379"}, **spec})
    return resource(Kind.EGRESS_FLEET, name, parsed)


def pool(name: str = "orch", **spec: Any) -> Resource:
    return resource(Kind.ORCHESTRATOR_POOL, name, OrchestratorPoolSpec.model_validate(spec))


def resource(kind: Kind, name: str, spec: EgressFleetSpec | OrchestratorPoolSpec) -> Resource:
    return Resource(FleetKey(kind, "media", name), "uid-1", "7", 1, False, spec, None)


def container(pod: dict[str, Any], name: str) -> dict[str, Any]:
    both = [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
    found: dict[str, Any] = next(each for each in both if each["name"] == name)
    return found


def env(pod: dict[str, Any], name: str) -> dict[str, Any]:
    return {
        each["name"]: each.get("value", each.get("valueFrom"))
        for each in container(pod, name)["env"]
    }


def over(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"template": {"spec": {"containers": list(containers), **spec}}}


@pytest.mark.parametrize("one", [egress(), pool()], ids=["egress", "orchestrator"])
def test_a_pod_is_what_the_restricted_level_admits(one: Resource) -> None:
    spec = make_pod(one, 3, PRODUCT)["spec"]

    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    for each in [*spec.get("initContainers", []), *spec["containers"]]:
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_a_pod_is_named_by_its_slot_owned_and_labelled() -> None:
    meta = make_pod(egress(), 3, PRODUCT)["metadata"]

    assert meta["name"] == "rec-3"
    assert meta["ownerReferences"][0]["uid"] == "uid-1"
    assert meta["ownerReferences"][0]["controller"] is True
    assert meta["labels"] == {
        "mediafleet.dev/kind": "egress",
        "mediafleet.dev/fleet": "rec",
        "mediafleet.dev/slot": "3",
        "mediafleet.dev/template": template_hash(egress().spec),
        "mediafleet.dev/state": "pending",
        "app.kubernetes.io/name": "mediafleet-egress",
        "app.kubernetes.io/instance": "rec",
        "app.kubernetes.io/component": "egress",
        "app.kubernetes.io/part-of": "mediafleet",
        "app.kubernetes.io/managed-by": "mediafleet",
    }


def test_the_grace_period_follows_the_drain_timeout() -> None:
    pod = make_pod(egress(drain={"timeout": "90m"}), 0, PRODUCT)

    assert pod["spec"]["terminationGracePeriodSeconds"] == 5400


def test_the_init_container_is_told_what_is_ours_and_the_password_stays_in_its_secret() -> None:
    redis = {"address": "redis:6379", "passwordSecret": {"name": "redis", "key": "password"}}
    pod = make_pod(egress(redis=redis, placement={"cpuCost": {"web": 3}}), 0, PRODUCT)
    told = json.loads(env(pod, "config")["MEDIAFLEET_EGRESS_CONFIG"])

    assert container(pod, "config")["args"] == [
        "egress-config",
        *("--in", "/mediafleet/user/config.yaml", "--out", "/mediafleet/run/config.yaml"),
    ]
    assert told["redis"] == {"address": "redis:6379", "db": 0}
    assert told["cpu_cost"]["web_cpu_cost"] == 3
    assert told["cpu_cost"]["track_cpu_cost"] == 0.5
    assert told["cpu_cost"]["max_cpu_utilization"] == 0.8
    assert told["cpu_cost"]["max_pulse_clients"] == 60
    assert "max_memory" not in told["cpu_cost"], "what the user's config says of memory stays"
    assert (told["prometheus_port"], told["health_port"]) == (9091, 9092)
    secret = {"secretKeyRef": {"name": "redis", "key": "password"}}
    assert env(pod, "config")["MEDIAFLEET_REDIS_PASSWORD"] == secret
    assert "MEDIAFLEET_REDIS_PASSWORD" not in env(pod, "egress")


def test_the_pod_is_told_the_limits_that_the_desk_counts_with() -> None:
    placement = {
        "memory": {"maxGb": 8, "costGb": 0.5},
        "cpuCost": {"sdkAudioRoomComposite": 0.3},
        "maxPulseClients": 20,
    }
    spec = EgressFleetSpec.model_validate({"redis": {"address": "r:1"}, "placement": placement})
    told = settings(spec)["cpu_cost"]
    assert told["max_memory"] == 8
    assert told["memory_cost"] == told["sdk_audio_room_composite_memory_cost"] == 0.5
    assert told["sdk_audio_room_composite_cpu_cost"] == 0.3
    assert told["max_pulse_clients"] == 20


@pytest.mark.parametrize(
    ("redis", "block"),
    [
        (
            {"address": "a:1", "tls": True, "username": "u", "db": 2},
            {"address": "a:1", "db": 2, "username": "u", "use_tls": True, "tls": {"enabled": True}},
        ),
        (
            {"sentinel": {"masterName": "m", "addresses": ["s:1"]}},
            {"db": 0, "sentinel_master_name": "m", "sentinel_addresses": ["s:1"]},
        ),
        ({"cluster": {"addresses": ["c:1"]}}, {"db": 0, "cluster_addresses": ["c:1"]}),
    ],
)
def test_redis_is_written_as_livekit_reads_it(redis: dict[str, Any], block: dict[str, Any]) -> None:
    pod = make_pod(egress(redis=redis), 0, PRODUCT)

    assert json.loads(env(pod, "config")["MEDIAFLEET_EGRESS_CONFIG"])["redis"] == block


def test_an_authority_of_the_fleets_own_is_mounted_where_the_config_says() -> None:
    redis = {"address": "a:1", "tls": True, "caSecret": {"name": "redis", "key": "root.pem"}}
    pod = make_pod(egress(redis=redis), 0, PRODUCT)
    tls = json.loads(env(pod, "config")["MEDIAFLEET_EGRESS_CONFIG"])["redis"]["tls"]
    (folder,) = [
        each["mountPath"]
        for each in container(pod, "egress")["volumeMounts"]
        if each["name"] == "mediafleet-redis-ca"
    ]
    assert tls == {"enabled": True, "ca_cert_file": f"{folder}/ca.crt"}
    items = [{"key": "root.pem", "path": "ca.crt"}]
    volume = {"secretName": "redis", "items": items}
    assert {"name": "mediafleet-redis-ca", "secret": volume} in pod["spec"]["volumes"]


def test_a_pod_is_made_with_the_redis_that_the_name_stands_for() -> None:
    endpoint = RedisEndpoint(name="main", addresses=["redis:6379"], namespaces=["media"])
    password = {"passwordSecret": {"name": "redis", "key": "password"}}
    named = with_redis(egress(redis={"ref": "main"} | password), Redises((endpoint,)))
    written = egress(redis={"address": "redis:6379"} | password)
    assert env(make_pod(named, 0, PRODUCT), "config") == env(
        make_pod(written, 0, PRODUCT), "config"
    )
    assert named.template_hash == written.template_hash, "taking up the name replaces no pod"


def test_a_redis_that_is_not_declared_is_a_problem_of_the_fleet_and_no_other() -> None:
    refused = with_redis(egress(redis={"ref": "main"}), Redises())
    assert "have it declared" in (fleet_spec(refused, None).unmakeable or "")
    assert with_redis(pool(), Redises()).redis_problem is None


@pytest.mark.parametrize(
    ("config", "volume"),
    [
        (
            {"secret": {"name": "mine", "key": "egress.yaml"}},
            {
                "secret": {
                    "secretName": "mine",
                    "items": [{"key": "egress.yaml", "path": "config.yaml"}],
                }
            },
        ),
        (
            {"configMap": {"name": "mine"}},
            {
                "configMap": {
                    "name": "mine",
                    "items": [{"key": "config.yaml", "path": "config.yaml"}],
                }
            },
        ),
    ],
)
def test_the_users_config_is_mounted_in_the_init_container_alone(
    config: dict[str, Any], volume: dict[str, Any]
) -> None:
    pod = make_pod(egress(egressConfig=config), 0, PRODUCT)
    mounted = {each["name"] for each in container(pod, "egress")["volumeMounts"]}

    assert {"name": "mediafleet-user", **volume} in pod["spec"]["volumes"]
    assert "mediafleet-user" not in mounted
    assert "mediafleet-run" in mounted


def test_a_node_is_told_its_own_address_and_shows_its_money_port_to_nobody() -> None:
    pod = make_pod(pool(args=["-network=offchain"], sessions={"max": 4}), 0, PRODUCT)

    assert container(pod, "node")["args"] == [
        "-serviceAddr=$(POD_IP):8935",
        "-httpAddr=0.0.0.0:8935",
        "-cliAddr=127.0.0.1:7935",
        "-monitor=true",
        "-orchSecret=/mediafleet/orch-secret/secret",
        "-maxSessions=4",
        "-network=offchain",
    ]
    assert env(pod, "node")["POD_IP"] == {"fieldRef": {"fieldPath": "status.podIP"}}
    assert container(pod, "agent")["image"] == "ours:1"
    assert container(pod, "agent")["args"] == [
        *("agent", "--metrics", "http://127.0.0.1:7935/metrics", "--listen", "0.0.0.0:7936"),
        *("--load", "transcode", "--node-port", "8935", "--grace", "3600s"),
    ]


def test_a_node_is_ended_only_when_its_agent_says_so_and_so_is_the_agent() -> None:
    load: dict[str, Any] = {
        "load": "url",
        "loadUrl": {"url": "http://127.0.0.1:9000/load", "metric": "jobs"},
    }
    pod = make_pod(
        pool(**load, template={"spec": {"terminationGracePeriodSeconds": 77}}), 0, PRODUCT
    )
    hold = {"preStop": {"httpGet": {"path": "/hold", "port": 7936}}}

    assert [each["lifecycle"] for each in pod["spec"]["containers"]] == [hold, hold]
    assert container(pod, "agent")["args"][-6:] == [
        *("--load-url", "http://127.0.0.1:9000/load", "--load-metric", "jobs"),
        *("--grace", "77s"),
    ]


def test_an_address_template_is_filled_in() -> None:
    address = {"type": "template", "template": "https://{slot}.{namespace}.{nodeName}.example:8935"}
    pod = make_pod(pool(address=address), 5, PRODUCT)

    assert container(pod, "node")["args"][0] == "-serviceAddr=5.media.$(NODE_NAME).example:8935"


def test_the_users_template_is_laid_over_by_name() -> None:
    mine = {
        "name": "egress",
        "resources": {"limits": {"cpu": "4"}},
        "env": [{"name": "HOME", "value": "/mine"}, {"name": "MORE", "value": "1"}],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "securityContext": {"readOnlyRootFilesystem": False},
    }
    sidecar = {"name": "side", "image": "side:1"}
    volumes = [
        {"name": "data", "emptyDir": {}},
        {"name": "mediafleet-home", "persistentVolumeClaim": {"claimName": "x"}},
    ]
    one = egress(**over(mine, sidecar, volumes=volumes, securityContext={"runAsUser": 1001}))
    pod = make_pod(one, 0, PRODUCT)
    worker = container(pod, "egress")

    assert [each["name"] for each in pod["spec"]["containers"]] == ["egress", "side"]
    assert isinstance(one.spec, EgressFleetSpec)
    assert worker["image"] == one.spec.image
    assert worker["resources"] == {"limits": {"cpu": "4"}}
    assert env(pod, "egress")["HOME"] == "/mine"
    assert env(pod, "egress")["EGRESS_CONFIG_FILE"] == "/mediafleet/run/config.yaml"
    assert worker["securityContext"]["readOnlyRootFilesystem"] is False
    assert worker["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["spec"]["securityContext"]["runAsUser"] == 1001
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    homes = [each for each in pod["spec"]["volumes"] if each["name"] == "mediafleet-home"]
    assert homes == [{"name": "mediafleet-home", "persistentVolumeClaim": {"claimName": "x"}}]


def test_the_users_labels_never_replace_ours() -> None:
    labels = {"team": "media", "app.kubernetes.io/managed-by": "other"}
    one = egress(template={"metadata": {"labels": labels, "annotations": {"a": "b"}}})
    meta = make_pod(one, 0, PRODUCT)["metadata"]

    assert meta["labels"]["team"] == "media"
    assert meta["labels"]["app.kubernetes.io/managed-by"] == "mediafleet"
    assert meta["annotations"]["a"] == "b"
    assert meta["annotations"]["mediafleet.dev/work-when-ready"] == "true"


def test_null_takes_a_field_away() -> None:
    pod = make_pod(egress(**over({"name": "egress", "readinessProbe": None})), 0, PRODUCT)

    assert "readinessProbe" not in container(pod, "egress")


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (egress(**over({"image": "x"})), ("containers[0]", "no name")),
        (egress(template={"spec": {"containers": {"egress": {}}}}), ("containers", "list")),
        (
            egress(**over({"name": "egress", "securityContext": "none"})),
            ("securityContext", "object"),
        ),
        (
            egress(
                **over({"name": "egress", "env": [{"name": "EGRESS_CONFIG_BODY", "value": "x"}]})
            ),
            ("EGRESS_CONFIG_BODY", "spec.egressConfig"),
        ),
        (
            egress(
                **over({"name": "egress", "env": [{"name": "LIVEKIT_CPU_REQUEST", "value": "3"}]})
            ),
            ("LIVEKIT_CPU_REQUEST", "spec.placement.cpu"),
        ),
        (
            egress(
                placement={"cpu": 4},
                **over({"name": "egress", "env": [{"name": "LIVEKIT_CPU_REQUEST", "value": "3"}]}),
            ),
            ("LIVEKIT_CPU_REQUEST", "spec.placement.cpu"),
        ),
        (
            egress(**over({"name": "egress", "resources": {"limits": {"cpu": "four"}}})),
            ("containers[egress].resources.limits.cpu", "'four' and no quantity", "500m, 2 or 4Gi"),
        ),
        (
            pool(**over({"name": "x", "image": "x", "resources": {"requests": {"memory": {}}}})),
            ("containers[x].resources.requests.memory", "'{}' and no quantity"),
        ),
        (egress(template={"spec": {"restartPolicy": "Never"}}), ("restartPolicy", "leave it out")),
        (egress(template={"spec": {"nodeName": "n1"}}), ("nodeName", "nodeSelector")),
        (egress("r" * 62), ("metadata.name", "shorter")),
        (pool(args=["--serviceAddr", "x"]), ("spec.args[0]", "spec.address")),
        (pool(args=["-v=6", "-monitor=false"]), ("spec.args[1]", "leave it out")),
        (
            pool(**over({"name": "node", "args": ["-cliAddr", ":7935"]})),
            ("containers[node].args", "-cliAddr :7935", "moves money"),
        ),
        (
            pool(**over({"name": "node", "env": [{"name": "LP_CLIADDR", "value": ":1"}]})),
            ("containers[node].env", "LP_CLIADDR"),
        ),
        (
            pool(address={"type": "template", "template": "https://{pod}:1"}),
            ("spec.address.template", "{slot}"),
        ),
    ],
)
def test_what_cannot_be_made_is_refused_with_the_field_and_the_fix(
    one: Resource, words: tuple[str, ...]
) -> None:
    said = pods_module.problem(one, PRODUCT)

    assert said is not None
    for word in words:
        assert word in said
    assert fleet_spec(one, said).template_problem == said


BASE = egress()
SAME = [
    egress(replicas=9),
    egress(paused=True),
    egress(placement={"mode": "spread"}),
    egress(placement={"cpu": 8}),
    egress(drain={"timeout": "2h", "settle": "9s"}),
    egress(update={"maxSurge": 3}),
    egress(accepts=["track"]),
    egress(template={}),
]
OTHER = [
    egress(image="livekit/egress:v9"),
    egress(redis={"address": "other:6379"}),
    egress(egressConfig={"configMap": {"name": "mine"}}),
    egress(placement={"cpuCost": {"track": 1}}),
    egress(placement={"maxCpuUtilization": 0.9}),
    egress(placement={"maxPulseClients": 30}),
    egress(placement={"memory": {"maxGb": 8}}),
    egress(template={"metadata": {"labels": {"a": "b"}}}),
    egress(**over({"name": "egress", "resources": {"limits": {"cpu": "4"}}})),
]


@pytest.mark.parametrize("one", SAME)
def test_what_does_not_reach_a_pod_does_not_replace_it(one: Resource) -> None:
    assert template_hash(one.spec) == template_hash(BASE.spec)


@pytest.mark.parametrize("one", OTHER)
def test_what_reaches_a_pod_replaces_it(one: Resource) -> None:
    assert template_hash(one.spec) != template_hash(BASE.spec)


def test_pools_are_replaced_for_args_and_address_but_not_for_advertising() -> None:
    base = template_hash(pool().spec)

    assert template_hash(pool(advertise={"maxNodes": 3}).spec) == base
    assert template_hash(pool(load="docker-ai").spec) == base
    # Only an agent that is told to asks the node for them.
    assert template_hash(pool(load="live-runners").spec) != base
    assert template_hash(pool(args=["-v=6"]).spec) != base
    assert template_hash(pool(sessions={"max": 4}).spec) != base
    assert template_hash(pool(address={"port": 9000}).spec) != base


def test_a_new_release_of_the_operator_does_not_replace_pods() -> None:
    labels = [
        make_pod(BASE, 0, Product(image))["metadata"]["labels"] for image in ("ours:1", "ours:2")
    ]

    assert labels[0] == labels[1]


def test_whether_the_cpus_of_a_pod_are_known() -> None:
    limits = over({"name": "egress", "resources": {"limits": {"cpu": "4"}}})

    assert fleet_spec(egress(), None).cpu_declared is False
    assert fleet_spec(egress(placement={"cpu": 4}), None).cpu_declared is True
    assert fleet_spec(egress(**limits), None).cpu_declared is True
    assert fleet_spec(pool(), None).cpu_declared is None
    requests = over({"name": "egress", "resources": {"requests": {"cpu": "2"}}})
    assert fleet_spec(egress(**requests), None).cpu_declared is False
    nonsense = over({"name": "egress", "resources": {"limits": {"cpu": "four"}}})
    assert fleet_spec(egress(**nonsense), None).cpu_declared is False


def test_what_pods_request_for_their_work_is_read_as_kubernetes_takes_it() -> None:
    def asked(resource: Resource) -> float | None:
        return fleet_spec(resource, None).cpu_requested

    def of(name: str, **resources: Any) -> dict[str, Any]:
        return over({"name": name, "resources": resources})

    assert asked(egress()) == 0
    assert asked(egress(**of("egress", requests={"cpu": "50m"}, limits={"cpu": "4"}))) == 0.05
    assert asked(egress(**of("egress", limits={"cpu": 4}))) == 4
    assert asked(egress(**of("egress", requests=["cpu"]))) == 0
    assert asked(pool(**of("node", requests={"cpu": "1"}))) == 1


def test_laying_over_changes_neither() -> None:
    base, top = {"containers": [{"name": "a", "env": []}]}, {"containers": [{"name": "a", "x": 1}]}
    lay_over(base, top)

    assert base == {"containers": [{"name": "a", "env": []}]}
    with pytest.raises(InvalidTemplateError):
        lay_over(base, {"containers": ["a"]})


ODD: Final[tuple[Any, ...]] = (5, "x", [], [5], ["x"], [[]], [{}], {}, {"a": 5}, True)


@pytest.mark.parametrize("where", ["command", "args", "env", "ports", "resources", "lifecycle"])
@pytest.mark.parametrize("make", [egress, pool])
def test_whatever_lies_in_a_template_is_a_problem_of_that_resource_alone(
    make: Callable[..., Resource], where: str
) -> None:
    name = "egress" if make is egress else "node"
    for odd in ODD:
        container = {"name": name, where: odd}
        for spec in ({"containers": [container]}, {where: odd}, {"containers": odd}):
            found = problem(make(template={"spec": spec}), Product("ours"))
            assert found is None or found.startswith("spec.template")


@pytest.mark.parametrize("placement", [{"cpu": 3}, {"engine": "native"}], ids=["same", "native"])
def test_the_cpu_count_of_a_pod_may_be_said_twice(placement: dict[str, Any]) -> None:
    env = [{"name": "LIVEKIT_CPU_REQUEST", "value": "3"}]
    one = egress(placement=placement, **over({"name": "egress", "env": env}))
    assert problem(one, PRODUCT) is None


def from_others(placement: dict[str, Any], **egress_container: Any) -> dict[str, str]:
    """The environment of an egress container that takes more of it from a ConfigMap."""
    made = {"name": "egress", "envFrom": [{"configMapRef": {"name": "mine"}}], **egress_container}
    pod = make_pod(egress(placement=placement, **over(made)), 0, PRODUCT)
    return {each["name"]: each.get("value", "") for each in container(pod, "egress")["env"]}


def test_what_env_from_brings_goes_neither_before_the_config_nor_the_cpu_count() -> None:
    """Nobody can read it, and the pod would count otherwise than the desk, or join no fleet."""
    told = from_others({})
    assert (told["EGRESS_CONFIG_BODY"], told["LIVEKIT_CPU_REQUEST"]) == ("", "")
    said = {"env": [{"name": "LIVEKIT_CPU_REQUEST", "value": "3"}]}
    assert from_others({"cpu": 3}, **said)["LIVEKIT_CPU_REQUEST"] == "3"


def test_how_many_cpus_a_pod_counts_is_its_own_where_no_desk_counts() -> None:
    told = from_others({"engine": "native"})
    assert told["EGRESS_CONFIG_BODY"] == ""
    assert "LIVEKIT_CPU_REQUEST" not in told


def test_an_environment_without_env_from_is_left_as_it_is() -> None:
    names = [each["name"] for each in container(make_pod(egress(), 0, PRODUCT), "egress")["env"]]
    assert not {"EGRESS_CONFIG_BODY", "LIVEKIT_CPU_REQUEST"} & set(names)
