"""What the operator makes for each OrchestratorPool beside its nodes: the advertiser."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from mediafleet_common.api.names import GROUP, PLURALS, Kind, Port
from mediafleet_common.api.pool.advertise import Advertise, secret_file
from mediafleet_common.api.pool.orchestrator_pool import OrchestratorPoolSpec
from mediafleet_common.api.scaling.autoscaling import Engine
from mediafleet_common.api.shared import SecretKey
from mediafleet_operator.manifests.overlay import Manifest
from mediafleet_operator.manifests.parts import container, mount
from mediafleet_operator.manifests.pods import origins
from mediafleet_operator.manifests.pods.pod import Product, app_labels, pod_security
from mediafleet_operator.manifests.resource import Owner, Resource
from mediafleet_operator.manifests.sharing import reporter_url

TLS: Final = "/mediafleet/tls"
SCALER: Final = "/mediafleet/scaler"
PROBE_KEY: Final = "/mediafleet/probe-key"
COMPONENT: Final = "advertiser"
LEAVE_SECONDS: Final = 5


def advertiser_name(pool: str) -> str:
    """Name of the Deployment and of what goes with it."""
    return f"{pool}-advertiser"


def role_rules(pool: str) -> list[Manifest]:
    """What the advertiser of a pool may do in its namespace."""
    plural = PLURALS[Kind.ORCHESTRATOR_POOL]
    return [
        {"apiGroups": [GROUP], "resources": [plural], "verbs": ["list", "watch"]},
        _of_the_pool(pool, plural, "get"),
        _of_the_pool(pool, f"{plural}/status", "patch"),
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
    ]


def _of_the_pool(pool: str, resource: str, verb: str) -> Manifest:
    names = {"resourceNames": [pool], "verbs": [verb]}
    return {"apiGroups": [GROUP], "resources": [resource], **names}


def manifests(resource: Resource, product: Product) -> list[Manifest]:
    """All objects of a pool's advertiser, in the order in which to apply them."""
    name = advertiser_name(resource.key.name)
    rules = role_rules(resource.key.name)
    rbac = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": name, "namespace": resource.key.namespace}
    return [
        owned(resource, "v1", "ServiceAccount", name, automountServiceAccountToken=False),
        owned(resource, f"{rbac}/v1", "Role", name, rules=rules),
        owned(
            resource,
            f"{rbac}/v1",
            "RoleBinding",
            name,
            roleRef={"apiGroup": rbac, "kind": "Role", "name": name},
            subjects=[subject],
        ),
        owned(resource, "v1", "Service", resource.key.name, spec=_service(resource)),
        owned(resource, "apps/v1", "Deployment", name, spec=_deployment(resource, product)),
        owned(
            resource,
            "policy/v1",
            "PodDisruptionBudget",
            name,
            spec={
                "maxUnavailable": 1,
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
                "selector": {"matchLabels": selector(resource)},
            },
        ),
    ]


def owned(
    resource: Owner,
    api_version: str,
    kind: str,
    name: str,
    component: str = COMPONENT,
    **more: Any,
) -> Manifest:
    """An object that belongs to a resource and goes with it."""
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": resource.key.namespace,
            "labels": app_labels(resource, component),
            "ownerReferences": [resource.owner],
        },
        **more,
    }


def selector(resource: Owner, component: str = COMPONENT) -> dict[str, str]:
    """The labels by which the pods of a component are found."""
    wanted = ("app.kubernetes.io/name", "app.kubernetes.io/instance")
    return {key: app_labels(resource, component)[key] for key in wanted}


def _ports(resource: Resource) -> list[tuple[str, int]]:
    """The advertiser's ports: KEDA's only where it scales the pool."""
    ports = [("orchestrator", Port.ORCHESTRATOR), ("http", Port.DESK_HTTP)]
    return [*ports, ("scaler", Port.SCALER)] if _is_scaled_by_keda(resource) else ports


def _is_scaled_by_keda(resource: Resource) -> bool:
    asked = resource.spec.autoscaling
    return asked is not None and asked.engine is Engine.KEDA


def _service(resource: Resource) -> dict[str, Any]:
    return {
        "selector": selector(resource),
        "ports": [
            {"name": name, "port": port, "targetPort": port, "protocol": "TCP"}
            for name, port in _ports(resource)
        ],
    }


def _deployment(resource: Resource, product: Product) -> dict[str, Any]:
    spec = resource.spec
    assert isinstance(spec, OrchestratorPoolSpec)
    name = advertiser_name(resource.key.name)
    args = [
        "advertise",
        "--pool",
        f"{resource.key.namespace}/{resource.key.name}",
        "--listen",
        f"0.0.0.0:{Port.ORCHESTRATOR}",
        "--http",
        f"0.0.0.0:{Port.DESK_HTTP}",
    ]
    for network in product.networks:
        args += ["--allow-network", network]
    args += [part for each in product.report_accounts for part in ("--http-account", each)]
    more = _extras(spec.advertise)
    if _is_scaled_by_keda(resource):
        _add_scaler(more, product.scaler_secret)
    if (told := spec.origins) is not None:
        more.args += origins.teller_options(told, f"{resource.key.namespace}/{resource.key.name}")
        more.volumes += origins.password_volumes(told.redis)
        more.mounts += origins.password_mounts(told.redis)
    if spec.community_metrics is not None:
        url = reporter_url(spec.community_metrics, resource.key.namespace)
        more.args += ["--community-from", url]
    args += more.args

    def probe(path: str, period: int) -> Manifest:
        return {
            "httpGet": {"path": path, "port": Port.DESK_HTTP},
            "periodSeconds": period,
            "timeoutSeconds": 5,
            "failureThreshold": 3,
        }

    desk = container(
        COMPONENT,
        product.image,
        product.pull_policy,
        args=args,
        ports=[
            {"name": name, "containerPort": port, "protocol": "TCP"}
            for name, port in _ports(resource)
        ],
        startupProbe={**probe("/healthz", 2), "failureThreshold": 45},
        livenessProbe=probe("/healthz", 10),
        readinessProbe=probe("/readyz", 2),
        # Gateways are sent here until every node has taken its address off the Service.
        lifecycle={"preStop": {"sleep": {"seconds": LEAVE_SECONDS}}},
        resources={
            "requests": {"cpu": product.advertiser_cpu, "memory": "96Mi"},
            "limits": {"memory": "256Mi"},
        },
        volumeMounts=[mount("tmp", "/tmp"), *more.mounts],
    )
    return {
        "replicas": spec.advertise.replicas,
        "selector": {"matchLabels": selector(resource)},
        "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": {
            "metadata": {"labels": app_labels(resource, COMPONENT)},
            "spec": {
                "serviceAccountName": name,
                "automountServiceAccountToken": True,
                "securityContext": pod_security(),
                "topologySpreadConstraints": [
                    {
                        "maxSkew": 1,
                        "topologyKey": "kubernetes.io/hostname",
                        "whenUnsatisfiable": "ScheduleAnyway",
                        "labelSelector": {"matchLabels": selector(resource)},
                    }
                ],
                "containers": [desk],
                "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}, *more.volumes],
            },
        },
    }


@dataclass(slots=True)
class _Extras:
    """What parts of the resource need in the pod: Secrets and volumes by reference only."""

    args: list[str] = field(default_factory=list)
    volumes: list[Manifest] = field(default_factory=list)
    mounts: list[Manifest] = field(default_factory=list)

    def add(self, name: str, path: str, source: Manifest) -> None:
        self.volumes.append({"name": name, **source})
        self.mounts.append(mount(name, path, read_only=True))


def _add_scaler(more: _Extras, secret: str | None) -> None:
    more.args += ["--scaler", f"0.0.0.0:{Port.SCALER}"]
    if secret is None:
        more.args.append("--scaler-plaintext")
        return
    more.args += ["--scaler-cert", f"{SCALER}/tls.crt", "--scaler-key", f"{SCALER}/tls.key"]
    more.args += ["--scaler-client-ca", f"{SCALER}/ca.crt"]
    more.add("scaler", SCALER, {"secret": {"secretName": secret}})


def _extras(advertise: Advertise) -> _Extras:
    more = _Extras()
    if advertise.tls_secret:
        more.args += ["--tls-cert", f"{TLS}/tls.crt", "--tls-key", f"{TLS}/tls.key"]
        more.add("tls", TLS, {"secret": {"secretName": advertise.tls_secret}})
    if advertise.probe_key_secret is not None:
        more.args += ["--probe-key", f"{PROBE_KEY}/key"]
        more.add("probe-key", PROBE_KEY, _projected((advertise.probe_key_secret, "key")))
    if (database := advertise.region_database) is not None:
        more.args += ["--region-database", f"{origins.REGIONS}/{database.file}"]
        claim = {"claimName": database.claim, "readOnly": True}
        more.add("regions", origins.REGIONS, {"persistentVolumeClaim": claim})
    for source in advertise.sources:
        secrets = [(source.token_secret, "token"), (source.ca_secret, "ca")]
        given = [(secret, path) for secret, path in secrets if secret is not None]
        if given:
            folder = secret_file(source.name, "").rstrip("/")
            more.add(f"source-{source.name}"[:63].rstrip("-"), folder, _projected(*given))
    return more


def _projected(*secrets: tuple[SecretKey, str]) -> Manifest:
    """A volume of single keys, each under the path that is given with it."""
    return {
        "projected": {
            "sources": [
                {"secret": {"name": each.name, "items": [{"key": each.key, "path": path}]}}
                for each, path in secrets
            ]
        }
    }
