"""The pod of an EgressFleet: stock livekit/egress, its config merged by an init container.

Config names: livekit/egress pkg/config/base.go and service.go, livekit/protocol redis/redis.go.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from mediafleet_common.api.egress.fleet import EgressFleetSpec
from mediafleet_common.api.egress.placement import Placement, PlacementEngine
from mediafleet_common.api.egress.redis import RedisSpec
from mediafleet_common.api.names import Container, Port
from mediafleet_common.api.shared import SecretKey
from mediafleet_operator.manifests.overlay import InvalidTemplateError, Manifest
from mediafleet_operator.manifests.parts import container, identity, mount

USER_CONFIG: Final = "/mediafleet/user"
RUN: Final = "/mediafleet/run"
CA_FOLDER: Final = "/mediafleet/redis"
CPU_REQUEST: Final = "LIVEKIT_CPU_REQUEST"
CONFIG_BODY: Final = "EGRESS_CONFIG_BODY"
_OVERRIDES: Final = (CONFIG_BODY, CPU_REQUEST)
"""What in a pod's environment goes before its config, or before what the desk counts."""
HOME: Final = "/home/egress"
"""Where the egress image keeps recordings under way, Chrome's profile and PulseAudio's socket."""


def pod_spec(spec: EgressFleetSpec, image: str, pull_policy: str | None) -> Manifest:
    """Our part of the pod's spec. `image` is the product's."""
    volumes: list[Manifest] = [
        # In memory: the merged config holds the Redis password and storage keys.
        {"name": "mediafleet-run", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {"name": "mediafleet-home", "emptyDir": {}},
        {"name": "mediafleet-tmp", "emptyDir": {}},
    ]
    config_mounts = [mount("mediafleet-run", RUN), mount("mediafleet-home", HOME)]
    if spec.egress_config is not None:
        volumes.append({"name": "mediafleet-user", **_user_config(spec)})
        config_mounts.append(mount("mediafleet-user", USER_CONFIG, read_only=True))
    config = container(
        Container.CONFIG.value,
        image,
        pull_policy,
        args=["egress-config", "--in", f"{USER_CONFIG}/config.yaml", "--out", f"{RUN}/config.yaml"],
        env=[*identity(), *_config_env(spec)],
        # A pod requests at least what each of its init containers does: no more than small workers.
        resources={"requests": {"cpu": "10m", "memory": "32Mi"}},
        volumeMounts=config_mounts,
    )
    egress_mounts = [
        mount("mediafleet-run", RUN, read_only=True),
        mount("mediafleet-home", HOME),
        mount("mediafleet-tmp", "/tmp"),
    ]
    if spec.redis.ca_secret is not None:
        volumes.append({"name": "mediafleet-redis-ca", **_ca(spec.redis.ca_secret)})
        egress_mounts.append(mount("mediafleet-redis-ca", CA_FOLDER, read_only=True))
    egress = container(
        Container.EGRESS.value,
        spec.image,
        None,
        env=[
            {"name": "EGRESS_CONFIG_FILE", "value": f"{RUN}/config.yaml"},
            {"name": "HOME", "value": HOME},
            *identity(),
        ],
        ports=[
            {"name": "metrics", "containerPort": Port.EGRESS_METRICS, "protocol": "TCP"},
            {"name": "health", "containerPort": Port.EGRESS_HEALTH, "protocol": "TCP"},
        ],
        readinessProbe={
            "httpGet": {"path": "/", "port": Port.EGRESS_HEALTH},
            "periodSeconds": 2,
            "timeoutSeconds": 2,
            "failureThreshold": 3,
        },
        volumeMounts=egress_mounts,
    )
    return {"initContainers": [config], "containers": [egress], "volumes": volumes}


def refuse_another_cpu_count(pod_spec: Manifest, placement: Placement) -> None:
    """A pod must count the CPUs that the desk counts.

    Source: livekit/protocol utils/hwstats: LIVEKIT_CPU_REQUEST goes before what the system says.

    Raises:
        InvalidTemplateError: with the field and the fix.
    """
    env = [
        each
        for container in pod_spec["containers"]
        if container["name"] == Container.EGRESS
        for each in container.get("env") or []
        if each["name"] == CPU_REQUEST
    ]
    if not env or placement.engine is PlacementEngine.NATIVE:
        return
    try:
        same = placement.cpu is not None and float(env[-1].get("value")) == placement.cpu
    except (TypeError, ValueError):
        same = False
    if not same:
        raise InvalidTemplateError(
            f"spec.template.spec.containers[egress].env {CPU_REQUEST}",
            "overrides how many CPUs a pod counts, and the desk would count others",
            "set spec.placement.cpu to the same number, or take it out and set limits.cpu",
        )


def without_env_from(pod_spec: Manifest, placement: Placement) -> Manifest:
    """The pod with nothing from `envFrom` in place of the merged config or of its CPU count.

    Nobody here can read what that brings. A name in `env` goes before it, and an empty value is as
    none. Source: livekit/egress cmd/server/main.go, livekit/protocol utils/hwstats.
    """
    names = (CONFIG_BODY,) if placement.engine is PlacementEngine.NATIVE else _OVERRIDES
    return {
        **pod_spec,
        "containers": [
            {**each, "env": _emptied(each.get("env") or [], names)}
            if each["name"] == Container.EGRESS and each.get("envFrom")
            else each
            for each in pod_spec["containers"]
        ],
    }


def _emptied(env: list[Manifest], names: Sequence[str]) -> list[Manifest]:
    own = {each["name"] for each in env}
    return [*env, *({"name": name, "value": ""} for name in names if name not in own)]


def settings(spec: EgressFleetSpec) -> dict[str, Any]:
    """The part of the egress config that is mediafleet's; the desk reckons with the same."""
    placement = spec.placement
    return {
        **_native(placement),
        "redis": _redis(spec.redis),
        "health_port": Port.EGRESS_HEALTH,
        "prometheus_port": Port.EGRESS_METRICS,
        "cpu_cost": placement.egress_costs(),
    }


def _native(placement: Placement) -> dict[str, Any]:
    """For upstream's auction: an empty topic, which is where livekit-server calls, and how to bid.

    Source: livekit/egress pkg/config/service.go, and its pull request 1209.
    """
    if placement.engine is not PlacementEngine.NATIVE:
        return {}
    return {"cluster_id": "", "affinity_mode": placement.mode.value}


def _redis(redis: RedisSpec) -> dict[str, Any]:
    block: dict[str, Any] = {"db": redis.db}
    if redis.address:
        block["address"] = redis.address
    if redis.username:
        block["username"] = redis.username
    if redis.tls:
        # `use_tls` is the deprecated way to say the same, which older releases know.
        tls: dict[str, Any] = {"enabled": True}
        if redis.ca_secret is not None:
            tls["ca_cert_file"] = f"{CA_FOLDER}/ca.crt"
        block |= {"use_tls": True, "tls": tls}
    if redis.sentinel:
        block["sentinel_master_name"] = redis.sentinel.master_name
        block["sentinel_addresses"] = redis.sentinel.addresses
        if redis.sentinel.username:
            block["sentinel_username"] = redis.sentinel.username
    if redis.cluster:
        block["cluster_addresses"] = redis.cluster.addresses
    return block


def _config_env(spec: EgressFleetSpec) -> list[Manifest]:
    env: list[Manifest] = [
        {"name": "MEDIAFLEET_EGRESS_CONFIG", "value": json.dumps(settings(spec), sort_keys=True)},
        {"name": "MEDIAFLEET_EGRESS_HOME", "value": HOME},
    ]
    sentinel = spec.redis.sentinel
    secrets = {
        "MEDIAFLEET_REDIS_PASSWORD": spec.redis.password_secret,
        "MEDIAFLEET_REDIS_SENTINEL_PASSWORD": sentinel.password_secret if sentinel else None,
    }
    for name, secret in secrets.items():
        if secret is not None:
            reference = {"name": secret.name, "key": secret.key}
            env.append({"name": name, "valueFrom": {"secretKeyRef": reference}})
    return env


def _ca(secret: SecretKey) -> Manifest:
    items = [{"key": secret.key, "path": "ca.crt"}]
    return {"secret": {"secretName": secret.name, "items": items}}


def _user_config(spec: EgressFleetSpec) -> Manifest:
    config = spec.egress_config
    if config is None or (config.secret is None and config.config_map is None):
        return {"emptyDir": {}}
    if config.secret is not None:
        items = [{"key": config.secret.key, "path": "config.yaml"}]
        return {"secret": {"secretName": config.secret.name, "items": items}}
    assert config.config_map is not None
    items = [{"key": config.config_map.key, "path": "config.yaml"}]
    return {"configMap": {"name": config.config_map.name, "items": items}}
