"""What goes wrong in the testbed, typed; each message ends with the next step.

TestbedError
  CannotRunHereError    this machine lacks something no download can give (root, Linux, ...)
  ToolError        a program could not be built or installed
  NodeError        the node did not come up, or is not in the state a command needs
    NotRunningError     there is no node of that name
  ImageError       a container image could not be built or imported
  CommandError     a command run against the node failed; holds its output
"""

from __future__ import annotations

from pathlib import Path


class TestbedError(Exception):
    """Base of all; the command line prints it as one line and exits 1."""

    __test__ = False  # pytest collects names that begin with Test


class CannotRunHereError(TestbedError):
    """The machine cannot run the cluster tier, and nothing we could install changes that."""


class ToolError(TestbedError):
    """A program could not be had."""


class NodeError(TestbedError):
    """The node did not do as asked."""


class NotRunningError(NodeError):
    """No node of that name is up."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"no testbed node named {name!r} is running; start one: python -m mediafleet_testbed up"
        )


class ImageError(TestbedError):
    """A container image could not be built or imported."""


class CommandError(TestbedError):
    """A command exited with an error; `stderr` is for tests that expect a refusal."""

    def __init__(self, command: list[str], code: int, stdout: str, stderr: str) -> None:
        self.command, self.code, self.stdout, self.stderr = command, code, stdout, stderr
        said = (stderr.strip() or stdout.strip() or "it printed nothing")[-2000:]
        super().__init__(f"{' '.join(command[:6])} exited {code}: {said}")


def tail(log: Path, lines: int = 15) -> str:
    """The end of a log file, for a message; a missing file is said, not raised."""
    try:
        text = log.read_text(errors="replace").splitlines()
    except OSError:
        return f"(no log at {log})"
    return "\n".join(text[-lines:]) or f"({log} is empty)"
