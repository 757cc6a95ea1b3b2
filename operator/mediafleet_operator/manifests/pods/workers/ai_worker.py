"""The pod of an AIWorkerPool: our worker beside the user's ai-runner containers.

The worker takes tasks to the runners by their ports on loopback, or gives them to a stock worker
that does.
"""

from __future__ import annotations

from typing import Final

from mediafleet_common.api.ai_worker_pool import AIWorkerPoolSpec, Broker
from mediafleet_common.api.names import Annotation, Container, Port
from mediafleet_common.api.shared import SecretKey
from mediafleet_operator.manifests.overlay import InvalidTemplateError, Manifest
from mediafleet_operator.manifests.parts import container, identity, mount
from mediafleet_operator.manifests.pods.agent import HOLD
from mediafleet_operator.manifests.pods.workers import stock_worker

_FOLDER: Final = "/mediafleet/secret"
_CA: Final = "/mediafleet/ca"
_READ_BY_GROUP: Final = 0o440


def pod_spec(
    spec: AIWorkerPoolSpec, broker: Broker | None, image: str, pull_policy: str | None
) -> Manifest:
    """Our part of the pod's spec. `broker` is that of the operator's chart, if there is one;
    `image` the product's.

    Raises:
        InvalidTemplateError: nobody says where workers register.
    """
    there = spec.broker or broker
    if there is None:
        raise InvalidTemplateError(
            "spec.broker",
            "is missing, and the operator knows of no broker of its own",
            "name one, or install the chart with broker.enabled",
        )
    args = ["worker", "--broker", there.address, "--secret-file", f"{_FOLDER}/secret"]
    args += ["--pool-pod", "--wait-for-runners", "--http", f"0.0.0.0:{Port.AGENT}"]
    for each in spec.models:
        name = f"{each.pipeline}/{each.model}"
        args += ["--runner", f"{name}*{each.capacity}=http://127.0.0.1:{each.port}"]
        args += [] if each.warm else ["--cold", name]
    if there.server_name is not None:
        args += ["--server-name", there.server_name]
    if there.addresses is not None:
        args += ["--addresses", there.addresses]
    volumes = [_secret("mediafleet-secret", spec.secret, "secret")]
    mounts = [mount("mediafleet-secret", _FOLDER, read_only=True)]
    if spec.ca is not None:
        args += ["--ca", f"{_CA}/ca.crt"]
        volumes.append(_secret("mediafleet-ca", spec.ca, "ca.crt"))
        mounts.append(mount("mediafleet-ca", _CA, read_only=True))
    beside: list[Manifest] = []
    if spec.stock_worker is not None:
        args += stock_worker.WORKER_ARGS
        volumes += stock_worker.VOLUMES
        mounts.append(stock_worker.WORKER_MOUNT)
        beside.append(stock_worker.stock_worker(spec.stock_worker))
    worker = container(
        Container.WORKER.value,
        image,
        pull_policy,
        args=args,
        env=identity(),
        ports=[{"name": "worker", "containerPort": Port.AGENT, "protocol": "TCP"}],
        readinessProbe=_probe("/readyz", 2),
        livenessProbe=_probe("/healthz", 10),
        resources={"requests": {"cpu": "20m", "memory": "96Mi"}},
        volumeMounts=mounts,
        lifecycle=HOLD,
    )
    return {"containers": [worker, *beside], "volumes": volumes}


def read_annotations(spec: AIWorkerPoolSpec) -> dict[str, str]:
    """What the pod's containers read of its annotations."""
    if spec.stock_worker is None:
        return {}
    return {Annotation.AI_MODELS.value: stock_worker.models_file(spec)}


def with_holds(spec: Manifest) -> Manifest:
    """The pod's spec where a runner, too, ends only once the worker has no task.

    Raises:
        InvalidTemplateError: there is no runner.
    """
    workers = (Container.WORKER, Container.STOCK_WORKER)
    runners = [each for each in spec["containers"] if each["name"] not in workers]
    if not runners:
        raise InvalidTemplateError(
            "spec.template.spec.containers",
            "has no runner",
            "add the ai-runner, listening at the port of its models",
        )
    held = [_held(each) for each in spec["containers"]]
    return {**spec, "containers": held}


def _held(each: Manifest) -> Manifest:
    return {**each, "lifecycle": {**HOLD, **(each.get("lifecycle") or {})}}


def _secret(name: str, secret: SecretKey, path: str) -> Manifest:
    items = [{"key": secret.key, "path": path, "mode": _READ_BY_GROUP}]
    return {"name": name, "secret": {"secretName": secret.name, "items": items}}


def _probe(path: str, period: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": Port.AGENT},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": 3,
    }
