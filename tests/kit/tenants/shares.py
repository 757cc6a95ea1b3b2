"""How much CPU each part of the node and of the product used: who costs whom what."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Final

from mediafleet_testbed.paths import Instance

_TICKS: Final = os.sysconf("SC_CLK_TCK")
ATTACKER: Final = "attacker"
_NODE: Final = "the node"
_NAMED: Final = {
    "kube-apiserver": "API server",
    "etcd": "API server",
    "mediafleet egress": "egress desk",
    "mediafleet operator": "operator",
    "mediafleet advertise": "advertiser",
    "redis-server": "Redis",
    "standins": "workers",
    "tests.kit.tenants": ATTACKER,
    "floods": ATTACKER,
    "while True": ATTACKER,
}


def used(instance: Instance, attackers: Collection[str]) -> dict[str, float]:
    """Seconds of CPU that those who run now have used so far, by what they are; `attackers` are
    the uids of its pods.
    """
    seconds: defaultdict[str, float] = defaultdict(float)
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                group = (folder / "cgroup").read_text()
                if f"/{instance.cgroup}/" in group:
                    theirs = any(uid in group for uid in attackers)
                    seconds[ATTACKER if theirs else _name(folder)] += _seconds(folder)
            except (FileNotFoundError, ProcessLookupError):
                continue
    return seconds


def _name(folder: Path) -> str:
    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return next((name for word, name in _NAMED.items() if word in command), _NODE)


def _seconds(folder: Path) -> float:
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
