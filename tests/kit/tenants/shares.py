"""How much CPU each part of the node and of the product used and waited for: who costs whom."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mediafleet_testbed.paths import Instance

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_NANOSECONDS: Final = 1e9
ATTACKER: Final = "attacker"
ITS_PODS: Final = "its pods"
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


@dataclass(frozen=True, slots=True)
class Share:
    """Seconds of CPU."""

    ran: float = 0.0
    waited: float = 0.0
    """While it could have run and did not, since others did or its limit was reached."""

    def __add__(self, other: Share) -> Share:
        return Share(self.ran + other.ran, self.waited + other.waited)

    def __sub__(self, other: Share) -> Share:
        return Share(self.ran - other.ran, self.waited - other.waited)

    def __str__(self) -> str:
        return f"{self.ran:.2f}+{self.waited:.2f}"

    def each_second(self, seconds: float) -> Share:
        """As a share of one core, on average."""
        return Share(self.ran / seconds, self.waited / seconds)


def used(instance: Instance, attackers: Collection[str]) -> dict[str, Share]:
    """What those who run now have used and waited for so far, by what they are; `attackers` are
    the uids of its pods.
    """
    seconds: defaultdict[str, Share] = defaultdict(Share)
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                group = (folder / "cgroup").read_text()
                if f"/{instance.cgroup}/" in group:
                    theirs = any(uid in group for uid in attackers)
                    seconds[ITS_PODS if theirs else _name(folder)] += _share(folder)
            except (FileNotFoundError, ProcessLookupError):
                continue
    return seconds


def of(pid: int) -> Share:
    """What a process has used and waited for so far, all its threads together."""
    return _share(Path("/proc") / str(pid))


def _name(folder: Path) -> str:
    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return next((name for word, name in _NAMED.items() if word in command), _NODE)


def _share(folder: Path) -> Share:
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    threads = (task / "schedstat" for task in (folder / "task").iterdir())
    waited = sum(int(each.read_text().split()[1]) for each in threads) / _NANOSECONDS
    return Share((int(fields[11]) + int(fields[12])) / _TICKS, waited)
