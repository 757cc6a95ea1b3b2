"""What is wrong with an installation in a cluster, from what the API server says. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509

from mediafleet.doctor import fleets
from mediafleet.doctor.findings import Finding, Level, Unread
from mediafleet_common.api.crds import crd
from mediafleet_common.api.names import Kind
from mediafleet_common.formats.times import unix

Raw = Mapping[str, Any]
OLDEST_KUBERNETES: Final = (1, 33)
TESTED_KUBERNETES: Final = (1, 36)
RENEW_DAYS: Final = 14
RESTARTS: Final = 3
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
    keda: bool | Unread
    """Whether the cluster knows ScaledObjects."""
    certificates: Sequence[Raw] | Unread
    """Secrets of the chart with a TLS certificate."""


def examine(facts: Facts, now: float) -> Iterator[Finding]:
    """Everything, in the order in which it is repaired; `now` is Unix time."""
    yield from _kubernetes(facts.version)
    for kind, found in facts.crds.items():
        yield from _crd(kind, found)
    yield from _operator(facts.leases, now)
    yield from _deployments(facts.deployments)
    yield from _restarts(facts.pods)
    yield from _certificates(facts.certificates, now)
    if isinstance(facts.fleets, Unread):
        yield Finding(Level.UNKNOWN, "fleets and pools", facts.fleets.why)
        return
    yield from _keda(facts.keda, facts.fleets)
    for each in facts.fleets:
        yield from fleets.examine(each)
    if not facts.fleets:
        yield Finding(Level.NOTE, "fleets and pools", "there are none", "samples/ has some")


def _kubernetes(version: str | Unread) -> Iterator[Finding]:
    if isinstance(version, Unread):
        yield Finding(Level.UNKNOWN, "Kubernetes", version.why)
        return
    found = _VERSION.match(version)
    minor = (int(found[1]), int(found[2])) if found else None
    least = "{}.{}".format(*OLDEST_KUBERNETES)
    if minor is None or minor < OLDEST_KUBERNETES:
        fix = f"upgrade to {least} or later"
        yield Finding(Level.PROBLEM, "Kubernetes", f"{version} is older than {least}", fix)
    elif minor > TESTED_KUBERNETES:
        what = "{} is newer than {}.{}, which the tests run on".format(version, *TESTED_KUBERNETES)
        yield Finding(Level.NOTE, "Kubernetes", what)
    else:
        yield Finding(Level.OK, "Kubernetes", version)


def _crd(kind: Kind, found: Raw | Unread | None) -> Iterator[Finding]:
    who = f"resource {kind}"
    if isinstance(found, Unread):
        yield Finding(Level.UNKNOWN, who, found.why)
    elif found is None:
        yield Finding(Level.PROBLEM, who, "the cluster does not know it", _APPLY)
    elif _schema(found) != _schema(crd(kind)):
        what = "its definition is of another version than this command"
        yield Finding(Level.NOTE, who, what, f"{_APPLY}, from the release that runs")
    else:
        yield Finding(Level.OK, who, "known, of this version")


def _schema(raw: Raw) -> object:
    return [each.get("schema") for each in raw["spec"]["versions"]]


def _operator(leases: Sequence[Raw] | Unread, now: float) -> Iterator[Finding]:
    if isinstance(leases, Unread):
        yield Finding(Level.UNKNOWN, "operator", f"its Lease: {leases.why}")
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
        )


def _held(spec: Raw, now: float) -> bool:
    renewed = unix(spec.get("renewTime"))
    lasts = float(spec.get("leaseDurationSeconds") or 0)
    return bool(spec.get("holderIdentity")) and renewed is not None and now < renewed + lasts


def _deployments(deployments: Sequence[Raw] | Unread) -> Iterator[Finding]:
    if isinstance(deployments, Unread):
        yield Finding(Level.UNKNOWN, "Deployments", deployments.why)
        return
    for each in deployments:
        who = f"Deployment {each['metadata']['namespace']}/{each['metadata']['name']}"
        wanted = (each.get("spec") or {}).get("replicas", 1)
        ready = (each.get("status") or {}).get("readyReplicas") or 0
        if ready < wanted:
            name = each["metadata"]["name"]
            fix = f"kubectl -n {each['metadata']['namespace']} describe pods, and logs, of {name}"
            level = Level.PROBLEM if not ready else Level.NOTE
            yield Finding(level, who, f"{ready} of {wanted} pods are Ready", fix)
        else:
            yield Finding(Level.OK, who, f"{ready} of {wanted} pods are Ready")
    images = {image for each in deployments for image in _images(each)}
    if len(images) > 1:
        what = f"run different images: {', '.join(sorted(images))}"
        yield Finding(Level.NOTE, "Deployments", what, "finish the upgrade: helm upgrade")


def _images(deployment: Raw) -> list[str]:
    return [each["image"] for each in deployment["spec"]["template"]["spec"]["containers"]]


def _restarts(pods: Sequence[Raw] | Unread) -> Iterator[Finding]:
    for each in () if isinstance(pods, Unread) else pods:
        for container in (each.get("status") or {}).get("containerStatuses") or ():
            count = container.get("restartCount", 0)
            if count < RESTARTS:
                continue
            ended = (container.get("lastState") or {}).get("terminated") or {}
            why = f", the last time {ended['reason']}" if ended.get("reason") else ""
            meta, name = each["metadata"], container["name"]
            logs = f"kubectl -n {meta['namespace']} logs {meta['name']}"
            yield Finding(
                Level.PROBLEM,
                f"pod {meta['namespace']}/{meta['name']}",
                f"container {name} started again {count} times{why}",
                f"{logs} -c {name} --previous",
            )


def _certificates(found: Sequence[Raw] | Unread, now: float) -> Iterator[Finding]:
    if isinstance(found, Unread):
        yield Finding(Level.UNKNOWN, "certificates", found.why)
        return
    for each in found:
        who = f"certificate {each['metadata']['namespace']}/{each['metadata']['name']}"
        try:
            ends = x509.load_pem_x509_certificate(_pem(each)).not_valid_after_utc
        except ValueError as error:
            yield Finding(
                Level.PROBLEM, who, f"cannot be read: {error}", "helm upgrade makes a new one"
            )
            continue
        days = (ends - datetime.fromtimestamp(now, UTC)).total_seconds() / 86400
        if days < RENEW_DAYS:
            what = f"ended {-days:.0f} days ago" if days < 0 else f"ends in {days:.0f} days"
            yield Finding(Level.PROBLEM, who, what, "helm upgrade renews it")
        else:
            yield Finding(Level.OK, who, f"valid until {ends:%Y-%m-%d}")


def _pem(secret: Raw) -> bytes:
    import base64

    return base64.b64decode(str((secret.get("data") or {}).get("tls.crt") or ""))


def _keda(known: bool | Unread, found: Sequence[Raw]) -> Iterator[Finding]:
    wanting = [each for each in found if _engine(each) == "keda"]
    if not wanting:
        return
    if isinstance(known, Unread):
        yield Finding(Level.UNKNOWN, "KEDA", known.why)
    elif not known:
        what = f"{fleets.name_of(wanting[0])} has engine keda, and the cluster has no KEDA"
        yield Finding(
            Level.PROBLEM, "KEDA", what, "install KEDA, or set autoscaling.engine builtin"
        )


def _engine(raw: Raw) -> str | None:
    return ((raw.get("spec") or {}).get("autoscaling") or {}).get("engine")
