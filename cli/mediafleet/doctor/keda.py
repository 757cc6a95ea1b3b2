"""What is wrong with KEDA, where a fleet is scaled by it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mediafleet.doctor.findings import Finding, Level, Page, Unread
from mediafleet.doctor.tested import KEDA

Raw = Mapping[str, Any]
API: Final = "v1beta1.external.metrics.k8s.io"
_VERSION: Final = re.compile(r"v?(\d{1,4})\.(\d{1,4})")
_WHO: Final = "KEDA"


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read of KEDA."""

    known: bool | Unread
    """Whether the cluster knows ScaledObjects."""
    operators: Sequence[Raw] | Unread = ()
    """Deployments of KEDA's operator."""
    api: Raw | Unread | None = None
    """The APIService by which an HPA asks for metrics; `None`: there is none."""


def examine(facts: Facts, fleets: Sequence[Raw]) -> Iterator[Finding]:
    """Nothing where no fleet asks for it."""
    wanting = [each for each in fleets if _engine(each) == "keda"]
    if not wanting:
        return
    if isinstance(facts.known, Unread):
        yield Finding(Level.UNKNOWN, _WHO, facts.known.why, page=Page.NOT_EXAMINED)
    elif not facts.known:
        first = wanting[0]
        name = f"{first['kind']} {first['metadata']['namespace']}/{first['metadata']['name']}"
        yield Finding(
            Level.PROBLEM,
            _WHO,
            f"{name} has engine keda, and the cluster has no KEDA",
            "install KEDA, or set autoscaling.engine builtin",
            Page.KEDA,
        )
    else:
        yield from _link(facts.api)
        yield from _version(facts.operators)


def _link(api: Raw | Unread | None) -> Iterator[Finding]:
    if isinstance(api, Unread):
        yield Finding(Level.UNKNOWN, _WHO, f"its metrics: {api.why}", page=Page.NOT_EXAMINED)
        return
    conditions = ((api or {}).get("status") or {}).get("conditions") or ()
    bad = [each for each in conditions if (each["type"], each["status"]) == ("Available", "False")]
    if api is None or bad:
        why = bad[0].get("message", "") if bad else "there is none"
        yield Finding(
            Level.PROBLEM,
            _WHO,
            f"its metrics do not reach an HPA: APIService {API}: {why}",
            "see the log of keda-operator-metrics-apiserver",
            Page.KEDA,
        )


def _version(operators: Sequence[Raw] | Unread) -> Iterator[Finding]:
    if isinstance(operators, Unread):
        yield Finding(Level.UNKNOWN, _WHO, f"its version: {operators.why}", page=Page.NOT_EXAMINED)
        return
    for each in operators:
        told = str((each["metadata"].get("labels") or {}).get("app.kubernetes.io/version", ""))
        found = _VERSION.match(told)
        if found is None:
            yield Finding(Level.OK, _WHO, "is there, of a version that it does not tell")
        elif (int(found[1]), int(found[2])) in KEDA:
            yield Finding(Level.OK, _WHO, told)
        else:
            yield Finding(
                Level.NOTE,
                _WHO,
                f"{told} is not a version that the tests run on",
                f"use {KEDA}, or try this one before you rely on it",
                Page.KEDA,
            )


def _engine(raw: Raw) -> str | None:
    return ((raw.get("spec") or {}).get("autoscaling") or {}).get("engine")
