"""Where a store takes samples, answers queries and deletes, by one URL of it. Pure.

A single VictoriaMetrics and a Prometheus have all three under one root. VictoriaMetrics' cluster
has the tenant in the URL and a prefix for each (docs.victoriametrics.com, Cluster version, URL
format): /insert/TENANT/prometheus, /select/TENANT/prometheus and /delete/TENANT/prometheus.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

_TENANT: Final = re.compile(r"(.*)/(?:insert|select|delete)/([0-9]+(?::[0-9]+)?)/prometheus")


@dataclass(frozen=True, slots=True)
class Paths:
    """URLs of one store."""

    write: str
    query: str
    delete: str

    @classmethod
    def of(cls, url: str) -> Self:
        """`url`: the root of a single server, or any of the three prefixes of a cluster."""
        root = url.rstrip("/")
        found = _TENANT.fullmatch(root)
        into, out, away = root, root, root
        if found:
            into, out, away = (
                f"{found[1]}/{what}/{found[2]}/prometheus"
                for what in ("insert", "select", "delete")
            )
        return cls(
            f"{into}/api/v1/write",
            f"{out}/api/v1/query_range",
            f"{away}/api/v1/admin/tsdb/delete_series",
        )
