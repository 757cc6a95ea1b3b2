"""A stock `livepeer -aiWorker` in a pod of an AIWorkerPool, behind our worker.

It registers at our worker on loopback, and takes tasks to the runners. Kubernetes starts it again
when our worker says that it has stopped for good, which its process does not show.

Flags: livepeer/go-livepeer cmd/livepeer/starter/flags.go; aiModels.json: core/ai.go there.
"""

from __future__ import annotations

import json
from typing import Final

from mediafleet_common.api.ai_worker_pool import AIWorkerPoolSpec, StockWorker
from mediafleet_common.api.names import Annotation, Container, Port
from mediafleet_operator.manifests.overlay import Manifest
from mediafleet_operator.manifests.parts import container, from_field, mount

_HOME: Final = "/mediafleet/home"
_MODELS: Final = "/mediafleet/models"
_FILE: Final = "aiModels.json"
_REGISTERS_AT: Final = f"127.0.0.1:{Port.STOCK_WORKER}"
_DOCKER: Final = f"127.0.0.1:{Port.DOCKER}"
_PATIENCE_SECONDS: Final = 150
"""It waits up to two minutes for the runners before it registers, and then ends by itself."""
WORKER_ARGS: Final = ("--stock-worker", _REGISTERS_AT, "--docker", _DOCKER)
"""Of our worker."""
WORKER_MOUNT: Final = mount("mediafleet-spool", "/tmp")
"""Of our worker: inputs and results pass through it."""
VOLUMES: Final[tuple[Manifest, ...]] = (
    {"name": "mediafleet-home", "emptyDir": {}},
    {"name": "mediafleet-tmp", "emptyDir": {}},
    {"name": "mediafleet-spool", "emptyDir": {}},
    {
        "name": "mediafleet-ai-models",
        "downwardAPI": {
            "items": [
                {
                    "path": _FILE,
                    "fieldRef": {"fieldPath": f"metadata.annotations['{Annotation.AI_MODELS}']"},
                }
            ]
        },
    },
)


def stock_worker(given: StockWorker) -> Manifest:
    """Its container."""
    return container(
        Container.STOCK_WORKER.value,
        given.image,
        None,
        args=[
            "-aiWorker",
            "-network=offchain",
            f"-orchAddr={_REGISTERS_AT}",
            # Kubernetes writes the value in: nobody outside of the pod reaches that port.
            "-orchSecret=$(POD_UID)",
            f"-aiModels={_MODELS}/{_FILE}",
        ],
        env=[
            {"name": "HOME", "value": _HOME},
            {"name": "DOCKER_HOST", "value": f"tcp://{_DOCKER}"},
            from_field("POD_UID", "metadata.uid"),
        ],
        livenessProbe={
            "httpGet": {"path": "/stock-worker", "port": Port.AGENT},
            "initialDelaySeconds": _PATIENCE_SECONDS,
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 3,
            # The pod's own is as long as a drain may take.
            "terminationGracePeriodSeconds": 30,
        },
        # Not /hold: it is asked before a stopped one is started again, too.
        lifecycle={"preStop": {"httpGet": {"path": "/stock-worker/hold", "port": Port.AGENT}}},
        resources={"requests": {"cpu": "20m", "memory": "96Mi"}},
        volumeMounts=[
            mount("mediafleet-home", _HOME),
            mount("mediafleet-tmp", "/tmp"),
            mount("mediafleet-ai-models", _MODELS, read_only=True),
        ],
    )


def models_file(spec: AIWorkerPoolSpec) -> str:
    """aiModels.json: each model with the URL of its runner in the pod."""
    entries = [
        {
            "pipeline": each.pipeline.value,
            "model_id": each.model,
            "url": f"http://127.0.0.1:{each.port}",
            "capacity": each.capacity,
            "warm": each.warm,
        }
        for each in spec.models
    ]
    return json.dumps(entries, separators=(",", ":"))
