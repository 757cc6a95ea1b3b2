"""The pod of an OrchestratorPool: a go-livepeer node, and beside it the agent that shows its
metrics, since the port that has them also moves money.

Flags: livepeer/go-livepeer cmd/livepeer/starter/flags.go.
"""

from __future__ import annotations

from typing import Final

from mediafleet_common.api.names import Container, Port
from mediafleet_common.api.orchestrator_pool import AddressType, OrchestratorPoolSpec
from mediafleet_operator.manifests import address
from mediafleet_operator.manifests.overlay import InvalidTemplateError, Manifest
from mediafleet_operator.manifests.parts import container, from_field, identity, mount

HOME: Final = "/mediafleet/home"
"""$HOME of the node: its datadir is .lpData below it."""
OUR_FLAGS: Final = frozenset({"serviceAddr", "httpAddr", "cliAddr", "monitor", "maxSessions"})


def pod_spec(
    spec: OrchestratorPoolSpec,
    namespace: str,
    name: str,
    slot: int,
    image: str,
    pull_policy: str | None,
) -> Manifest:
    """Our part of the pod's spec. `image` is the product's.

    Raises:
        InvalidTemplateError: spec.args has a flag that is ours to set.
    """
    _refuse_our_flags(spec)
    port = spec.address.port
    node = container(
        Container.NODE.value,
        spec.image,
        None,
        args=[*_flags(spec, namespace, name, slot), *spec.args],
        env=[
            {"name": "HOME", "value": HOME},
            from_field("POD_IP", "status.podIP"),
            from_field("NODE_NAME", "spec.nodeName"),
            *identity(),
        ],
        ports=[{"name": "orchestrator", "containerPort": port, "protocol": "TCP"}],
        readinessProbe={
            "tcpSocket": {"port": port},
            "periodSeconds": 2,
            "timeoutSeconds": 2,
            "failureThreshold": 3,
        },
        volumeMounts=[mount("mediafleet-home", HOME), mount("mediafleet-tmp", "/tmp")],
    )
    metrics = f"http://127.0.0.1:{Port.NODE_CLI}/metrics"
    agent = container(
        Container.AGENT.value,
        image,
        pull_policy,
        args=["agent", "--metrics", metrics, "--listen", f"0.0.0.0:{Port.AGENT}"],
        ports=[{"name": "agent", "containerPort": Port.AGENT, "protocol": "TCP"}],
        resources={"requests": {"cpu": "10m", "memory": "48Mi"}, "limits": {"memory": "128Mi"}},
    )
    return {
        "containers": [node, agent],
        "volumes": [
            {"name": "mediafleet-home", "emptyDir": {}},
            {"name": "mediafleet-tmp", "emptyDir": {}},
        ],
    }


def _flags(spec: OrchestratorPoolSpec, namespace: str, name: str, slot: int) -> list[str]:
    # Kubernetes fills in $(…) when it starts the container: neither is known before.
    host = "$(POD_IP)" if spec.address.type is AddressType.POD_IP else None
    url = address.url(spec.address, namespace, name, slot, host=host, node="$(NODE_NAME)")
    flags = [
        # Releases up to 0.8 put https:// before it by themselves and know nothing else.
        f"-serviceAddr={(url or '').removeprefix('https://')}",
        f"-httpAddr=0.0.0.0:{spec.address.port}",
        f"-cliAddr=127.0.0.1:{Port.NODE_CLI}",
        "-monitor=true",
    ]
    if spec.sessions.max is not None:
        flags.append(f"-maxSessions={spec.sessions.max}")
    return flags


def _refuse_our_flags(spec: OrchestratorPoolSpec) -> None:
    for index, flag in enumerate(spec.args):
        name = flag.lstrip("-").split("=", 1)[0]
        if flag.startswith("-") and name in OUR_FLAGS:
            fix = {
                "serviceAddr": "set spec.address instead",
                "httpAddr": "set spec.address.port instead",
                "maxSessions": "set spec.sessions.max instead",
            }.get(name, "leave it out")
            raise InvalidTemplateError(
                f"spec.args[{index}]", f"is -{name}, which mediafleet sets", fix
            )
