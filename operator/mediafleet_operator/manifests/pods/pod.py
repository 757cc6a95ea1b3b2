"""The pod of a slot, whichever the kind: names, labels, security, and the user's overlay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from mediafleet_common.api.ai_worker_pool import AIWorkerPoolSpec, Broker
from mediafleet_common.api.egress.fleet import EgressFleetSpec
from mediafleet_common.api.names import KIND_LABELS, Annotation, Container, Label, PodState
from mediafleet_common.formats.quantities import quantity
from mediafleet_operator.manifests.overlay import InvalidTemplateError, Manifest, lay_over
from mediafleet_operator.manifests.pods import (
    egress,
    eviction,
    orch_secret,
    orchestrator,
    reach,
)
from mediafleet_operator.manifests.pods.address import Place
from mediafleet_operator.manifests.pods.agent import refuse_open_cli
from mediafleet_operator.manifests.pods.reach import Reach
from mediafleet_operator.manifests.pods.workers import ai_worker
from mediafleet_operator.manifests.resource import Owner, Resource, Spec, grace_seconds

MAX_POD_NAME_CHARACTERS: Final = 63
"""A pod's name is its host name and a label's value."""
USER: Final = 65532


@dataclass(frozen=True, slots=True)
class Product:
    """Our own image, which helpers inside pods and the advertisers run."""

    image: str
    pull_policy: str | None = None
    scaler_secret: str | None = None
    """Secret in a pool's namespace by which an advertiser answers KEDA; `None`: in plaintext."""
    allowed: frozenset[Reach] = frozenset()
    """What templates may reach beyond their pods."""
    networks: tuple[str, ...] = ()
    """Private networks that an advertiser may dial at the word of its pool, sources and head."""
    report_accounts: tuple[str, ...] = ()
    """ServiceAccounts, each NAMESPACE/NAME, that may read what an advertiser reports."""
    vmagent_image: str | None = None
    """What sends for a CommunityMetrics; `None`: vmagent does not."""
    prometheus_image: str | None = None
    """The same with Prometheus' agent."""
    prometheus_agent_flag: str = "--agent"
    """What makes Prometheus an agent; before 3.0 it is --enable-feature=agent."""
    broker: Broker | None = None
    """Where AI workers register that name no broker; `None`: nowhere."""
    advertiser_cpu: str = "100m"
    """What each advertiser requests."""


def pod_name(fleet: str, slot: int) -> str:
    """The one name of a slot's pod, so that a repeated create is refused."""
    return f"{fleet}-{slot}"


def make_pod(resource: Resource, slot: int, product: Product) -> Manifest:
    """The pod to POST for a slot.

    Raises:
        InvalidTemplateError: the template cannot be laid over it, or breaks what we rely on.
    """
    key, spec = resource.key, resource.spec
    name = pod_name(key.name, slot)
    if len(name) > MAX_POD_NAME_CHARACTERS:
        raise InvalidTemplateError(
            "metadata.name",
            f"makes pods such as {name}, longer than {MAX_POD_NAME_CHARACTERS} characters",
            "choose a shorter name",
        )
    if isinstance(spec, EgressFleetSpec):
        base = egress.pod_spec(spec, product.image, product.pull_policy)
    elif isinstance(spec, AIWorkerPoolSpec):
        base = ai_worker.pod_spec(spec, product.broker, product.image, product.pull_policy)
    else:
        place = Place(key.namespace, name, slot, key.name)
        grace = template_grace(spec)
        secret = orch_secret.secret_of(resource)
        base = orchestrator.pod_spec(spec, place, secret, product.image, product.pull_policy, grace)
    base |= _common(grace_seconds(spec))
    template = spec.template
    merged = lay_over(base, template.spec)
    reach.refuse(base, merged, template.metadata.get("annotations", {}), product.allowed)
    _refuse_what_breaks_us(merged)
    if isinstance(spec, EgressFleetSpec):
        egress.refuse_another_cpu_count(merged, spec.placement)
        merged = egress.without_env_from(merged, spec.placement)
    elif isinstance(spec, AIWorkerPoolSpec):
        merged = ai_worker.with_holds(merged)
    else:
        orchestrator.refuse_uncounted_work(spec, merged)
    ours = labels(resource, slot)
    idle = {
        key: value
        for key, value in eviction.for_autoscalers(spec, busy=False).items()
        if value is not None
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": key.namespace,
            "labels": {**template.metadata.get("labels", {}), **ours},
            "annotations": {
                **idle,
                **template.metadata.get("annotations", {}),
                **(ai_worker.read_annotations(spec) if isinstance(spec, AIWorkerPoolSpec) else {}),
                Annotation.WORK_WHEN_READY.value: "true",
            },
            "ownerReferences": [resource.owner],
        },
        "spec": merged,
    }


def template_grace(spec: Spec) -> int:
    """The grace period of a pod in seconds: the template's, or ours."""
    given = spec.template.spec.get("terminationGracePeriodSeconds")
    return given if isinstance(given, int) else grace_seconds(spec)


def problem(resource: Resource, product: Product) -> str | None:
    """Why no pod can be made for a resource, or `None`."""
    try:
        make_pod(resource, 0, product)
    except InvalidTemplateError as error:
        return str(error)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # Whatever the schema lets through is a problem of this resource, and of no other.
        return f"spec.template has a part of another type than in a pod: {error}"
    return None


def labels(resource: Resource, slot: int) -> dict[str, str]:
    """The labels of a new pod."""
    kind = KIND_LABELS[resource.key.kind]
    return {
        Label.KIND.value: kind.value,
        Label.FLEET.value: resource.key.name,
        Label.SLOT.value: str(slot),
        Label.TEMPLATE.value: resource.template_hash,
        Label.STATE.value: PodState.PENDING.value,
        **app_labels(resource, kind.value),
    }


def app_labels(resource: Owner, component: str) -> dict[str, str]:
    """The labels that everything we make for a resource has."""
    return {
        Label.NAME.value: f"mediafleet-{component}",
        Label.INSTANCE.value: resource.key.name,
        Label.COMPONENT.value: component,
        Label.PART_OF.value: "mediafleet",
        Label.MANAGED_BY.value: "mediafleet",
    }


def _common(grace: int) -> dict[str, Any]:
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": grace,
        "securityContext": pod_security(),
    }


def pod_security() -> dict[str, Any]:
    """What the restricted Pod Security level asks of a pod."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _refuse_what_breaks_us(spec: Manifest) -> None:
    if spec.get("restartPolicy") != "Always":
        raise InvalidTemplateError(
            "spec.template.spec.restartPolicy", "is not Always", "leave it out"
        )
    if spec.get("nodeName"):
        raise InvalidTemplateError(
            "spec.template.spec.nodeName",
            "keeps pods on a node even when that is to be emptied",
            "use nodeSelector or affinity",
        )
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        _refuse_no_quantity(container)
        if container["name"] == Container.NODE:
            refuse_open_cli(container)
            orch_secret.refuse_guessable(container)
        names = {each["name"] for each in container.get("env") or []}
        if container["name"] == Container.EGRESS and egress.CONFIG_BODY in names:
            raise InvalidTemplateError(
                "spec.template.spec.containers[egress].env EGRESS_CONFIG_BODY",
                "would win over the config that mediafleet merges",
                "put your config in a Secret and name it in spec.egressConfig",
            )


def _refuse_no_quantity(container: Manifest) -> None:
    """The API server says of these that something is none, and not what."""
    resources = container.get("resources") or {}
    for part in ("limits", "requests"):
        for name, value in (resources.get(part) or {}).items():
            if value is not None and quantity(value) is None:
                raise InvalidTemplateError(
                    f"spec.template.spec.containers[{container['name']}].resources.{part}.{name}",
                    f"is {str(value)[:40]!r} and no quantity",
                    "write for example 500m, 2 or 4Gi",
                )
