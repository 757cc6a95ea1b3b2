"""The nodes of a pool as its advertiser sees them: `GET /nodes` on its HTTP port, as JSON."""

from __future__ import annotations

from mediafleet_common.api.base import Model
from mediafleet_common.api.names import PodState


class NodeReport(Model):
    """A node, and why gateways do not get it."""

    name: str
    """The pod, or the entry of the file or source."""
    url: str
    """As gateways reach it."""
    state: PodState
    """What it is to its pool."""
    source: str | None
    """The source that listed it; null: the pool itself."""
    region: str | None
    """Where it is; null: unknown."""
    sessions: int | None
    """On it; null: unknown."""
    capacity: int | None
    """Sessions it takes at most; null: unknown."""
    full: bool
    """Whether it is known to take no more: then it is listed last."""
    why_not: str | None
    """Why it is not listed; null: it is."""
    detail: str
    """More of that, or what is odd about a node that is listed; any text."""


class PoolNodes(Model):
    """The nodes of one pool."""

    namespace: str
    """Empty: the pool is a file."""
    name: str
    """The pool."""
    nodes: list[NodeReport]
    """Those listed first."""
