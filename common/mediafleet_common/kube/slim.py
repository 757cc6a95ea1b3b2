"""Objects of the API server without what nobody here reads. Pure.

Thousands of pods are listed at once; who wrote which field, their volumes, probes and commands are
nine tenths of them.
"""

from __future__ import annotations

from typing import Any, Final

Json = dict[str, Any]
_POD_SPEC: Final = ("nodeName", "readinessGates", "tolerations")
_CONTAINER: Final = ("name", "resources")


def slim(plural: str, raw: Json) -> Json:
    """The object, made smaller in place; of pods what the operator and the desks read."""
    metadata = raw.get("metadata")
    if isinstance(metadata, dict):
        metadata.pop("managedFields", None)
    spec = raw.get("spec")
    if plural == "pods" and isinstance(spec, dict):
        raw["spec"] = _pod_spec(spec)
    return raw


def _pod_spec(spec: Json) -> Json:
    kept: Json = {key: spec[key] for key in _POD_SPEC if key in spec}
    containers = spec.get("containers")
    if isinstance(containers, list):
        kept["containers"] = [
            {key: each[key] for key in _CONTAINER if key in each}
            for each in containers
            if isinstance(each, dict)
        ]
    return kept
