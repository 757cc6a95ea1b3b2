"""What is wrong with what the chart has installed: Deployments, Services, certificates. Pure."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509

from mediafleet.doctor.findings import Finding, Level, Page, Unread

Raw = Mapping[str, Any]
RENEW_DAYS: Final = 14
RESTARTS: Final = 3
_OF_SERVICE: Final = "kubernetes.io/service-name"


def deployments(found: Sequence[Raw] | Unread) -> Iterator[Finding]:
    """Whether as many pods are Ready as wanted, of one image."""
    if isinstance(found, Unread):
        yield Finding(Level.UNKNOWN, "Deployments", found.why, page=Page.NOT_EXAMINED)
        return
    for each in found:
        space, name = each["metadata"]["namespace"], each["metadata"]["name"]
        who = f"Deployment {space}/{name}"
        wanted = (each.get("spec") or {}).get("replicas", 1)
        ready = (each.get("status") or {}).get("readyReplicas") or 0
        what = f"{ready} of {wanted} pods are Ready"
        if ready < wanted:
            fix = f"kubectl -n {space} describe pods, and logs, of {name}"
            level = Level.PROBLEM if not ready else Level.NOTE
            yield Finding(level, who, what, fix, Page.DEPLOYMENT)
        else:
            yield Finding(Level.OK, who, what)
    images = {image for each in found for image in _images(each)}
    if len(images) > 1:
        what = f"run different images: {', '.join(sorted(images))}"
        fix = "finish the upgrade: helm upgrade"
        yield Finding(Level.NOTE, "Deployments", what, fix, Page.IMAGES)


def _images(deployment: Raw) -> list[str]:
    return [each["image"] for each in deployment["spec"]["template"]["spec"]["containers"]]


def restarts(pods: Sequence[Raw] | Unread) -> Iterator[Finding]:
    """Containers that end again and again."""
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
                Page.RESTARTS,
            )


def services(slices: Sequence[Raw] | Unread) -> Iterator[Finding]:
    """Services behind which no pod is Ready: their ports lead nowhere."""
    if isinstance(slices, Unread):
        yield Finding(Level.UNKNOWN, "Services", slices.why, page=Page.NOT_EXAMINED)
        return
    ready: dict[tuple[str, str], int] = defaultdict(int)
    for each in slices:
        meta = each["metadata"]
        name = (meta.get("labels") or {}).get(_OF_SERVICE)
        if name is not None:
            ends = each.get("endpoints") or ()
            ready[meta["namespace"], name] += sum(map(_serves, ends))
    for (space, name), count in sorted(ready.items()):
        if not count:
            yield Finding(
                Level.PROBLEM,
                f"Service {space}/{name}",
                "no Ready pod stands behind it, so its ports lead nowhere",
                f"kubectl -n {space} get pods,endpointslices; see why its pods are not Ready",
                Page.SERVICE,
            )


def _serves(endpoint: Raw) -> bool:
    # Absent is Ready: discovery.k8s.io/v1, EndpointConditions.
    return (endpoint.get("conditions") or {}).get("ready") is not False


def certificates(found: Sequence[Raw] | Unread, now: float) -> Iterator[Finding]:
    """Until when they are valid."""
    if isinstance(found, Unread):
        yield Finding(Level.UNKNOWN, "certificates", found.why, page=Page.NOT_EXAMINED)
        return
    for each in found:
        who = f"certificate {each['metadata']['namespace']}/{each['metadata']['name']}"
        try:
            ends = x509.load_pem_x509_certificate(_pem(each)).not_valid_after_utc
        except ValueError as error:
            what = f"cannot be read: {error}"
            fix = "delete the Secret; then helm upgrade makes a new one"
            yield Finding(Level.PROBLEM, who, what, fix, Page.CERTIFICATE)
            continue
        days = (ends - datetime.fromtimestamp(now, UTC)).total_seconds() / 86400
        if days < RENEW_DAYS:
            what = f"ended {-days:.0f} days ago" if days < 0 else f"ends in {days:.0f} days"
            yield Finding(Level.PROBLEM, who, what, "helm upgrade renews it", Page.CERTIFICATE)
        else:
            yield Finding(Level.OK, who, f"valid until {ends:%Y-%m-%d}")


def _pem(secret: Raw) -> bytes:
    return base64.b64decode(str((secret.get("data") or {}).get("tls.crt") or ""))
