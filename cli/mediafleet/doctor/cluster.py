"""What is wrong with an installation in a cluster, from what the API server says. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mediafleet.doctor import fleets, installed, keda, processes, rights
from mediafleet.doctor.findings import Finding, Level, Page, Unread
from mediafleet.doctor.tested import KUBERNETES
from mediafleet_common.api.crds import crd
from mediafleet_common.api.names import VERSION, Kind
from mediafleet_common.formats.times import unix

Raw = Mapping[str, Any]
_VERSION: Final = re.compile(r"v?(\d{1,4})\.(\d{1,4})")
_APPLY: Final = "kubectl apply --server-side -f crds/"


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read; an `Unread` says why a fact was not."""

    version: str | Unread
    """Of Kubernetes, e.g. v1.36.3."""
    crds: Mapping[Kind, Raw | Unread | None]
    """`None`: there is none."""
    deployments: Sequence[Raw] | Unread
    """Of the chart."""
    pods: Sequence[Raw] | Unread
    """Of those Deployments."""
    leases: Sequence[Raw] | Unread
    """Named as the operator's, of any namespace."""
    fleets: Sequence[Raw] | Unread
    """EgressFleets, OrchestratorPools and AIWorkerPools, each with its kind."""
    keda: keda.Facts
    certificates: Sequence[Raw] | Unread
    """Secrets of the chart with a TLS certificate."""
    rights: Sequence[rights.Answer] | Unread = ()
    """Of the accounts of the chart's Deployments."""
    endpoints: Sequence[Raw] | Unread = ()
    """EndpointSlices of the chart's Services, and of what the operator makes."""
    scrapes: Sequence[processes.Scrape] = ()
    workers: Sequence[Raw] | Unread = ()
    """Pods of fleets and pools."""


def examine(facts: Facts, now: float) -> Iterator[Finding]:
    """Everything, in the order in which it is repaired; `now` is Unix time."""
    yield from _kubernetes(facts.version)
    for kind, found in facts.crds.items():
        yield from _crd(kind, found)
    yield from rights.examine(facts.rights)
    yield from _operator(facts.leases, now)
    yield from installed.deployments(facts.deployments)
    yield from installed.restarts(facts.pods)
    yield from installed.services(facts.endpoints)
    yield from installed.certificates(facts.certificates, now)
    changed = processes.last_change(() if isinstance(facts.workers, Unread) else facts.workers)
    for scrape in facts.scrapes:
        yield from processes.examine(scrape, changed, now)
    if isinstance(facts.fleets, Unread):
        yield Finding(Level.UNKNOWN, "fleets and pools", facts.fleets.why, page=Page.NOT_EXAMINED)
        return
    yield from keda.examine(facts.keda, facts.fleets)
    yield from fleets.together(facts.fleets)
    for each in facts.fleets:
        yield from fleets.examine(each)
    if not facts.fleets:
        yield Finding(
            Level.NOTE, "fleets and pools", "there are none", "samples/ has some", Page.NO_FLEETS
        )


def _kubernetes(version: str | Unread) -> Iterator[Finding]:
    who = "Kubernetes"
    if isinstance(version, Unread):
        yield Finding(Level.UNKNOWN, who, version.why, page=Page.NOT_EXAMINED)
        return
    found = _VERSION.match(version)
    minor = (int(found[1]), int(found[2])) if found else None
    least = "{}.{}".format(*KUBERNETES.oldest)
    if minor is None or minor < KUBERNETES.oldest:
        fix = f"upgrade to {least} or later"
        what = f"{version} is older than {least}"
        yield Finding(Level.PROBLEM, who, what, fix, Page.KUBERNETES)
    elif minor > KUBERNETES.newest:
        what = "{} is newer than {}.{}, which the tests run on".format(version, *KUBERNETES.newest)
        fix = "try it on a cluster of no importance first"
        yield Finding(Level.NOTE, who, what, fix, Page.KUBERNETES)
    else:
        yield Finding(Level.OK, who, version)


def _crd(kind: Kind, found: Raw | Unread | None) -> Iterator[Finding]:
    who = f"resource {kind}"
    if isinstance(found, Unread):
        yield Finding(Level.UNKNOWN, who, found.why, page=Page.NOT_EXAMINED)
    elif found is None:
        what = "the cluster does not know it"
        yield Finding(Level.PROBLEM, who, what, _APPLY, Page.RESOURCE)
    elif _schema(found) != _schema(crd(kind)):
        what = "its definition is of another version than this command"
        fix = f"{_APPLY}, from the release that runs"
        yield Finding(Level.NOTE, who, what, fix, Page.RESOURCE)
    elif stale := sorted(set(_stored(found)) - {VERSION}):
        what = f"objects may still be stored as {', '.join(stale)}"
        fix = "see docs/versions.md before a release stops to serve that version"
        yield Finding(Level.NOTE, who, what, fix, Page.RESOURCE)
    else:
        yield Finding(Level.OK, who, "known, of this version")


def _schema(raw: Raw) -> object:
    return [each.get("schema") for each in raw["spec"]["versions"]]


def _stored(raw: Raw) -> Sequence[str]:
    return (raw.get("status") or {}).get("storedVersions") or ()


def _operator(leases: Sequence[Raw] | Unread, now: float) -> Iterator[Finding]:
    if isinstance(leases, Unread):
        what = f"its Lease: {leases.why}"
        yield Finding(Level.UNKNOWN, "operator", what, page=Page.NOT_EXAMINED)
        return
    held = [each for each in leases if _held(each["spec"], now)]
    for each in held:
        where, holder = each["metadata"]["namespace"], each["spec"]["holderIdentity"]
        yield Finding(Level.OK, "operator", f"{holder} works, by its Lease in {where}")
    if not held:
        yield Finding(
            Level.PROBLEM,
            "operator",
            "none works: nobody holds its Lease, so pods are not made or deleted",
            "helm install mediafleet charts/mediafleet, or see the log of its Deployment",
            Page.OPERATOR,
        )


def _held(spec: Raw, now: float) -> bool:
    renewed = unix(spec.get("renewTime"))
    lasts = float(spec.get("leaseDurationSeconds") or 0)
    return bool(spec.get("holderIdentity")) and renewed is not None and now < renewed + lasts
