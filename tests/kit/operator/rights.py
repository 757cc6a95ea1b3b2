"""What the chart lets each part do, and what a call to the API server needs."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

import yaml

from mediafleet_testbed.paths import REPOSITORY

Right = tuple[str, str, str]
"""API group, resource with its subresource, verb."""

TABLE: Final = REPOSITORY / "charts/mediafleet/rights.yaml"
_OBJECT: Final = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/[^/]+/namespaces/[^/]+/(?P<plural>[^/]+)"
    r"(?:/[^/]+(?:/(?P<part>[^/]+))?)?"
)
LEASE: Final = "coordination.k8s.io"
"""Rights on the Lease are a Role of their own, in the operator's namespace."""


@cache
def table() -> dict[str, list[dict[str, Any]]]:
    """The chart's table, by part."""
    found: dict[str, list[dict[str, Any]]] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return found


@cache
def granted(part: str = "operator") -> frozenset[Right]:
    """The rights of a part."""
    return of_rules(table()[part])


@cache
def unseen(part: str) -> frozenset[Right]:
    """Those of them that an audit log need not show."""
    return frozenset(
        (group, resource, verb)
        for rule in table()[part]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule.get("unseen", {})
    )


def of_rules(rules: list[dict[str, Any]]) -> frozenset[Right]:
    """The rights that the rules of a Role give."""
    return frozenset(
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    )


def needed(verb: str, path: str) -> set[Right]:
    """The rights that a call needs; `apply` may create and may change."""
    found = _OBJECT.fullmatch(path)
    if found is None or found["group"] == LEASE:
        return set()
    resource = found["plural"] + (f"/{found['part']}" if found["part"] else "")
    verbs = ("create", "patch") if verb == "apply" else (verb,)
    return {(found["group"] or "", resource, each) for each in verbs}
