"""Processes that a run starts, waits for and ends: each with its log, none left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from mediafleet_testbed.errors import TestbedError


class Member:
    """One process of a crew."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def log_tail(self, lines: int = 15) -> str:
        """The last lines it wrote."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


class Processes:
    """Starts processes with their output in files below `directory`; ends them all on exit."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._members: list[Member] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.dismiss(*self._members)

    async def start(
        self, name: str, command: Sequence[str], env: dict[str, str] | None = None
    ) -> Member:
        """Start a process; its output goes to `<directory>/<name>.log`."""
        log = self._directory / f"{name}.log"
        with log.open("wb") as sink:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env={**os.environ, **(env or {})},
            )
        member = Member(name, process, log)
        self._members.append(member)
        return member

    async def python(self, name: str, module: str, *arguments: str) -> Member:
        """Start a Python module with this interpreter."""
        return await self.start(name, [sys.executable, "-m", module, *arguments])

    async def says(self, member: Member, text: str, seconds: float = 60.0) -> str:
        """Wait until the log has a line with `text`; that line.

        Raises:
            TestbedError: the process ended, or did not say it in time.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            for line in member.log.read_text(encoding="utf-8", errors="replace").splitlines():
                if text in line:
                    return line
            late = asyncio.get_running_loop().time() > deadline
            if late or member.process.returncode is not None:
                why = f"not within {seconds:g} s" if late else "it ended"
                raise TestbedError(
                    f"{member.name} did not say {text!r}: {why}\n{member.log_tail()}"
                )
            await asyncio.sleep(0.02)

    async def dismiss(self, *members: Member, seconds: float = 5.0) -> None:
        """End processes, politely first."""
        running = [member for member in members if member.process.returncode is None]
        for member in running:
            member.signal(signal.SIGINT)
        waits = [asyncio.ensure_future(member.process.wait()) for member in running]
        if waits:
            await asyncio.wait(waits, timeout=seconds)
        for member in running:
            if member.process.returncode is None:
                member.signal(signal.SIGKILL)
        if waits:
            await asyncio.wait(waits, timeout=seconds)
        self._members = [member for member in self._members if member not in members]
