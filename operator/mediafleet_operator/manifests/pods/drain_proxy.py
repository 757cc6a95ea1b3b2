"""The drain proxy of a go-livepeer node: HAProxy on the node's port, and the node on loopback."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from mediafleet_common.agent.proxy_config import ProxyFiles
from mediafleet_common.api.names import Annotation, Container, Port
from mediafleet_common.api.pool.orchestrator_pool import DrainProxy
from mediafleet_operator.manifests.overlay import Manifest
from mediafleet_operator.manifests.parts import container, mount
from mediafleet_operator.manifests.pods.agent import HOLD

FOLDER: Final = "/mediafleet/proxy"
_VOLUME: Final = "mediafleet-proxy"
VOLUME: Final[Manifest] = {"name": _VOLUME, "emptyDir": {}}
MOUNT: Final = mount(_VOLUME, FOLDER)
NODE: Final = f"127.0.0.1:{Port.BEHIND_PROXY}"
TOLD: Final = {
    "path": "refuse-from",
    "fieldRef": {"fieldPath": f"metadata.annotations['{Annotation.REFUSE_FROM}']"},
}
"""What kubelet keeps in a file for the agent: so that no pod needs a right to ask for it."""
READY: Final = {
    "httpGet": {"path": "/ready", "port": Port.AGENT},
    "periodSeconds": 2,
    "timeoutSeconds": 3,
    "failureThreshold": 3,
}


def proxy(spec: DrainProxy, port: Manifest) -> Manifest:
    """The container; `port` is the one that gateways reach."""
    files = ProxyFiles(Path(FOLDER))
    return container(
        Container.DRAIN_PROXY.value,
        spec.image,
        None,
        # Master and worker, so that it can be told of a drain without an end of connections.
        command=["haproxy", "-W", "-S", f"{files.socket},mode,600", "-f", str(files.config)],
        ports=[port],
        resources={"requests": {"cpu": "50m", "memory": "64Mi"}},
        volumeMounts=[MOUNT],
        lifecycle=HOLD,
    )


def config(image: str, pull_policy: str | None, port: int, *, origins: bool = False) -> Manifest:
    """The init container that writes what it starts with. `image` is the product's.

    `origins`: whether the proxy is to know which networks streams come from.
    """
    args = ["proxy-config", "--out", FOLDER, "--listen", f"0.0.0.0:{port}", "--node", NODE]
    return container(
        Container.PROXY_CONFIG.value,
        image,
        pull_policy,
        args=[*args, *(["--origins"] if origins else [])],
        resources={"requests": {"cpu": "10m", "memory": "48Mi"}},
        volumeMounts=[MOUNT],
    )
