"""Each query of the dashboards and each alert rule, by a real Prometheus that has scraped us."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import redis.asyncio as redis
import yaml
from docs import dashboards
from tests.kit.monitoring.exporters import Targets, exporting

from mediafleet_testbed.processes import Processes
from mediafleet_testbed.real_servers import free_port
from mediafleet_testbed.tools import debian

pytestmark = pytest.mark.timeout(240)
PROGRAMS: Final = {"prometheus": "prometheus", "promtool": "prometheus"}
SECONDS: Final = 90.0
RULES: Final = dashboards.FOLDER / "alerts.yaml"
WITHOUT_DATA: Final = "absent("
"""A rule's part that answers only where nothing is scraped."""


def config(targets: Targets) -> str:
    jobs = [
        {
            "job_name": name,
            "metrics_path": path,
            "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
        }
        for name, (port, path) in targets.items()
    ]
    every = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "1s"}
    return yaml.safe_dump({"global": every, "rule_files": [str(RULES)], "scrape_configs": jobs})


@asynccontextmanager
async def prometheus(folder: Path, targets: Targets) -> AsyncIterator[str]:
    """A Prometheus that has scraped each target three times; its API's address."""
    (folder / "prometheus.yaml").write_text(config(targets))
    port = free_port()
    async with Processes(folder) as processes, aiohttp.ClientSession() as session:
        started = await processes.start(
            "prometheus",
            [
                "prometheus",
                f"--config.file={folder}/prometheus.yaml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
        )
        await processes.says(started, "Server is ready", SECONDS)
        api = f"http://127.0.0.1:{port}/api/v1"
        deadline = time.monotonic() + SECONDS
        while len(await ask(session, api, "count_over_time(up[1m]) >= 3 and up == 1")) < len(
            targets
        ):
            assert time.monotonic() < deadline, started.log_tail()
            await asyncio.sleep(0.2)
        yield api


async def ask(session: aiohttp.ClientSession, api: str, query: str) -> list[dict[str, Any]]:
    """What a query finds, without a warning."""
    async with session.get(f"{api}/query", params={"query": query}) as answer:
        told = await answer.json()
    assert told["status"] == "success", (query, told)
    assert not told.get("warnings"), (query, told["warnings"])
    assert not told.get("infos"), (query, told["infos"])
    found: list[dict[str, Any]] = told["data"]["result"]
    return found


def operand(rule: str) -> str:
    """What a rule compares."""
    return re.split(r" (?:==|>|<) ", rule)[0]


async def test_every_panel_and_every_alert_has_data_and_the_labels_of_its_legend(
    tmp_path: Path, commands: redis.Redis
) -> None:
    debian.ensure(PROGRAMS)
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    async with (
        exporting(tmp_path, commands) as targets,
        prometheus(tmp_path, targets) as api,
        aiohttp.ClientSession() as session,
    ):
        missing = []
        for title, legend, query in dashboards.shown():
            found = await ask(session, api, query)
            wanted = set(re.findall(r"{{(\w+)}}", legend))
            if not found or any(wanted - series["metric"].keys() for series in found):
                missing.append((title, query, [each["metric"] for each in found]))
        missing += [
            (rule["alert"], rule["expr"], [])
            for rule in rules
            if not await ask(session, api, operand(rule["expr"]))
        ]
        assert missing == []
        async with session.get(f"{api}/rules") as answer:
            (group,) = (await answer.json())["data"]["groups"]
        assert [each["lastError"] for each in group["rules"] if each.get("lastError")] == []
        assert len(group["rules"]) == len(rules)
