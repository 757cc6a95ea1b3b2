"""Strangers at the advertiser's public port: memory stays, and gateways are served beside them.

Small here; `python -m bench.floods` does it whole and prints the figures.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from tests.kit.advertise.scene import entry, nodes, write

from mediafleet_testbed.load.floods import FLOODS, OCCUPATIONS, Watched, watch
from mediafleet_testbed.processes import Member, Processes
from mediafleet_testbed.real_servers import free_port

pytestmark = pytest.mark.timeout(240)
MOST_MB: Final = 200.0
HEALTH_SECONDS: Final = 10.0
"""One second is the goal, which the bench prints; a busy machine may be that slow by itself."""


@asynccontextmanager
async def attacked(folder: Path, attacks: list[tuple[str, int]]) -> AsyncIterator[Watched]:
    """An advertiser under one attack after the other, a second each, and what was seen of it."""
    async with nodes(1) as (a,), Processes(folder) as processes:
        write(folder / "nodes.yaml", entry("a", a))
        (folder / "community.yaml").write_text("{region: eu-west, public: true}")
        port, http = free_port(), free_port()
        desk = await processes.python(
            "advertiser",
            "mediafleet.main",
            *("advertise", "--nodes", str(folder / "nodes.yaml")),
            *("--community", str(folder / "community.yaml")),
            *("--listen", f"127.0.0.1:{port}", "--http", f"127.0.0.1:{http}"),
        )
        await processes.says(desk, "1 of 1 nodes listed")
        stop = asyncio.Event()
        watching = asyncio.create_task(watch(desk.process.pid, port, http, stop))
        for kind, count in attacks:
            await _attack(processes, kind, port, count)
        stop.set()
        yield await watching
        assert desk.process.returncode is None
        assert "Traceback" not in desk.log.read_text()


async def _attack(processes: Processes, kind: str, port: int, count: int) -> Member:
    module = "mediafleet_testbed.load.floods"
    attack = await processes.python(f"attack-{kind}", module, kind, str(port), "1", str(count))
    assert await attack.process.wait() == 0, attack.log_tail()
    return attack


def unharmed(seen: Watched) -> None:
    assert seen.failed == []
    assert seen.answered > 0
    assert seen.most_mb < MOST_MB
    assert max(seen.health_seconds) < HEALTH_SECONDS


async def test_floods_of_frames_cost_no_memory_and_no_gateway_its_answer(tmp_path: Path) -> None:
    attacks = [(kind, 4) for kind in ("continuations", "hpack_bombs", "rapid_resets")]
    assert {kind for kind, _ in attacks} <= FLOODS.keys()
    async with attacked(tmp_path, attacks) as seen:
        unharmed(seen)


async def test_connections_that_stand_cost_no_gateway_its_answer(tmp_path: Path) -> None:
    async with attacked(
        tmp_path, [(kind, 150 if said else 400) for kind, (_, said) in OCCUPATIONS.items()]
    ) as seen:
        unharmed(seen)
