"""What a template says of the resources of the container that does the work.

The schema does not cover the inside of a template, so anything may stand there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from mediafleet_common.api.names import Container
from mediafleet_common.formats.quantities import quantity

NEXT_TO_NO_CPU: Final = 0.1
"""Cores. Of a full node a pod that requests less gets next to nothing, and its starts wait."""


def declared(
    pod_spec: object, container: Container, which: Literal["requests", "limits"]
) -> Mapping[str, Any]:
    """Its requests or limits, as they stand in the template; empty where there are none."""
    containers = pod_spec.get("containers") if isinstance(pod_spec, Mapping) else None
    for each in containers if isinstance(containers, list) else ():
        if isinstance(each, Mapping) and each.get("name") == container:
            resources = each.get("resources")
            found = resources.get(which) if isinstance(resources, Mapping) else None
            return found if isinstance(found, Mapping) else {}
    return {}


def requested_cpu(pod_spec: object, container: Container) -> float:
    """Cores that it requests: its limit where it says no request, as Kubernetes takes it.

    A LimitRange of the namespace may give more; that does not stand in the template.
    """
    requests = declared(pod_spec, container, "requests")
    limits = declared(pod_spec, container, "limits")
    return quantity(requests.get("cpu", limits.get("cpu"))) or 0.0
