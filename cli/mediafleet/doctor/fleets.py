"""What is wrong with a fleet or pool, from its resource as the API server gives it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from mediafleet.doctor.files import too_dear
from mediafleet.doctor.findings import Finding, Level, Page
from mediafleet.doctor.tested import EGRESS, GO_LIVEPEER
from mediafleet.tools.status_view import alarming, being_deleted
from mediafleet_common.api.ai_worker_pool import AIWorkerPoolSpec
from mediafleet_common.api.container_resources import NEXT_TO_NO_CPU, declared, requested_cpu
from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.fleet import EgressFleetSpec
from mediafleet_common.api.names import Condition, Container, Kind
from mediafleet_common.api.pool.orchestrator_pool import OrchestratorPoolSpec
from mediafleet_common.api.reading import words
from mediafleet_common.formats.quantities import quantity

Raw = Mapping[str, Any]
TESTED: Final = {
    Kind.EGRESS_FLEET: EGRESS,
    Kind.ORCHESTRATOR_POOL: GO_LIVEPEER,
}
_USUAL: Final = (Condition.PROGRESSING, Condition.DRAINING, Condition.PAUSED)
"""Conditions that come and go without anything being wrong."""
_OF_ADDRESSES: Final = (
    Condition.ADDRESS_READY,
    Condition.ADDRESS_VERIFIED,
    Condition.NODES_LISTED,
)
_TAG: Final = re.compile(r":v?(\d{1,4})\.(\d{1,4})[^:/@]{0,40}(?:@[^@]{1,100})?$")


def examine(raw: Raw) -> Iterator[Finding]:
    """Everything about one resource; one finding with level ok when there is nothing."""
    found = tuple(_all(raw))
    yield from found
    if all(each.level is Level.NOTE for each in found):
        yield Finding(Level.OK, name_of(raw), "as it should be")


def name_of(raw: Raw) -> str:
    """Kind, namespace and name."""
    return f"{raw['kind']} {raw['metadata']['namespace']}/{raw['metadata']['name']}"


def _all(raw: Raw) -> Iterator[Finding]:
    who = name_of(raw)
    yield from _status(raw, who)
    yield from _version(raw, who)
    spec = raw.get("spec") or {}
    try:
        if raw["kind"] == Kind.EGRESS_FLEET:
            yield from _egress(EgressFleetSpec.model_validate(spec), who)
        elif raw["kind"] == Kind.ORCHESTRATOR_POOL:
            yield from _pool(OrchestratorPoolSpec.model_validate(spec), who)
        else:
            AIWorkerPoolSpec.model_validate(spec)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(map(str, ("spec", *first["loc"])))
        yield Finding(
            Level.PROBLEM, who, f"{field}: {words(first)}", f"correct {field}", Page.INVALID
        )


def _status(raw: Raw, who: str) -> Iterator[Finding]:
    status = raw.get("status") or {}
    going = being_deleted(raw["metadata"])
    if going is not None:
        fix = "kubectl get it with -o yaml: metadata.finalizers says who has to let it go"
        level = Level.PROBLEM if "finalizer" in going else Level.NOTE
        yield Finding(level, who, going, fix, Page.DELETED)
        return
    if status.get("observedGeneration") != raw["metadata"].get("generation"):
        what = "the operator has not looked at it as it now is"
        fix = "does the operator run, and serve this namespace?"
        yield Finding(Level.PROBLEM, who, what, fix, Page.NOT_LOOKED_AT)
    for each in alarming(status):
        kind = each["type"]
        if kind not in _USUAL:
            what = f"{kind}: {each.get('message', '')}"
            fix = f"docs/runbook.md, reason {each.get('reason', kind)}"
            page = Page.ADDRESS if kind in _OF_ADDRESSES else Page.CONDITION
            yield Finding(Level.PROBLEM, who, what, fix, page)


def _version(raw: Raw, who: str) -> Iterator[Finding]:
    if Kind(raw["kind"]) not in TESTED:
        return
    tested = TESTED[Kind(raw["kind"])]
    image = str((raw.get("spec") or {}).get("image") or "")
    tag = _TAG.search(image)
    if image and tag is None:
        yield Finding(
            Level.NOTE,
            who,
            f"the version of image {image} cannot be told from its tag",
            f"use a tag or tag@digest of {tested.name} {tested}, which the tests are made for",
            Page.VERSION,
        )
    elif tag is not None and (int(tag[1]), int(tag[2])) not in tested:
        yield Finding(
            Level.NOTE,
            who,
            f"{tested.name} {tag[1]}.{tag[2]} is not the version that the tests are made for",
            f"use {tested.name} {tested}, or try this one before you rely on it",
            Page.VERSION,
        )


def together(raws: Sequence[Raw]) -> Iterator[Finding]:
    """What is wrong with several at once: fleets on two databases of one server."""
    by_server: dict[str, dict[int, str]] = {}
    for raw in raws:
        if raw["kind"] == Kind.EGRESS_FLEET:
            redis = (raw.get("spec") or {}).get("redis") or {}
            if redis.get("address"):
                databases = by_server.setdefault(redis["address"], {})
                databases.setdefault(redis.get("db") or 0, name_of(raw))
    for server, databases in sorted(by_server.items()):
        if len(databases) > 1:
            where = ", ".join(f"{name} {databases[name]}" for name in sorted(databases))
            yield Finding(
                Level.PROBLEM,
                f"Redis {server}",
                f"is the Redis of two environments, by database: {where}",
                "pub/sub knows no databases: give each environment a Redis of its own",
                Page.ENVIRONMENTS,
            )


def _egress(spec: EgressFleetSpec, who: str) -> Iterator[Finding]:
    limits = declared(spec.template.spec, Container.EGRESS, "limits")
    yield from _resources(spec.template.spec, Container.EGRESS, "recording", who)
    placement = spec.placement
    cpu = placement.cpu if placement.cpu is not None else quantity(limits.get("cpu"))
    if cpu is not None:
        yield from too_dear(who, placement, spec.accepts or tuple(RequestType), cpu)


def _pool(spec: OrchestratorPoolSpec, who: str) -> Iterator[Finding]:
    yield from _resources(spec.template.spec, Container.NODE, "stream", who)
    most = spec.advertise.max_nodes or "N, at least as many as the pool has nodes"
    yield Finding(
        Level.NOTE,
        who,
        "gateways ignore the list unless they are started with -extraNodes",
        f"start each gateway with -extraNodes {most}",
        Page.EXTRA_NODES,
    )


def _resources(pod_spec: Raw, container: Container, work: str, who: str) -> Iterator[Finding]:
    where = f"container {container} in spec.template"
    if "memory" not in declared(pod_spec, container, "limits"):
        yield Finding(
            Level.NOTE,
            who,
            f"its pods have no memory limit: one {work} may take all memory of its node",
            f"resources.limits.memory of {where}",
            Page.MEMORY,
        )
    cpu = requested_cpu(pod_spec, container)
    if cpu < NEXT_TO_NO_CPU:
        yield Finding(
            Level.NOTE,
            who,
            f"its pods request {cpu:g} CPUs: on a full node a {work} waits for all that request "
            "more",
            f"resources.requests.cpu of {where}: what a pod needs while it works",
            Page.CPU,
        )
