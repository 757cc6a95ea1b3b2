"""`python -m mediafleet_testbed`: the node by hand."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Annotated, NoReturn

import typer

from mediafleet_testbed import images
from mediafleet_testbed.node import UP_TIMEOUT_SECONDS, Node, take_down, why_not
from mediafleet_testbed.tools import toolchain
from mediafleet_testbed.tools.recipes import KUBECTL, TOOLS

from .errors import TestbedError
from .paths import Instance
from .progress import console

app = typer.Typer(
    help="A real Kubernetes node without Docker. MEDIAFLEET_TESTBED=<name> chooses which.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
Timeout = Annotated[float, typer.Option("--timeout", help="Seconds until it must be Ready.")]


@app.command()
def up(timeout: Timeout = UP_TIMEOUT_SECONDS) -> None:
    """Start the node (building what it lacks, once) and wait until it is Ready."""
    node = Node.up(timeout_seconds=timeout)
    console.print(
        f"node {node.name} is Ready; look around: python -m mediafleet_testbed kubectl get pods -A"
    )


@app.command()
def down(
    purge: Annotated[bool, typer.Option("--purge", help="Remove its images and logs too.")] = False,
) -> None:
    """End the node and remove all of it; also clears up after a crash."""
    console.print("the node is down" if take_down(purge=purge) else "no node was up")


@app.command()
def status() -> None:
    """Say whether a node runs, and whether this machine could run one. Exits 1 when none runs."""
    reason = why_not()
    if reason is not None:
        raise TestbedError(f"this machine cannot run a node: {reason}")
    node = Node.running()
    console.print(f"node {node.name} runs; kubeconfig {node.kubeconfig}, logs {node.instance.logs}")
    console.print(node.kubectl("get", "nodes,pods", "-A", "-o", "wide"), end="")


@app.command(context_settings={**PASS_ON, "help_option_names": []})
def kubectl() -> None:
    """kubectl on the node, with all that follows passed on as it is."""
    program = str(toolchain.ensure(KUBECTL)[KUBECTL])
    # Not from the parsed arguments: the parser takes away a `--`, which `kubectl exec` needs.
    _become(Node.running(), [program, *sys.argv[sys.argv.index("kubectl") + 1 :]])


@app.command(name="exec", context_settings=PASS_ON)
def execute(
    context: typer.Context,
    bring_up: Annotated[
        bool,
        typer.Option(
            "--up", help="If none runs, start a node with images, and take it down after."
        ),
    ] = False,
) -> None:
    """Run a command inside the node's network, with KUBECONFIG, kubectl and cluster DNS."""
    if not context.args:
        raise TestbedError("what shall run? e.g. exec -- kubectl get pods")
    if not bring_up:
        _become(Node.running(), context.args)
    with Node.up() as node:
        images.load(node.instance)
        sys.exit(subprocess.call(node.inside_command(*context.args), env=node.environment()))


@app.command("load-images")
def load_images(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"Some of: {', '.join(images.NAMES)}")
    ] = None,
) -> None:
    """Build the container images and import those that changed; all when none is named."""
    node = Node.running()
    for image in images.load(node.instance, *(names or [])):
        megabytes = sum(layer.size_bytes for layer in image.layers) / 1e6
        console.print(f"{image.name:24} {image.digest[:19]} {megabytes:6.1f} MB")


@app.command()
def logs(
    program: Annotated[str, typer.Argument(help="kubelet, kube-apiserver, containerd, ...")],
    follow: Annotated[bool, typer.Option("--follow", "-f")] = False,
) -> None:
    """Show the log of one of the node's programs; also after the node is down."""
    log = Instance.named().log(program)
    if not log.exists():
        there = ", ".join(sorted(path.stem for path in log.parent.glob("*.log"))) or "none"
        raise TestbedError(f"no log {log}; there are: {there}")
    os.execvp("tail", ["tail", "-n", "200", *(["-f"] if follow else []), str(log)])


@app.command()
def build(
    tools: Annotated[list[str] | None, typer.Argument(help=f"Some of: {', '.join(TOOLS)}")] = None,
) -> None:
    """Build programs ahead of time; all of them when none is named."""
    for name, path in toolchain.ensure(*(tools or [*TOOLS, KUBECTL])).items():
        console.print(f"{name:24} {path}")


def _become(node: Node, command: list[str]) -> NoReturn:
    """Replace this process, so that signals and exit codes are the command's own."""
    sys.stdout.flush()
    inside = node.inside_command(*command)
    environment = node.environment()
    try:
        os.execvpe(inside[0], inside, environment)
    except FileNotFoundError:
        raise TestbedError(f"{inside[0]}: no such program") from None


def main() -> None:
    # Unwind as on Ctrl-C, so that a node half up, or up for one command only, is taken down.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        app()
    except TestbedError as error:
        console.print(f"[red]{type(error).__name__}[/]: ", end="")
        console.print(str(error), markup=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
