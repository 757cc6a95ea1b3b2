"""Which tests on the node never run at the same time.

Processes of pytest take groups of tests, one by one; those of one group run one after the other in
the same process.
"""

from __future__ import annotations

from typing import Final

import pytest
from xdist.scheduler import LoadScopeScheduling

GROUPS: Final = {
    # Its tests share an installed product and a livekit-server.
    "tests/cluster/test_livekit.py": "livekit",
    # They have the same node of kwok.
    "tests/cluster/test_hpa.py": "kwok",
    "tests/cluster/test_hpa_of_ai_workers.py": "kwok",
    "tests/cluster/test_api_faults.py": "kwok",
    # Its tests want the same ports of the node.
    "tests/cluster/test_addresses.py": "fixed ports",
}
"""By file; every other test is a group of its own."""


def group(node_id: str) -> str:
    """Of a test, by its node id."""
    return GROUPS.get(node_id.partition("::")[0], node_id)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling | None:
    """For `--dist=loadgroup`; xdist's own changes node ids, which pytest 9 does not let it."""
    if config.getoption("dist") != "loadgroup":
        return None
    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = group
    return scheduler
