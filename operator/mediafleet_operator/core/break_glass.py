"""Break-glass: recordings without a desk. Which fleets are switched, and by which patches. Pure.

All fleets of a Redis go to engine native together, since a desk and an auction do not live on one
Redis. As many new pods as the fleet has are made at once; the old ones drain when these are Ready.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from mediafleet_common.api.egress.fleet import EgressFleetSpec
from mediafleet_common.api.egress.placement import PlacementEngine
from mediafleet_common.api.egress.redis import RedisSpec
from mediafleet_common.api.names import Annotation
from mediafleet_common.redises.endpoints import Redises

ALL_AT_ONCE: Final = {"strategy": "surge", "maxSurge": 100}
"""The most that `spec.update.maxSurge` takes."""

Raw = Mapping[str, Any]


class CannotBreakGlassError(ValueError):
    """It cannot be done; the text says why."""


@dataclass(frozen=True, slots=True)
class Switch:
    """What one fleet is to be changed by."""

    namespace: str
    name: str
    patch: dict[str, Any]
    """A merge patch."""
    but: str | None = None
    """What keeps it from helping."""


NOTHING_DECLARED: Final = Redises()


def switches(
    fleets: Iterable[Raw],
    namespace: str,
    name: str,
    *,
    undo: bool,
    redises: Redises = NOTHING_DECLARED,
) -> list[Switch]:
    """What brings the fleets on the Redis of the one named to the other engine.

    Takes EgressFleets as the API server gives them, and what is declared: one fleet may name a
    Redis that another has as its default. Those that have the engine already are left alone.

    Raises:
        CannotBreakGlassError: there is no such fleet, or one cannot be read.
    """
    known = {_key(raw): (raw, _spec(raw)) for raw in fleets}
    if (namespace, name) not in known:
        raise CannotBreakGlassError(
            f"there is no EgressFleet {namespace}/{name}: name its namespace with -n"
        )
    redis = _used(known[namespace, name][1], namespace, redises)
    wanted = PlacementEngine.SCHEDULER if undo else PlacementEngine.NATIVE
    return [
        Switch(*key, _back(raw) if undo else _away(raw), _but(spec))
        for key, (raw, spec) in sorted(known.items())
        if _used(spec, key[0], redises).same_server(redis) and spec.placement.engine is not wanted
    ]


def _used(spec: EgressFleetSpec, namespace: str, redises: Redises) -> RedisSpec:
    """The Redis that a fleet uses; its own words for it where it may not, or nobody knows."""
    found = redises.of(spec.redis, namespace)
    return found if isinstance(found, RedisSpec) else spec.redis


def _but(spec: EgressFleetSpec) -> str | None:
    if spec.paused:
        return "it is paused: no pod is made until spec.paused is false"
    if spec.replicas == 0:
        return "it has 0 replicas: scale it up"
    return None


def _away(raw: Raw) -> dict[str, Any]:
    before = json.dumps(raw["spec"].get("update"), sort_keys=True)
    return {
        "metadata": {"annotations": {Annotation.BEFORE_BREAK_GLASS.value: before}},
        "spec": {"placement": {"engine": PlacementEngine.NATIVE.value}, "update": ALL_AT_ONCE},
    }


def _back(raw: Raw) -> dict[str, Any]:
    """Pod by pod, as `spec.update` said before: while stock pods are there, the desk leaves to them
    what it has no room for."""
    spec: dict[str, Any] = {"placement": {"engine": PlacementEngine.SCHEDULER.value}}
    annotations = raw["metadata"].get("annotations") or {}
    said = annotations.get(Annotation.BEFORE_BREAK_GLASS.value)
    if said is not None:
        before = _read(said)
        # A field that is null in a merge patch goes, and its default counts.
        spec["update"] = {field: before.get(field) for field in ALL_AT_ONCE}
    return {"metadata": {"annotations": {Annotation.BEFORE_BREAK_GLASS.value: None}}, "spec": spec}


def _read(said: str) -> Mapping[str, Any]:
    try:
        before = json.loads(said)
    except ValueError:
        return {}
    return before if isinstance(before, dict) else {}


def _key(raw: Raw) -> tuple[str, str]:
    return raw["metadata"]["namespace"], raw["metadata"]["name"]


def _spec(raw: Raw) -> EgressFleetSpec:
    try:
        return EgressFleetSpec.model_validate(raw.get("spec") or {}, extra="ignore")
    except ValidationError as error:
        namespace, name = _key(raw)
        raise CannotBreakGlassError(f"EgressFleet {namespace}/{name} cannot be read") from error
