"""What the operator makes for a CommunityMetrics: a reporter, and who sends what it shares."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

import yaml

from mediafleet_common.api.names import GROUP, PLURALS, Annotation, Kind, Port
from mediafleet_operator.manifests.children import senders
from mediafleet_operator.manifests.children.advertiser import owned, selector
from mediafleet_operator.manifests.children.senders import CONFIG, KEPT
from mediafleet_operator.manifests.overlay import Manifest
from mediafleet_operator.manifests.parts import container, mount
from mediafleet_operator.manifests.pods import origins
from mediafleet_operator.manifests.pods.pod import Product, app_labels, pod_security
from mediafleet_operator.manifests.sharing import Sharing, reporter_name

COMPONENT: Final = "reporter"
_FILE: Final = "community.yaml"


def manifests(sharing: Sharing, product: Product) -> list[Manifest]:
    """All objects of a reporter, in the order in which to apply them."""
    name = reporter_name(sharing.key.name)
    rbac = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": name, "namespace": sharing.key.namespace}
    port = {
        "name": "http",
        "port": Port.DESK_HTTP,
        "targetPort": Port.DESK_HTTP,
        "protocol": "TCP",
    }

    def ours(api_version: str, kind: str, **more: Any) -> Manifest:
        return owned(sharing, api_version, kind, name, COMPONENT, **more)

    return [
        ours("v1", "ServiceAccount", automountServiceAccountToken=False),
        ours(f"{rbac}/v1", "Role", rules=role_rules()),
        ours(
            f"{rbac}/v1",
            "RoleBinding",
            roleRef={"apiGroup": rbac, "kind": "Role", "name": name},
            subjects=[subject],
        ),
        ours("v1", "ConfigMap", data=_files(sharing, product)),
        *_claim(sharing, name),
        ours(
            "v1",
            "Service",
            spec={"selector": selector(sharing, COMPONENT), "ports": [port]},
        ),
        ours("apps/v1", "Deployment", spec=_deployment(sharing, product)),
    ]


def role_rules() -> list[Manifest]:
    """What a reporter may do in its namespace."""
    watch = ["list", "watch"]
    pools = {"apiGroups": [GROUP], "resources": [PLURALS[Kind.ORCHESTRATOR_POOL]], "verbs": watch}
    return [pools, {"apiGroups": [""], "resources": ["pods"], "verbs": watch}]


def _files(sharing: Sharing, product: Product) -> dict[str, str]:
    spec = sharing.spec
    file = spec.file(senders.metrics(spec, product)).model_dump(mode="json", exclude_none=True)
    return {_FILE: yaml.safe_dump(file, sort_keys=False), **senders.files(spec)}


def _claim(sharing: Sharing, name: str) -> list[Manifest]:
    volume = sharing.spec.volume
    if volume is None:
        return []
    wanted: Manifest = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": volume.size}},
    }
    if volume.storage_class is not None:
        wanted["storageClassName"] = volume.storage_class
    return [owned(sharing, "v1", "PersistentVolumeClaim", name, COMPONENT, spec=wanted)]


def _deployment(sharing: Sharing, product: Product) -> Manifest:
    name, spec = reporter_name(sharing.key.name), sharing.spec
    redis = spec.origins_redis
    files = json.dumps(_files(sharing, product), sort_keys=True).encode()
    kept: Manifest = {"emptyDir": {"sizeLimit": "512Mi"}}
    if spec.volume is not None:
        kept = {"persistentVolumeClaim": {"claimName": name}}
    return {
        "replicas": 1,
        "selector": {"matchLabels": selector(sharing, COMPONENT)},
        # Two at a time would count twice, and write one folder.
        "strategy": {"type": "Recreate"},
        "template": {
            "metadata": {
                "labels": app_labels(sharing, COMPONENT),
                "annotations": {
                    Annotation.CONFIG_HASH.value: hashlib.sha256(files).hexdigest()[:10]
                },
            },
            "spec": {
                "serviceAccountName": name,
                "automountServiceAccountToken": True,
                "enableServiceLinks": False,
                "securityContext": pod_security(),
                "containers": [_reporter(sharing, product), *senders.sidecar(spec, product)],
                "volumes": [
                    {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
                    {"name": "config", "configMap": {"name": name}},
                    {"name": "kept", **kept},
                    *senders.volumes(spec),
                    *([] if redis is None else origins.password_volumes(redis)),
                ],
            },
        },
    }


def _reporter(sharing: Sharing, product: Product) -> Manifest:
    pool = f"{sharing.key.namespace}/{sharing.spec.pool}"
    redis = sharing.spec.origins_redis
    args = [
        "advertise",
        *("--pool", pool, "--report-only"),
        *([] if redis is None else origins.redis_options(redis, pool)),
        *("--http", f"0.0.0.0:{Port.DESK_HTTP}"),
        *("--community", f"{CONFIG}/{_FILE}", "--community-state", f"{KEPT}/state"),
    ]
    args += [part for each in product.report_accounts for part in ("--http-account", each)]

    def probe(path: str, period: int) -> Manifest:
        return {
            "httpGet": {"path": path, "port": Port.DESK_HTTP},
            "periodSeconds": period,
            "timeoutSeconds": 5,
            "failureThreshold": 3,
        }

    return container(
        COMPONENT,
        product.image,
        product.pull_policy,
        args=args,
        ports=[{"name": "http", "containerPort": Port.DESK_HTTP, "protocol": "TCP"}],
        startupProbe={**probe("/healthz", 2), "failureThreshold": 45},
        livenessProbe=probe("/healthz", 10),
        readinessProbe=probe("/readyz", 2),
        resources={"requests": {"cpu": "20m", "memory": "96Mi"}, "limits": {"memory": "256Mi"}},
        volumeMounts=[
            mount("tmp", "/tmp"),
            mount("config", CONFIG, read_only=True),
            mount("kept", KEPT),
            *([] if redis is None else origins.password_mounts(redis)),
        ],
    )
