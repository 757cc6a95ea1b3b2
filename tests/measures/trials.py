"""Runs unit tests against one change at a time, each in a forked process of its own."""

from __future__ import annotations

import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from types import ModuleType
from typing import Any, Final

import pytest
from hypothesis import Phase, settings
from tests.measures.cores import ROOT
from tests.measures.mutations import mutated
from tests.measures.touched import QUIETLY, Touched, function_of

TESTS_SECONDS: Final = 20.0
"""A mutant's tests take this much CPU at most, by what they took without it; the last of more are
left out."""
_FIRST_SECONDS: Final = 1.0
"""Of CPU for the tests that are tried first. Most mutants fail one of them, and the files of the
others are then not even collected."""
_FIRST_FILES: Final = 3
"""They lie in no more files."""
_SLOWER: Final = 30
_GRACE_SECONDS: Final = 60.0
"""Of the clock, for tests that wait for ever: a busy machine gives them little CPU."""
_SLOWER_CPU: Final = 3
_GRACE_CPU_SECONDS: Final = 10.0
"""For those that compute for ever."""
_FORK: Final = multiprocessing.get_context("fork")


class Fate(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    TIMED_OUT = "timed out"
    """Killed, too: its tests did not end."""
    SURVIVED = "survived"
    NOT_RUN = "not run"
    """No test runs the statement."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one file."""

    path: str
    """From the project's root."""
    number: int | None
    """`None`: it is as it was, so that its tests must pass."""
    name: str
    lines: range

    @property
    def module(self) -> str:
        """Its dotted name."""
        return self.path.partition("/")[2].removesuffix(".py").replace("/", ".")


@dataclass(frozen=True, slots=True)
class _Trial:
    mutant: Mutant
    parts: list[tuple[list[str], float]]
    """Tests and their seconds, a process for each part: the next one if the last one passes."""


class _InPlace(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives the changed module in place of the file's."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(self, name: str, *_: Any) -> importlib.machinery.ModuleSpec | None:
        """Of that module alone."""
        if name != self._mutant.module:
            return None
        return importlib.util.spec_from_loader(name, self, origin=self._mutant.path)

    def exec_module(self, module: ModuleType) -> None:
        """As changed."""
        file = ROOT / self._mutant.path
        module.__file__ = str(file)
        tree = mutated(file.read_text(), self._mutant.number)
        exec(compile(tree, str(file), "exec"), module.__dict__)


class _FirstFailure:
    """Tells the first test that fails. An example that does is enough: it is not made smaller."""

    def __init__(self, caller: Connection[str, None]) -> None:
        self._caller = caller

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """The first alone is told: pytest then ends."""
        if report.failed:
            self._caller.send(function_of(report.nodeid))

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self) -> None:
        """After the tests' own settings."""
        now = settings.get_profile(settings.get_current_profile_name())
        settings.register_profile("mutants", now, phases=[Phase.explicit, Phase.generate])
        settings.load_profile("mutants")


def load(modules: Sequence[str]) -> None:
    """Import other people's libraries, so that no mutant has to."""
    for name in modules:
        with suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()


def fates(
    mutants: Sequence[Mutant], touched: Touched, processes: int, bound: float = TESTS_SECONDS
) -> Iterator[tuple[Mutant, Fate]]:
    """Each mutant's, in the order of their ends."""
    running: dict[int, tuple[_Trial, ForkProcess, float, Connection[None, str]]] = {}
    noticed: Counter[str] = Counter()
    left: list[Mutant | _Trial] = list(reversed(mutants))
    while left or running:
        while left and len(running) < processes:
            trial = left.pop()
            if isinstance(trial, Mutant):
                trial = _trial(trial, touched, noticed, bound)
            if not trial.parts:
                yield trial.mutant, Fate.NOT_RUN
                continue
            tests, seconds = trial.parts[0]
            ours, theirs = _FORK.Pipe()
            process = _FORK.Process(target=_try, args=(trial.mutant, tests, seconds, theirs))
            process.start()
            theirs.close()
            deadline = time.monotonic() + seconds * _SLOWER + _GRACE_SECONDS
            running[process.sentinel] = trial, process, deadline, ours
        wait(list(running), timeout=1.0)
        for sentinel, (trial, process, deadline, ours) in list(running.items()):
            if fate := _ended(process, deadline):
                del running[sentinel]
                with suppress(EOFError):
                    noticed.update([ours.recv()] if ours.poll() else ())
                ours.close()
                if fate is Fate.SURVIVED and trial.parts[1:]:
                    left.append(_Trial(trial.mutant, trial.parts[1:]))
                else:
                    yield trial.mutant, fate


def _ended(process: ForkProcess, deadline: float) -> Fate | None:
    if process.exitcode is not None:
        if process.exitcode == -signal.SIGXCPU:
            return Fate.TIMED_OUT
        return Fate.SURVIVED if process.exitcode == pytest.ExitCode.OK else Fate.KILLED
    if time.monotonic() < deadline:
        return None
    process.kill()
    process.join()
    return Fate.TIMED_OUT


def _trial(mutant: Mutant, touched: Touched, noticed: Mapping[str, int], bound: float) -> _Trial:
    """The mutant's tests as far as they fit into so many seconds, the first ones by themselves."""
    taken = 0.0
    files: set[str] = set()
    first: list[str] = []
    others: list[str] = []
    for test in touched.of(mutant.path, mutant.lines, noticed):
        taken += touched.seconds[test]
        if first and taken > bound:
            break
        files.add(test.partition("::")[0])
        late = taken > _FIRST_SECONDS or len(files) > _FIRST_FILES
        (others if first and late else first).append(test)
    parts = [
        (tests, sum(touched.seconds[test] for test in tests)) for tests in (first, others) if tests
    ]
    return _Trial(mutant, parts)


def _try(mutant: Mutant, tests: list[str], seconds: float, caller: Connection[str, None]) -> None:
    """In the process of the mutant: its exit code is pytest's. Tells the test that failed."""
    most = int(seconds * _SLOWER_CPU + _GRACE_CPU_SECONDS)
    resource.setrlimit(resource.RLIMIT_CPU, (most, most + 5))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    sys.meta_path.insert(0, _InPlace(mutant))
    status = pytest.main([*QUIETLY, *tests], plugins=[_FirstFailure(caller)])
    os._exit(int(status))
