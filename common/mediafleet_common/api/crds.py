"""CRDs, generated from the models: `python -m mediafleet_common.api.crds DIRECTORY …`.

pydantic's JSON schema becomes the structural schema that Kubernetes wants: references inlined,
`anyOf` with null removed (absent is our null), titles dropped.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import yaml

from mediafleet_common.api.ai_worker_pool import AIWorkerPool
from mediafleet_common.api.base import Model
from mediafleet_common.api.community_metrics import CommunityMetrics
from mediafleet_common.api.egress.fleet import EgressFleet
from mediafleet_common.api.names import (
    CATEGORY,
    FLEET_KINDS,
    GROUP,
    PLURALS,
    SHORT_NAMES,
    VERSION,
    Kind,
)
from mediafleet_common.api.pool.orchestrator_pool import OrchestratorPool

MODELS: Final[dict[Kind, type[Model]]] = {
    Kind.EGRESS_FLEET: EgressFleet,
    Kind.ORCHESTRATOR_POOL: OrchestratorPool,
    Kind.AI_WORKER_POOL: AIWorkerPool,
    Kind.COMMUNITY_METRICS: CommunityMetrics,
}
_READY: Final = ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status')
_AGE: Final = ("Age", "date", ".metadata.creationTimestamp")
_WHY: Final = ("Why", "string", '.status.conditions[?(@.type=="Ready")].message', 1)
_COUNTS: Final = (
    ("Desired", "integer", ".spec.replicas"),
    ("Ready", "integer", ".status.readyReplicas"),
    ("Draining", "integer", ".status.draining"),
)
COLUMNS: Final[dict[Kind, tuple[tuple[Any, ...], ...]]] = {
    Kind.EGRESS_FLEET: (
        ("Mode", "string", ".spec.placement.mode"),
        *_COUNTS,
        ("Jobs", "integer", ".status.jobs"),
        ("OK", *_READY[1:]),
        _AGE,
        _WHY,
    ),
    Kind.ORCHESTRATOR_POOL: (
        *_COUNTS,
        ("Listed", "integer", ".status.listed"),
        ("Sessions", "integer", ".status.sessions"),
        ("MaxSessions", "integer", ".status.maxSessions"),
        ("OK", *_READY[1:]),
        _AGE,
        ("List", "string", ".status.listHash", 1),
        _WHY,
    ),
    Kind.AI_WORKER_POOL: (
        *_COUNTS,
        ("Workers", "integer", ".status.workers"),
        ("InUse", "integer", ".status.inUse"),
        ("Waiting", "integer", ".status.waiting"),
        ("Missed", "integer", ".status.missed"),
        ("OK", *_READY[1:]),
        _AGE,
        _WHY,
    ),
    Kind.COMMUNITY_METRICS: (
        ("Pool", "string", ".spec.pool"),
        ("Region", "string", ".spec.region"),
        ("LastHour", "string", ".status.lastHour"),
        ("Hours", "integer", ".status.hours"),
        ("Left", "boolean", ".status.left"),
        ("OK", *_READY[1:]),
        _AGE,
        ("Accepted", "integer", ".status.accepted", 1),
        ("Rejected", "integer", ".status.rejected", 1),
        _WHY,
    ),
}


def structural(schema: dict[str, Any], definitions: dict[str, Any] | None = None) -> dict[str, Any]:
    """A JSON schema of pydantic's as a Kubernetes structural schema."""
    definitions = schema.get("$defs", {}) if definitions is None else definitions
    schema = {key: value for key, value in schema.items() if key not in ("$defs", "title")}
    if "$ref" in schema:
        target = definitions[schema.pop("$ref").rsplit("/", 1)[1]]
        # What stands beside a reference says more than what stands at its target.
        return structural({**target, **schema}, definitions)
    if "anyOf" in schema:
        options = [option for option in schema.pop("anyOf") if option.get("type") != "null"]
        if len(options) != 1:
            raise ValueError(f"a structural schema cannot say anyOf: {options}")
        return structural({**options[0], **schema}, definitions)
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    if schema.get("default", ...) is None:
        del schema["default"]
    _bounds_as_openapi_3_0(schema)
    if "properties" in schema:
        schema.pop("additionalProperties", None)
        if "default" in schema:
            # The API server fills what lies below by itself; a copy here would go stale.
            schema["default"] = {}
        schema["properties"] = {
            name: structural(part, definitions) for name, part in schema["properties"].items()
        }
    for inner in ("additionalProperties", "items"):
        if isinstance(schema.get(inner), dict):
            schema[inner] = structural(schema[inner], definitions)
    return schema


def _bounds_as_openapi_3_0(schema: dict[str, Any]) -> None:
    """Make exclusive bounds booleans, as OpenAPI 3.0 and so structural schemas have them."""
    for bound in ("Minimum", "Maximum"):
        if (limit := schema.pop(f"exclusive{bound}", None)) is not None:
            schema[bound.lower()] = limit
            schema[f"exclusive{bound}"] = True


_SCALE: Final = {
    "scale": {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
}


def crd(kind: Kind) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind."""
    schema = structural(MODELS[kind].model_json_schema(by_alias=True))
    properties = schema["properties"]
    # The API server brings its own schema of these.
    properties["apiVersion"] = {"type": "string"}
    properties["kind"] = {"type": "string"}
    properties["metadata"] = {"type": "object"}
    if kind is not Kind.ORCHESTRATOR_POOL:
        schema["required"] = ["spec"]
    columns = [
        {
            "name": name,
            "type": type_,
            "jsonPath": path,
            **({"priority": priority[0]} if priority else {}),
        }
        for name, type_, path, *priority in COLUMNS[kind]
    ]
    plural = PLURALS[kind]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{GROUP}",
            "annotations": {"helm.sh/resource-policy": "keep"},
            "labels": {"app.kubernetes.io/part-of": "mediafleet"},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.value,
                "listKind": f"{kind.value}List",
                "plural": plural,
                "singular": kind.value.lower(),
                "shortNames": [SHORT_NAMES[kind]],
                "categories": [CATEGORY],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": columns,
                    "subresources": {"status": {}, **(_SCALE if kind in FLEET_KINDS else {})},
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


class _Dumper(yaml.SafeDumper):
    """Writes every part in full: aliases are legal YAML that few people can read."""

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True


def render() -> dict[str, str]:
    """File name -> text, for every kind."""
    head = "# Generated from mediafleet_common.api by `make crds`; do not edit.\n"
    return {
        f"{PLURALS[kind]}.yaml": head
        + yaml.dump(crd(kind), Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)
        for kind in MODELS
    }


def main(directories: list[str]) -> None:
    """Write the files into each of the directories."""
    for directory in directories:
        Path(directory).mkdir(parents=True, exist_ok=True)
        for name, text in render().items():
            (Path(directory) / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
