"""The sidecar of a go-livepeer container, and what it is there for: the container's port that has
metrics also moves money, and its process ends 10 s after SIGTERM whatever it is doing.
"""

from __future__ import annotations

from typing import Final

from mediafleet_common.api.names import Container, Port
from mediafleet_operator.manifests.overlay import InvalidTemplateError, Manifest
from mediafleet_operator.manifests.parts import container

HOLD: Final = {"preStop": {"httpGet": {"path": "/hold", "port": Port.AGENT}}}
"""Kubernetes ends neither container before the agent says that the node is idle."""
CLI_FLAG: Final = f"-cliAddr=127.0.0.1:{Port.NODE_CLI}"


def agent(image: str, pull_policy: str | None, grace: int, *more: str) -> Manifest:
    """The sidecar. `image` is the product's, `grace` the pod's, in seconds; `more` are options."""
    metrics = f"http://127.0.0.1:{Port.NODE_CLI}/metrics"
    args = ["agent", "--metrics", metrics, "--listen", f"0.0.0.0:{Port.AGENT}"]
    return container(
        Container.AGENT.value,
        image,
        pull_policy,
        args=[*args, *more, "--grace", f"{grace}s"],
        ports=[{"name": "agent", "containerPort": Port.AGENT, "protocol": "TCP"}],
        resources={"requests": {"cpu": "10m", "memory": "48Mi"}, "limits": {"memory": "128Mi"}},
        lifecycle=HOLD,
    )


def refuse_open_cli(node: Manifest, template: str = "spec.template") -> None:
    """Refuse a node container, as the user's template left it, whose CLI port is not on loopback.

    Raises:
        InvalidTemplateError: with the field and the fix.
    """
    field = f"{template}.spec.containers[{Container.NODE}]"
    for key in ("command", "args"):
        if not isinstance(node.get(key) or [], list):
            raise InvalidTemplateError(f"{field}.{key}", "is not a list", "write it as '- word'")
    words = [str(each) for each in [*(node.get("command") or []), *(node.get("args") or [])]]
    for index, word in enumerate(words):
        name, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-") and name == "cliAddr":
            value = value if equals else "".join(words[index + 1 : index + 2])
            if value.rpartition(":")[0] not in ("127.0.0.1", "localhost", "[::1]"):
                _refuse(f"{field}.args", f"-cliAddr {value}")
    for each in node.get("env") or []:
        # go-livepeer reads every flag from LP_<FLAG> too (cmd/livepeer/livepeer.go).
        if each.get("name") == "LP_CLIADDR":
            _refuse(f"{field}.env", "LP_CLIADDR")


def _refuse(field: str, what: str) -> None:
    raise InvalidTemplateError(
        field, f"has {what}, and that port moves money without a password", "leave it out"
    )
