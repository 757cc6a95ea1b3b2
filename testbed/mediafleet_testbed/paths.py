"""Where things are: the cache all instances share, and what one named instance owns.

`MEDIAFLEET_TESTBED=<name>` chooses the instance, so that two nodes can run on one machine without
knowing of each other. Everything an instance creates is derived from its name here and nowhere
else: whatever carries the name may be removed by `down`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from .errors import NodeError

TOOLCHAIN = Path(__file__).resolve().parent.parent / "toolchain"
REPOSITORY = Path(__file__).resolve().parent.parent.parent

DEFAULT_NAME = "default"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?")


def cache() -> Path:
    """What is costly to make and good for every instance; safe to delete at any time."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "mediafleet"


@dataclass(frozen=True, slots=True)
class Instance:
    """The names and folders of one node."""

    name: str

    @classmethod
    def named(cls, name: str | None = None) -> Instance:
        chosen = name or os.environ.get("MEDIAFLEET_TESTBED") or DEFAULT_NAME
        if not _NAME.fullmatch(chosen):
            raise NodeError(
                f"MEDIAFLEET_TESTBED={chosen!r} cannot name a node: use up to 20 of a-z, 0-9 and -"
            )
        return cls(chosen)

    @property
    def run(self) -> Path:
        """State that ends with the node; a tmpfs, so etcd may skip its fsyncs for nothing lost."""
        return Path("/run/mediafleet-testbed") / self.name

    @property
    def logs(self) -> Path:
        """Logs outlive the node: they are most wanted after it has failed."""
        return Path("/var/log/mediafleet-testbed") / self.name

    @property
    def netns(self) -> str:
        return f"mediafleet-{self.name}"

    @property
    def netns_path(self) -> Path:
        return Path("/run/netns") / self.netns

    @property
    def outside_path(self) -> Path:
        """The network namespace `up` was called in: the machine's own."""
        return self.run / "outside.net"

    @property
    def cgroup(self) -> str:
        """Name of the cgroup, under the root of each hierarchy, that holds everything we start."""
        return f"mediafleet-{self.name}"

    @property
    def lock(self) -> Path:
        return self.run.parent / f".{self.name}.lock"

    @property
    def complete(self) -> Path:
        """There once `up` has done all its work: a node without it is what a crash left."""
        return self.run / "complete"

    @property
    def kubeconfig(self) -> Path:
        return self.run / "admin.kubeconfig"

    @property
    def pki(self) -> Path:
        return self.run / "pki"

    @property
    def resolv_conf(self) -> Path:
        return self.run / "resolv.conf"

    @property
    def store(self) -> Path:
        """Images and the containers' file systems: on disk, and kept, as importing takes time."""
        return cache() / "nodes" / self.name

    @property
    def containerd_root(self) -> Path:
        """Where containerd finds the store; a link, or a folder where the disk cannot serve."""
        return self.run / "store"

    @property
    def containerd_socket(self) -> Path:
        return self.run / "containerd.sock"

    def log(self, program: str) -> Path:
        return self.logs / f"{program}.log"
