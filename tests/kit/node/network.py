"""NetworkPolicies as a cluster that enforces them reads them: who reaches whom. Pure.

Source: https://kubernetes.io/docs/concepts/services-networking/network-policies/. Of peers in an
ipBlock only those outside of the cluster are counted, as some CNIs do.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Policy = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """One end of a connection: a pod, or an address outside of the cluster."""

    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    """Of what is no pod."""


def reaches(
    policies: Sequence[Policy], caller: Place, called: Place, port: int, protocol: str = "TCP"
) -> bool:
    """Whether a connection is let out at one end and in at the other."""
    out = _lets(policies, caller, called, "egress", "to", (port, protocol))
    return out and _lets(policies, called, caller, "ingress", "from", (port, protocol))


def _lets(
    policies: Sequence[Policy],
    here: Place,
    there: Place,
    way: str,
    word: str,
    port: tuple[int, str],
) -> bool:
    if here.address:
        return True
    about = [
        each["spec"]
        for each in policies
        if each["metadata"]["namespace"] == here.namespace
        and _matches(each["spec"]["podSelector"], here.labels)
        and way.capitalize() in each["spec"]["policyTypes"]
    ]
    rules: Iterable[Any] = (rule for spec in about for rule in spec.get(way) or ())
    return not about or any(_rule(rule, word, here, there, port) for rule in rules)


def _rule(rule: Any, word: str, here: Place, there: Place, port: tuple[int, str]) -> bool:
    ports = rule.get("ports")
    if ports and not any((each["port"], each["protocol"]) == port for each in ports):
        return False
    peers = rule.get(word)
    return not peers or any(_peer(each, here, there) for each in peers)


def _peer(peer: Any, here: Place, there: Place) -> bool:
    if "ipBlock" in peer:
        if not there.address:
            return False
        ip = ipaddress.ip_address(there.address)
        block = peer["ipBlock"]
        nets = [ipaddress.ip_network(each) for each in block.get("except", ())]
        return ip in ipaddress.ip_network(block["cidr"]) and not any(ip in net for net in nets)
    if there.address:
        return False
    if "namespaceSelector" in peer:
        name = {"kubernetes.io/metadata.name": there.namespace}
        if not _matches(peer["namespaceSelector"], name):
            return False
    elif there.namespace != here.namespace:
        return False
    return _matches(peer.get("podSelector") or {}, there.labels)


def _matches(selector: Any, labels: Mapping[str, str]) -> bool:
    assert set(selector) <= {"matchLabels"}, selector
    wanted: Mapping[str, str] = selector.get("matchLabels") or {}
    return all(labels.get(key) == value for key, value in wanted.items())
