"""What the chart lets the operator do, and what a call to the API server needs."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

import yaml

from mediafleet_testbed.paths import REPOSITORY

Right = tuple[str, str, str]
"""API group, resource with its subresource, verb."""

_RULES: Final = REPOSITORY / "charts/mediafleet/templates/_rules.tpl"
_OBJECT: Final = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/[^/]+/namespaces/[^/]+/(?P<plural>[^/]+)"
    r"(?:/[^/]+(?:/(?P<part>[^/]+))?)?"
)
LEASE: Final = "coordination.k8s.io"
"""Rights on the Lease are a Role of their own, in the operator's namespace."""


@cache
def granted(component: str = "operator") -> frozenset[Right]:
    """The rights of a component."""
    text = _RULES.read_text(encoding="utf-8")
    start = f'{{{{- define "mediafleet.rules.{component}" -}}}}'
    (rules,) = re.findall(rf"{re.escape(start)}\n(.*?)\{{\{{- end }}\}}", text, re.DOTALL)
    return frozenset(
        (group, resource, verb)
        for rule in yaml.safe_load(rules)
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
