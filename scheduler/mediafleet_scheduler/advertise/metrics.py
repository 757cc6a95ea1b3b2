"""What the advertiser desk counts."""

from __future__ import annotations

from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

_FRESHNESS: Final = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 5.0, 10.0, 30.0)


class AdvertiseMetrics:
    """One set per process."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.list_size = Gauge(
            "mediafleet_nodes_list_size", "Nodes listed now.", ["pool"], registry=registry
        )
        self.left_out = Gauge(
            "mediafleet_nodes_left_out",
            "Nodes of the pool that are not listed now, by reason.",
            ["pool", "reason"],
            registry=registry,
        )
        self.list_updates = Counter(
            "mediafleet_nodes_list_updates", "Changes of the list.", ["pool"], registry=registry
        )
        self.listed_seconds = Histogram(
            "mediafleet_node_listed_seconds",
            "From a node's being ready to its being listed.",
            registry=registry,
            buckets=_FRESHNESS,
        )
        self.unlisted_seconds = Histogram(
            "mediafleet_node_unlisted_seconds",
            "From the start of a node's drain to its being off the list.",
            registry=registry,
            buckets=_FRESHNESS,
        )
        self.probes = Counter(
            "mediafleet_node_probes",
            "Pings of nodes, by result and by where: at their address or at their pod.",
            ["result", "place"],
            registry=registry,
        )
        self.unverified = Gauge(
            "mediafleet_nodes_unverified",
            "Nodes whose pod answers and whose address does not, listed or not.",
            ["pool"],
            registry=registry,
        )
        self.load_probes = Counter(
            "mediafleet_node_load_probes",
            "Readings of nodes' metrics, by result; absent: they do not tell the load.",
            ["result"],
            registry=registry,
        )
        self.bad_urls = Counter(
            "mediafleet_node_bad_urls",
            "Nodes that came with a URL that cannot be dialled.",
            registry=registry,
        )
        self.get_orchestrator = Counter(
            "mediafleet_get_orchestrator",
            "GetOrchestrator calls, by result.",
            ["result"],
            registry=registry,
        )
        self.json_lists = Counter(
            "mediafleet_json_lists",
            "Requests for the JSON list, by result.",
            ["result"],
            registry=registry,
        )
        self.gateways = Gauge(
            "mediafleet_gateways",
            "Gateways that have asked in the last ten minutes, by the addresses that they say.",
            registry=registry,
        )
        self.list_age = Gauge(
            "mediafleet_nodes_list_age_seconds",
            "Since the list was last made anew, as any news of a node does; 0 before the first. No "
            "alert: where nothing changes it grows, and all is well.",
            registry=registry,
        )
        self.condition_writes = Counter(
            "mediafleet_condition_writes",
            "Times that conditions were written to the resource, by result.",
            ["result"],
            registry=registry,
        )
        self.head_up = Gauge(
            "mediafleet_head_up",
            "Whether the head that we speak for answers; 0 also where there is none.",
            registry=registry,
        )
