"""The alert rules by promtool: each fires on its trouble, and on nothing that is well."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Final

import yaml
from docs import dashboards

from mediafleet_testbed.tools import debian

RULES: Final = dashboards.FOLDER / "alerts.yaml"
FLEET: Final = 'fleet="media/rec"'
WELL: Final = {
    "mediafleet_leader": "1x60",
    f"mediafleet_jobs_lost_total{{{FLEET}}}": "0x60",
    f'mediafleet_rejections_total{{{FLEET},reason="no_room"}}': "7x60",
    "mediafleet_redis_failures_total": "3x60",
    'mediafleet_ledger_errors_total{operation="claim"}': "0x25 1x60",
    'mediafleet_nodes_list_size{pool="media/p"}': "1x60",
    f'mediafleet_autoscaling_active{{{FLEET},kind="egress"}}': "1x60",
    'mediafleet_drains_total{kind="egress",result="timed_out"}': "0x60",
    'mediafleet_drains_total{kind="egress",result="idle"}': "0+1x60",
    'mediafleet_broker_waiting{pipeline="llm",model="m"}': "0 3 0 3 0x60",
}
"""A sample a minute, by series."""
TROUBLES: Final[dict[str, tuple[str, str]]] = {
    "MediafleetJobsLost": (f"mediafleet_jobs_lost_total{{{FLEET}}}", "0x25 1x60"),
    "MediafleetRefused": (
        f'mediafleet_rejections_total{{{FLEET},reason="no_room"}}',
        "7x15 8+1x60",
    ),
    "MediafleetRedisAway": ("mediafleet_redis_failures_total", "3x20 4+1x60"),
    "MediafleetNoNodeListed": ('mediafleet_nodes_list_size{pool="media/p"}', "1x20 0x60"),
    "MediafleetDoesNotScale": (
        f'mediafleet_autoscaling_active{{{FLEET},kind="egress"}}',
        "1x15 0x60",
    ),
    "MediafleetDrainTimedOut": (
        'mediafleet_drains_total{kind="egress",result="timed_out"}',
        "0x25 1x60",
    ),
    "MediafleetTasksWait": ('mediafleet_broker_waiting{pipeline="llm",model="m"}', "0x20 2x60"),
    "MediafleetNoLeader": ("mediafleet_leader", "1x20 0x60"),
}
"""What goes wrong with one series, some 5 to 15 minutes before the 30th."""


def case(name: str, series: dict[str, str], fires: str | None) -> dict[str, Any]:
    """A case of promtool: at the 30th minute one alert fires, or none."""
    alerts = {rule["alert"]: rule for rule in _rules()}
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": each, "values": told} for each, told in series.items()],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": "30m",
                "exp_samples": [
                    {"labels": f'{{alertname="{each}"}}', "value": 1}
                    for each in alerts
                    if each == fires
                ],
            }
        ],
    }


def _rules() -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    return rules


def promtool(*arguments: str) -> str:
    debian.ensure({"promtool": "prometheus"})
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_takes_the_rules() -> None:
    assert f"{len(_rules())} rules found" in promtool("check", "rules", str(RULES))


def test_each_alert_fires_on_its_trouble_alone_and_none_where_all_is_well(tmp_path: Path) -> None:
    assert TROUBLES.keys() == {each["alert"] for each in _rules()}
    cases = [case("well", WELL, None)]
    cases += [case(n, {**WELL, series: values}, n) for n, (series, values) in TROUBLES.items()]
    without = {name: told for name, told in WELL.items() if name != "mediafleet_leader"}
    cases.append(case("no operator is left", without, "MediafleetNoLeader"))
    refused = {**WELL, 'mediafleet_ledger_errors_total{operation="sync"}': "0x20 1+60x60"}
    cases.append(case("Redis refuses a desk that it had served", refused, "MediafleetRedisAway"))
    file = tmp_path / "cases.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "tests": cases}))
    promtool("test", "rules", str(file))
