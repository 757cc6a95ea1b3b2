"""A Kubernetes node of plain processes, in a network namespace of its own.

    with Node.up("mine") as node:
        node.kubectl("get", "pods", "-A")
        node.run("helm", "install", ...)

Needs root and Linux, neither Docker nor a hypervisor. Service and pod addresses exist inside the
namespace alone: whatever talks to them is run inside, by `Node.run` or on the command line by
`python -m mediafleet_testbed exec`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediafleet_testbed import images
from mediafleet_testbed.errors import CommandError, NodeError, NotRunningError
from mediafleet_testbed.locks import locked
from mediafleet_testbed.namespaces import is_current
from mediafleet_testbed.node import host, start
from mediafleet_testbed.node.layout import NODE_NAME
from mediafleet_testbed.paths import Instance
from mediafleet_testbed.tools import debian, toolchain
from mediafleet_testbed.tools.recipes import KUBECTL, NODE_TOOLS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

UP_TIMEOUT_SECONDS = 180.0
"""A warm start takes about six seconds; a machine with other work may need many times that."""
COMMAND_TIMEOUT_SECONDS = 120.0


class Node:
    """A running node. `up` makes one, `running` finds one."""

    def __init__(self, instance: Instance, *, ours: bool) -> None:
        self.instance = instance
        self.name = instance.name
        self.node_name = NODE_NAME
        self.kubeconfig = instance.kubeconfig
        self._ours = ours

    # Life

    @classmethod
    def up(cls, name: str | None = None, *, timeout_seconds: float = UP_TIMEOUT_SECONDS) -> Node:
        """The node of that name, started unless it runs; what a crash left is removed first.

        As a context manager it is taken down at the end, unless it ran before.
        """
        host.require_possible()
        instance = Instance.named(name)
        debian.ensure()
        tools = toolchain.ensure(*NODE_TOOLS)
        if is_current(instance.netns_path):
            return cls.running(name)
        with locked(instance.lock, timeout_seconds):
            if host.is_up(instance):
                return cls(instance, ours=False)
            host.remove_all(instance)
            try:
                start.start(instance, tools, timeout_seconds)
                node = cls(instance, ours=True)
                images.import_into(instance, [images.pause()])
                instance.complete.touch()
            except BaseException:
                host.remove_all(instance)
                raise
        return node

    @classmethod
    def running(cls, name: str | None = None) -> Node:
        """The node of that name; NotRunningError when there is none."""
        instance = Instance.named(name)
        if not host.is_up(instance):
            raise NotRunningError(instance.name)
        return cls(instance, ours=False)

    def down(self) -> None:
        """End it; imported images and logs stay, for the next one and for looking."""
        take_down(self.name)

    def __enter__(self) -> Node:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._ours:
            self.down()

    # Commands

    @property
    def inside(self) -> bool:
        """Whether the calling thread already is in the node's network namespace."""
        return is_current(self.instance.netns_path)

    def environment(self) -> dict[str, str]:
        """What a command needs to find this node: KUBECONFIG, PATH, MEDIAFLEET_TESTBED."""
        tools = toolchain.bin_folder(KUBECTL, "helm")
        path = f"{tools}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        return {
            **os.environ,
            "KUBECONFIG": str(self.kubeconfig),
            "PATH": path,
            "MEDIAFLEET_TESTBED": self.name,
        }

    def inside_command(self, *command: str, names: bool = True) -> list[str]:
        """The command line that runs `command` inside; with `names`, cluster names resolve."""
        if self.inside:
            return list(command)
        enter = ["nsenter", f"--net={self.instance.netns_path}"]
        if not names:
            return [*enter, *command]
        # Its own mount namespace, for /etc/resolv.conf alone.
        mount = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        alone = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", mount]
        return [*enter, *alone, str(self.instance.resolv_conf), *command]

    def run(
        self,
        *command: str,
        stdin: str | None = None,
        check: bool = True,
        timeout_seconds: float = COMMAND_TIMEOUT_SECONDS,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside and keep its output; CommandError unless it exits 0."""
        done = subprocess.run(
            self.inside_command(*command),
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            env={**self.environment(), **(environment or {})},
            check=False,
        )
        if check and done.returncode != 0:
            raise CommandError(list(command), done.returncode, done.stdout, done.stderr)
        return done

    def kubectl(
        self, *arguments: str, stdin: str | None = None, timeout_seconds: float = 60
    ) -> str:
        """kubectl's standard output; CommandError, with what it said, when it refuses."""
        kubectl = str(toolchain.ensure(KUBECTL)[KUBECTL])
        return self.run(kubectl, *arguments, stdin=stdin, timeout_seconds=timeout_seconds).stdout

    def get(self, *arguments: str) -> Any:
        """`kubectl get ... -o json`, parsed."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def apply(self, *objects: Mapping[str, Any], namespace: str | None = None) -> None:
        """`kubectl apply` of objects given as dicts."""
        where = ("-n", namespace) if namespace else ()
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", *where, "-f", "-", stdin=json.dumps(listed))

    # Faults

    def stop(self, program: str) -> None:
        """SIGKILL one of the node's programs (`kube-apiserver`, ...) and keep it down."""
        (self.instance.run / "stopped" / program).touch()
        self.kill(program)

    def start(self, program: str) -> None:
        """Let a stopped program come back; does not wait for it."""
        (self.instance.run / "stopped" / program).unlink(missing_ok=True)

    def kill(self, program: str, with_signal: signal.Signals = signal.SIGKILL) -> None:
        """Signal one of the node's programs; ended, it is started again after a second."""
        pid = host.program_pid(self.instance, program)
        if pid is None:
            raise NodeError(f"{program} is not running on node {self.name}")
        os.kill(pid, with_signal)

    def end_back_offs(self) -> None:
        """Start those anew that wait up to a minute before they ask an API server that was away.

        To be called when it answers again: a Service that is made meanwhile leads nowhere.
        """
        for program in ("kube-controller-manager", "kube-proxy"):
            self.kill(program)

    def log(self, program: str) -> Path:
        """The log file of one of the node's programs."""
        return self.instance.log(program)


def take_down(name: str | None = None, *, purge: bool = False) -> bool:
    """Remove the node of that name, or what a crash left of it; True when there was any.

    With `purge` its imported images and its logs go as well.
    """
    host.require_possible()
    instance = Instance.named(name)
    if is_current(instance.netns_path):
        raise NodeError("this runs inside the node's network; call down from outside of it")
    with locked(instance.lock, timeout_seconds=UP_TIMEOUT_SECONDS):
        there = host.remove_all(instance)
        if purge:
            shutil.rmtree(instance.store, ignore_errors=True)
            shutil.rmtree(instance.logs, ignore_errors=True)
        return there
