"""The entry of the console script."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

import pytest

from mediafleet import commands
from mediafleet.main import main


@pytest.fixture
def handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(("process", "ends"), [(1, True), (4711, False)])
@pytest.mark.usefixtures("handler")
def test_the_first_process_of_a_container_ends_by_a_sigterm_that_comes_before_its_command_runs(
    monkeypatch: pytest.MonkeyPatch, process: int, *, ends: bool
) -> None:
    found = []
    monkeypatch.setattr(os, "getpid", lambda: process)
    monkeypatch.setattr(sys, "argv", ["mediafleet", "worker"])
    monkeypatch.setattr(commands, "app", lambda: found.append(signal.getsignal(signal.SIGTERM)))
    main()
    (at_command,) = found
    assert callable(at_command) is ends
    if callable(at_command):
        with pytest.raises(SystemExit) as ended:
            at_command(signal.SIGTERM, None)
        assert ended.value.code == 143
