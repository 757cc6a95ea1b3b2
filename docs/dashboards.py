"""Writes Grafana's dashboards of mediafleet: `python -m docs.dashboards`.

A panel is a title, a unit and queries; a test holds that every query names metrics and labels that
a process of ours exports.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / "charts/mediafleet/monitoring"
_SCHEMA: Final = 39
_SOURCE: Final = {"type": "prometheus", "uid": "${source}"}

Panel = tuple[str, str, dict[str, str]]
"""Title, Grafana's unit, and PromQL by legend."""

DASHBOARDS: Final[dict[str, tuple[Panel, ...]]] = {
    "fleets": (
        ("Pods by state", "short", {"{{fleet}} {{state}}": "mediafleet_fleet_replicas"}),
        ("Jobs", "short", {"{{fleet}}": "max by (fleet) (mediafleet_fleet_jobs)"}),
        ("Free CPUs", "short", {"{{fleet}}": "max by (fleet) (mediafleet_fleet_free_cores)"}),
        (
            "Drains that ended, an hour",
            "short",
            {
                "{{kind}} {{result}}": "sum by (kind, result) "
                "(increase(mediafleet_drains_total[1h]))"
            },
        ),
        ("Jobs lost, an hour", "short", {"{{fleet}}": "increase(mediafleet_jobs_lost_total[1h])"}),
        (
            "Steps of the operator that failed",
            "ops",
            {"{{kind}} {{reason}}": "rate(mediafleet_reconcile_errors_total[5m])"},
        ),
    ),
    "placement": (
        (
            "Placements",
            "ops",
            {"{{type}}": "sum by (type) (rate(mediafleet_placements_total[5m]))"},
        ),
        (
            "From StartEgress to the pod's answer",
            "s",
            {
                "p50": "histogram_quantile(0.5, "
                "sum by (le) (rate(mediafleet_placement_seconds_bucket[5m])))",
                "p99": "histogram_quantile(0.99, "
                "sum by (le) (rate(mediafleet_placement_seconds_bucket[5m])))",
            },
        ),
        (
            "Refused",
            "ops",
            {
                "{{fleet}} {{reason}}": "sum by (fleet, reason) "
                "(rate(mediafleet_rejections_total[5m]))"
            },
        ),
        ("Waiting for room", "short", {"{{fleet}}": "max by (fleet) (mediafleet_queue_length)"}),
        ("Faults of pods", "ops", {"{{fault}}": "rate(mediafleet_pod_faults_total[5m])"}),
        ("Pods left out", "short", {"{{fleet}}": "max by (fleet) (mediafleet_pods_quarantined)"}),
    ),
    "list": (
        ("Nodes listed", "short", {"{{pool}}": "min by (pool) (mediafleet_nodes_list_size)"}),
        (
            "Not listed",
            "short",
            {"{{pool}} {{reason}}": "max by (pool, reason) (mediafleet_nodes_left_out)"},
        ),
        ("Gateways that ask", "short", {"gateways": "max(mediafleet_gateways)"}),
        (
            "Answers to gateways",
            "ops",
            {"{{result}}": "sum by (result) (rate(mediafleet_get_orchestrator_total[5m]))"},
        ),
        (
            "From Ready to listed, from drain to unlisted",
            "s",
            {
                "listed p99": "histogram_quantile(0.99, "
                "sum by (le) (rate(mediafleet_node_listed_seconds_bucket[1h])))",
                "unlisted p99": "histogram_quantile(0.99, "
                "sum by (le) (rate(mediafleet_node_unlisted_seconds_bucket[1h])))",
            },
        ),
    ),
    "scaling": (
        (
            "Wanted and had",
            "short",
            {
                "{{fleet}} wanted": "mediafleet_autoscaling_wanted",
                "{{fleet}} replicas": "mediafleet_autoscaling_replicas",
                "{{fleet}} forecast": "mediafleet_autoscaling_forecast",
                "{{fleet}} ready": 'mediafleet_fleet_replicas{state="ready"}',
            },
        ),
        ("Follows demand", "bool", {"{{fleet}}": "mediafleet_autoscaling_active"}),
        (
            "Changes an hour",
            "short",
            {"{{kind}} {{direction}}": "increase(mediafleet_autoscaling_changes_total[1h])"},
        ),
        (
            "From demand to capacity",
            "s",
            {
                "{{kind}} p90": "histogram_quantile(0.9, sum by (kind, le) "
                "(rate(mediafleet_demand_to_capacity_seconds_bucket[1h])))"
            },
        ),
        (
            "Answers to KEDA",
            "ops",
            {"{{rpc}} {{code}}": "sum by (rpc, code) (rate(mediafleet_scaler_requests_total[5m]))"},
        ),
    ),
    "ai-workers": (
        (
            "Capacity, in use",
            "short",
            {
                "{{model}} capacity": "sum by (model) (mediafleet_broker_capacity)",
                "{{model}} in use": "sum by (model) (mediafleet_broker_capacity_in_use)",
            },
        ),
        ("Waiting", "short", {"{{model}}": "sum by (model) (mediafleet_broker_waiting)"}),
        ("Workers", "short", {"workers": "sum(mediafleet_broker_workers)"}),
        (
            "Tasks by how they ended",
            "ops",
            {"{{ending}}": "sum by (ending) (rate(mediafleet_broker_tasks_total[5m]))"},
        ),
        (
            "From a task to its answer",
            "s",
            {
                "{{model}} p90": "histogram_quantile(0.9, sum by (model, le) "
                "(rate(mediafleet_broker_task_seconds_bucket[5m])))"
            },
        ),
    ),
    "demand": (
        (
            "Streams in the own region",
            "short",
            {
                "{{region}}, {{figure}}": (
                    "sum by (region, figure) (mediafleet_community_own_streams)"
                )
            },
        ),
        (
            "Streams by group, average of the hour",
            "short",
            {"{{group}}": 'sum by (group) (mediafleet_community_streams{figure="average"})'},
        ),
        (
            "Streams by group, 24 hours",
            "short",
            {
                "{{group}}, {{figure}}": (
                    "sum by (group, figure) "
                    '(mediafleet_community_streams{figure=~"day_average|day_maximum"})'
                )
            },
        ),
        (
            "Gateways by group, at least",
            "short",
            {
                "{{group}}, {{what}}": (
                    'max by (group, what) (mediafleet_community_gateways{bound="low"})'
                )
            },
        ),
        (
            "Work by kind",
            "short",
            {"{{kind}}, {{cell}}": "sum by (kind, cell) (mediafleet_community_work)"},
        ),
        (
            "Streams of the groups that are published",
            "short",
            {"streams": 'sum(mediafleet_community_streams_published{figure="average"})'},
        ),
    ),
}


def dashboard(name: str) -> dict[str, Any]:
    """One dashboard, as Grafana imports it."""
    return {
        "uid": f"mediafleet-{name}",
        "title": f"mediafleet: {name.replace('-', ' ')}",
        "tags": ["mediafleet"],
        "schemaVersion": _SCHEMA,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "source",
                    "label": "Prometheus",
                    "type": "datasource",
                    "query": "prometheus",
                }
            ]
        },
        "panels": [_panel(number, each) for number, each in enumerate(DASHBOARDS[name])],
    }


def shown() -> list[tuple[str, str, str]]:
    """Title, legend and query of all that is drawn."""
    return [
        (title, legend, query)
        for panels in DASHBOARDS.values()
        for title, _, found in panels
        for legend, query in found.items()
    ]


def text(name: str) -> str:
    """The file of one dashboard."""
    return json.dumps(dashboard(name), indent=1) + "\n"


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    title, unit, found = panel
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "datasource": _SOURCE,
        "gridPos": {"x": 12 * (number % 2), "y": 8 * (number // 2), "w": 12, "h": 8},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + at),
                "datasource": _SOURCE,
                "expr": query,
                "legendFormat": legend,
            }
            for at, (legend, query) in enumerate(found.items())
        ],
    }


def main() -> None:
    """Write them all."""
    for name in DASHBOARDS:
        (FOLDER / f"{name}.json").write_text(text(name), encoding="utf-8")


if __name__ == "__main__":
    main()
