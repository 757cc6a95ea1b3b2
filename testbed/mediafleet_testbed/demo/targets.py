"""Where the demo runs: a node of our own, kind, or the cluster that kubectl points to."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

from mediafleet_testbed import images
from mediafleet_testbed.errors import CannotRunHereError, CommandError, TestbedError
from mediafleet_testbed.node import Node, require_possible
from mediafleet_testbed.paths import REPOSITORY
from mediafleet_testbed.progress import step
from mediafleet_testbed.tools import toolchain

COMMAND_SECONDS: Final = 180.0
DOCKER_SECONDS: Final = 1200.0
"""For one image to be built or pulled, on a slow line too."""
KIND_CLUSTER: Final = "mediafleet"
NAMESPACES: Final = ("media", "mediafleet")
"""What the demo makes."""
PULLED: Final = {
    "redis:dev": "redis:7-alpine",
    "livekit-server:dev": "livekit/livekit-server:v1.13.5",
}
"""What people with Docker take where the testbed packs its own."""


class Target(Protocol):
    """A cluster for the demo."""

    image_prefix: str
    """Put before the names of images; empty: they are on the node."""

    def prepare(self) -> None:
        """Bring it up, with the images on it."""

    def remove(self) -> None:
        """Take down what `prepare` made."""

    def command(self, *command: str) -> list[str]:
        """The command line that runs a command against it."""

    def environment(self) -> Mapping[str, str]:
        """The environment for that."""

    def look_around(self) -> str:
        """How a person calls kubectl on it."""

    def take_down(self) -> str:
        """How a person takes down what was left up."""


def run(
    target: Target,
    *command: str,
    stdin: str | None = None,
    timeout_seconds: float = COMMAND_SECONDS,
) -> str:
    """Run a command against a target; its standard output.

    Raises:
        CommandError: it did not exit with 0.
    """
    done = subprocess.run(
        target.command(*command),
        input=stdin or "",
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        env=dict(target.environment()),
        cwd=REPOSITORY,
        check=False,
    )
    if done.returncode != 0:
        raise CommandError(list(command), done.returncode, done.stdout, done.stderr)
    return done.stdout


class OwnNode:
    """A real Kubernetes node of plain processes, in a network namespace of its own."""

    image_prefix = ""

    def __init__(self) -> None:
        self._node: Node | None = None

    def prepare(self) -> None:
        """Build what is missing, start it, load the images."""
        require_possible()
        toolchain.ensure("helm", "livekit-server")
        self._node = Node.up()
        images.load(self._node.instance)

    def remove(self) -> None:
        """End it, unless it ran before."""
        if self._node is not None:
            self._node.__exit__(None, None, None)

    def command(self, *command: str) -> list[str]:
        """Inside the node's network."""
        return self._running().inside_command(*command)

    def environment(self) -> Mapping[str, str]:
        """KUBECONFIG and PATH."""
        return self._running().environment()

    def look_around(self) -> str:
        """Through the testbed."""
        return f"{_python()} -m mediafleet_testbed kubectl"

    def take_down(self) -> str:
        """Through the testbed."""
        return f"{_python()} -m mediafleet_testbed down"

    def _running(self) -> Node:
        if self._node is None:
            raise TestbedError("the node is not up")
        return self._node


class _Docker:
    """What kind and the current context share: kubectl and helm from PATH, in one context."""

    image_prefix = ""

    def __init__(self) -> None:
        self._context: str | None = None
        """Where all goes, once that is settled: whoever switches contexts meanwhile is safe."""

    def command(self, *command: str) -> list[str]:
        """As it is, in the context."""
        program, *rest = command
        if shutil.which(program) is None:
            raise CannotRunHereError(f"{program} is not on PATH; install it first")
        flag = {"kubectl": "--context", "helm": "--kube-context"}.get(program)
        if flag is None or self._context is None:
            return [*command]
        return [program, f"{flag}={self._context}", *rest]

    def environment(self) -> Mapping[str, str]:
        """As it is."""
        return os.environ

    def look_around(self) -> str:
        """In the context."""
        return f"kubectl --context={self._context}"


class Kind(_Docker):
    """A kind cluster made from kind-config.yaml, with images that Docker builds and pulls."""

    def prepare(self) -> None:
        """Create it, build, pull and load."""
        for program in ("kind", "docker", "kubectl", "helm"):
            self.command(program)
        self._say("create cluster", 60, "kind", "create", "cluster", "--config", "kind-config.yaml")
        self._context = f"kind-{KIND_CLUSTER}"
        for name, target in (("mediafleet:dev", "product"), ("mediafleet-testbed:dev", "testbed")):
            self._say(f"build {name}", 120, "docker", "build", "--target", target, "-t", name, ".")
        for name, source in PULLED.items():
            self._say(f"pull {source}", 30, "docker", "pull", source)
            self._say(f"tag {name}", 1, "docker", "tag", source, name)
        names = ("mediafleet:dev", "mediafleet-testbed:dev", *PULLED)
        load = ("kind", "load", "docker-image", "--name", KIND_CLUSTER, *names)
        self._say("load the images", 30, *load)

    def remove(self) -> None:
        """Delete the cluster, if it is ours: one of that name may have been there before."""
        if self._context is not None:
            run(self, "kind", "delete", "cluster", "--name", KIND_CLUSTER)

    def take_down(self) -> str:
        """With kind."""
        return f"kind delete cluster --name {KIND_CLUSTER}"

    def _say(self, what: str, usual_seconds: float, *command: str) -> None:
        with step(what, usual_seconds):
            run(self, *command, timeout_seconds=DOCKER_SECONDS)


class Current(_Docker):
    """The cluster of the present kubeconfig context, after asking.

    The images must be where its nodes can pull them: IMAGE_PREFIX=registry.example.com/you names
    the place of mediafleet:dev, mediafleet-testbed:dev, redis:dev and livekit-server:dev.
    """

    def __init__(self) -> None:
        super().__init__()
        self.image_prefix = os.environ.get("IMAGE_PREFIX", "").rstrip("/")

    def prepare(self) -> None:
        """Ask."""
        if not self.image_prefix:
            raise TestbedError(
                "CLUSTER=current needs IMAGE_PREFIX=<registry>/<folder>, where you have pushed "
                "mediafleet:dev, mediafleet-testbed:dev, redis:dev and livekit-server:dev"
            )
        context = run(self, "kubectl", "config", "current-context").strip()
        there = run(
            self,
            *("kubectl", f"--context={context}", "get", "namespace", *NAMESPACES),
            *("--ignore-not-found", "-o", "name"),
        )
        if there.strip():
            raise TestbedError(
                f"{context!r} has {', '.join(there.split())} already, which the demo would remove "
                "in the end; nothing was changed"
            )
        print(f"The demo installs CRDs, charts and namespace media into {context!r}.", flush=True)
        if not sys.stdin.isatty() or input("Go on? [y/N] ").strip().lower() != "y":
            raise TestbedError("not confirmed; nothing was changed")
        self._context = context

    def remove(self) -> None:
        """Remove what the demo installed; the CRDs stay, as they do with helm."""
        if self._context is None:
            return
        run(self, "kubectl", "delete", "namespace", "media", "--ignore-not-found")
        run(self, "helm", "uninstall", "mediafleet", "-n", "mediafleet", "--ignore-not-found")
        run(self, "kubectl", "delete", "namespace", "mediafleet", "--ignore-not-found")

    def take_down(self) -> str:
        """By hand."""
        return f"{self.look_around()} delete namespace media mediafleet"


def _python() -> str:
    """This interpreter as a person in the repository calls it, and which node is meant."""
    program = Path(sys.executable)
    if program.is_relative_to(REPOSITORY):
        program = program.relative_to(REPOSITORY)
    name = os.environ.get("MEDIAFLEET_TESTBED")
    return f"MEDIAFLEET_TESTBED={name} {program}" if name else str(program)


TARGETS: Final[Mapping[str, Callable[[], Target]]] = {
    "node": OwnNode,
    "kind": Kind,
    "current": Current,
}
