"""The managed head of a pool with `advertise.mode: flag`: a go-livepeer orchestrator that takes no
work and announces the nodes by its own flag, for people who want no process of ours in the path.

Flags: livepeer/go-livepeer cmd/livepeer/starter/flags.go; -serviceAddr none needs -nodes, so a head
without nodes does not run.
"""

from __future__ import annotations

from typing import Any, Final

from mediafleet_common.api.names import Annotation, Container, Port
from mediafleet_common.api.pool.advertise import FlagHead
from mediafleet_common.api.pool.on_chain import Rewards
from mediafleet_common.api.pool.orchestrator_pool import OrchestratorPoolSpec
from mediafleet_common.api.shared import SecretKey
from mediafleet_operator.core.flag_head import Head
from mediafleet_operator.manifests.children.advertiser import owned, selector
from mediafleet_operator.manifests.overlay import InvalidTemplateError, Manifest, lay_over
from mediafleet_operator.manifests.parts import container, identity, takes_connections
from mediafleet_operator.manifests.pods import on_chain, orch_secret, reach
from mediafleet_operator.manifests.pods.agent import CLI_FLAG, HOLD, agent, refuse_open_cli
from mediafleet_operator.manifests.pods.orchestrator import HOME, mounts
from mediafleet_operator.manifests.pods.pod import Product, app_labels, pod_security
from mediafleet_operator.manifests.resource import Resource, grace_seconds

COMPONENT: Final = "head"
OUR_FLAGS: Final = frozenset({"nodes", "serviceAddr", "httpAddr", "cliAddr", "monitor"})


def head_name(pool: str) -> str:
    """Name of the Deployment."""
    return f"{pool}-head"


def pods_selector(pool: str) -> str:
    """The head's pods, as a label selector."""
    return f"app.kubernetes.io/name=mediafleet-{COMPONENT},app.kubernetes.io/instance={pool}"


def manifests(resource: Resource, product: Product, head: Head, sent_at: str) -> list[Manifest]:
    """The head and the Service in front of it. `sent_at`: `head.sent_at` as RFC 3339.

    Raises:
        InvalidTemplateError: advertise.flag has a flag of ours, or its template cannot be laid
            over the pod.
    """
    name, pool = head_name(resource.key.name), resource.key.name
    marks = {
        Annotation.NODES.value: ",".join(head.nodes),
        Annotation.NODES_TOLD.value: sent_at,
    }
    deployment = owned(
        resource, "apps/v1", "Deployment", name, COMPONENT, spec=_spec(resource, product, head)
    )
    deployment["metadata"]["annotations"] = marks
    service = {
        "selector": selector(resource, COMPONENT),
        "ports": [
            {
                "name": "orchestrator",
                "port": Port.ORCHESTRATOR,
                "targetPort": Port.ORCHESTRATOR,
                "protocol": "TCP",
            }
        ],
    }
    return [owned(resource, "v1", "Service", pool, COMPONENT, spec=service), deployment]


def _spec(resource: Resource, product: Product, head: Head) -> dict[str, Any]:
    spec = resource.spec
    assert isinstance(spec, OrchestratorPoolSpec)
    flag = spec.advertise.flag
    over = flag.template
    field = "spec.advertise.flag.template"
    secret = orch_secret.secret_of(resource)
    base = _pod(spec, product, head, secret)
    pod = lay_over(base, over.spec, f"{field}.spec")
    reach.refuse(base, pod, over.metadata.get("annotations", {}), product.allowed, field)
    for each in pod["containers"]:
        if each["name"] == Container.NODE:
            refuse_open_cli(each, field)
            orch_secret.refuse_guessable(each, field)
    labels = app_labels(resource, COMPONENT)
    return {
        "replicas": 1 if head.nodes else 0,
        "selector": {"matchLabels": selector(resource, COMPONENT)},
        # The next one answers before this one goes.
        "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": {
            "metadata": {
                "labels": {**over.metadata.get("labels", {}), **labels},
                "annotations": dict(over.metadata.get("annotations", {})),
            },
            "spec": pod,
        },
    }


def _pod(spec: OrchestratorPoolSpec, product: Product, head: Head, secret: SecretKey) -> Manifest:
    flag, chain = spec.advertise.flag, spec.on_chain
    grace = grace_seconds(spec)
    node = container(
        Container.NODE.value,
        flag.image or spec.image,
        None,
        args=_flags(spec, flag, head),
        env=[
            {"name": "HOME", "value": HOME},
            *(on_chain.environment(chain) if chain else []),
            *identity(),
        ],
        ports=[{"name": "orchestrator", "containerPort": Port.ORCHESTRATOR, "protocol": "TCP"}],
        readinessProbe=takes_connections(Port.ORCHESTRATOR),
        volumeMounts=mounts(spec),
        lifecycle=HOLD,
    )
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace,
        "securityContext": pod_security(),
        "containers": [node, agent(product.image, product.pull_policy, grace)],
        "volumes": [
            {"name": "mediafleet-home", "emptyDir": {}},
            {"name": "mediafleet-tmp", "emptyDir": {}},
            orch_secret.volume(secret),
            *(on_chain.volumes(chain) if chain else []),
        ],
    }


def _flags(spec: OrchestratorPoolSpec, flag: FlagHead, head: Head) -> list[str]:
    chain = spec.on_chain
    for index, each in enumerate(flag.args):
        name = each.lstrip("-").split("=", 1)[0]
        field = on_chain.FLAGS.get(name) if chain is not None else None
        if each.startswith("-") and (name in OUR_FLAGS or field):
            raise InvalidTemplateError(
                f"spec.advertise.flag.args[{index}]",
                f"is -{name}, which mediafleet sets",
                f"set spec.onChain.{field} instead" if field else "leave it out",
            )
    return [
        "-orchestrator",
        "-serviceAddr=none",
        f"-nodes={','.join(head.nodes)}",
        f"-httpAddr=0.0.0.0:{Port.ORCHESTRATOR}",
        CLI_FLAG,
        "-monitor=true",
        orch_secret.FLAG,
        *(on_chain.flags(chain, rewards=chain.rewards is Rewards.HEAD) if chain else []),
        *flag.args,
    ]
