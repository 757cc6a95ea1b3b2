"""Fleets of stand-in workers, as manifests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mediafleet_common.api.names import API_VERSION, Kind, Label

IMAGE: Final = "mediafleet-testbed:dev"
CONTROL_PORT: Final = 7000
"""Where a stand-in node is told of sessions, as gateways tell a real one by segments."""
SETTLE_SECONDS: Final = 2.0
DRAIN_TIMEOUT_SECONDS: Final = 600.0
REVISION: Final = "revision"
"""Label of pods that says which change of the template they are made from."""
LITTLE_CPU: Final = "20m"
"""Without a request a pod gets next to nothing of a CPU that others want."""
_DRAIN: Final = {"settle": f"{SETTLE_SECONDS:g}s", "timeout": f"{DRAIN_TIMEOUT_SECONDS:g}s"}
_STANDIN: Final = ("python", "-m")


ONLY_SLOT_1: Final = {"fieldRef": {"fieldPath": f"metadata.labels['{Label.SLOT}']"}}
"""Value of a switch that is on in slot 1 alone."""


def egress_fleet(
    name: str,
    redis: str | Mapping[str, str],
    replicas: int,
    *,
    env: Mapping[str, Any] | None = None,
    cpu: str = LITTLE_CPU,
    **spec: Any,
) -> dict[str, Any]:
    """An EgressFleet of stand-in workers at the address of a Redis, or with that `spec.redis`;
    `spec` wins over what is set here. `cpu` is what each requests.

    A value of `env` may also be where the value comes from.
    """
    settings = {"STANDIN_IO": "publish", "STANDIN_CPUS": "16", **(env or {})}
    variables = [
        {"name": name, "value" if isinstance(value, str) else "valueFrom": value}
        for name, value in settings.items()
    ]
    worker = _worker("egress", 1, cpu, env=variables)
    return _resource(
        Kind.EGRESS_FLEET,
        name,
        {
            "replicas": replicas,
            "image": IMAGE,
            "redis": {"address": redis} if isinstance(redis, str) else redis,
            "placement": {"mode": "spread", "cpu": 16},
            "template": _template(worker, grace=20),
            "drain": _DRAIN,
            **spec,
        },
    )


def orchestrator_pool(name: str, replicas: int, **spec: Any) -> dict[str, Any]:
    """An OrchestratorPool of stand-in nodes; `spec` wins over what is set here."""
    flags = ("-network=offchain", "-orchestrator", "-transcoder")
    worker = _worker("node", 1, LITTLE_CPU)
    return _resource(
        Kind.ORCHESTRATOR_POOL,
        name,
        {
            "replicas": replicas,
            "image": IMAGE,
            "args": [*flags, f"-standinControl=0.0.0.0:{CONTROL_PORT}"],
            "advertise": {"replicas": 1},
            "template": _template(worker, grace=2),
            "drain": _DRAIN,
            **spec,
        },
    )


def ai_worker_pool(name: str, replicas: int, **spec: Any) -> dict[str, Any]:
    """An AIWorkerPool whose one model nobody runs; `spec` wins over what is set here.

    Its certificate and secret need not be there where kwok plays the kubelet.
    """
    runner = {"name": "runner", "image": IMAGE, "imagePullPolicy": "Never"}
    return _resource(
        Kind.AI_WORKER_POOL,
        name,
        {
            "replicas": replicas,
            "models": [{"pipeline": "audio-to-text", "model": "a/model"}],
            "secret": {"name": "broker", "key": "secret"},
            "template": _template(runner, grace=20),
            "drain": _DRAIN,
            **spec,
        },
    )


def revised(revision: int) -> dict[str, Any]:
    """A merge patch of a resource that changes its template."""
    labels = {REVISION: str(revision)}
    return {"spec": {"template": {"metadata": {"labels": labels}}}}


def _resource(kind: Kind, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": kind.value,
        "metadata": {"name": name},
        "spec": spec,
    }


def _worker(kind: str, probe_seconds: int, cpu: str, **more: Any) -> dict[str, Any]:
    return {
        "name": kind,
        "imagePullPolicy": "Never",
        "command": [*_STANDIN, f"mediafleet_testbed.standins.{kind}"],
        # Nothing is known of a pod that is not Ready: look often, since that is what is timed.
        "readinessProbe": {"periodSeconds": probe_seconds},
        "resources": {"requests": {"cpu": cpu}},
        **more,
    }


def _template(worker: dict[str, Any], grace: int) -> dict[str, Any]:
    return {
        "metadata": {"labels": {REVISION: "0"}},
        "spec": {"terminationGracePeriodSeconds": grace, "containers": [worker]},
    }
