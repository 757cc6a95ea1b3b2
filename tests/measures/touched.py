"""Which unit tests run which lines of a core: one run of them under coverage.py."""

from __future__ import annotations

import functools
import multiprocessing
import re
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import coverage
import pytest

QUIETLY: Final = ("-x", "-q", "-p", "no:cacheprovider", "--assert=plain", "--timeout=900")
"""Options of pytest. Its explanations of a failed assert are not read, and rewrite modules."""
_AT_IMPORT: Final = ""
_A_START: Final = 0.1
"""Seconds of CPU beside those of the test itself."""
_SLOW: Final = 0.5
"""Seconds of CPU. A slower test is tried after all quicker ones."""
_FORK: Final = multiprocessing.get_context("fork")
_NOT_LOADED: Final = re.compile("mediafleet|tests|bench|docs|_?pytest|_?hypothesis|xdist")
"""Ours, and pytest with its plugins, which load what they need themselves."""


@dataclass(slots=True)
class Touched:
    """What a run told."""

    tests: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    """The test functions by file and line; `""` is the import of the file."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Of CPU that each test function took: on a busy machine the same as on an idle one."""
    modules: list[str] = field(default_factory=list)
    """That import nothing of the core: loaded once, not for each mutant."""

    def of(self, path: str, lines: range, noticed: Mapping[str, int]) -> list[str]:
        """The tests that run any of these lines of a file, the quick and nearest first.

        `noticed` counts the changes that a test has noticed: who did so is first, then those of a
        file that imports the changed one, then file by file, so that few files need to be collected
        until a test fails. Slow ones are last.
        What is run at import counts for all tests that run something of the file, or of a file of
        the core that imports it, and for those that import it themselves.
        """
        lines_of_file = self.tests.get(path, {})
        found = {test for line in lines for test in lines_of_file.get(line, ())}
        if _AT_IMPORT in found:
            users = self._users(path)
            used = [tests for file in users for tests in self.tests[file].values()]
            found = {test for tests in used for test in tests} - {_AT_IMPORT}
            files = {_file(test) for test in self.seconds}
            importers = {file for file in files if any(_imports(file, each) for each in users)}
            found |= {test for test in self.seconds if _file(test) in importers}
        of_file: defaultdict[str, float] = defaultdict(float)
        for test in found:
            of_file[_file(test)] += self.seconds[test]

        def order(test: str) -> tuple[float, bool, bool, float, str, float, str]:
            file, seconds = _file(test), self.seconds[test]
            far, slow = not _imports(file, path), seconds > _SLOW
            worth = noticed.get(test, 0) / (seconds + _A_START)
            return -worth, slow, far, of_file[file], file, seconds, test

        return sorted(found, key=order)

    def _users(self, path: str) -> list[str]:
        """A file, and those of the core that import it, be it through others."""
        users = [path]
        for each in users:
            users += [file for file in self.tests if file not in users and _imports(file, each)]
        return users


class _Contexts:
    """Tells coverage.py which test runs."""

    def __init__(self, measure: coverage.Coverage) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._measure = measure

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        function, began = function_of(item.nodeid), time.process_time()
        self._measure.switch_context(function)
        outcome = yield
        self._measure.switch_context(_AT_IMPORT)
        self.seconds[function] += time.process_time() - began
        return outcome


@functools.cache
def _imports(file: str, path: str) -> bool:
    """Whether a file of tests names a module, by its path, in an import."""
    package, _, name = path.partition("/")[2].removesuffix(".py").replace("/", ".").rpartition(".")
    return bool(
        re.search(
            rf"^from {package}(\.{name} import | import .*\b{name}\b)",
            Path(file).read_text(),
            re.MULTILINE,
        )
    )


def function_of(nodeid: str) -> str:
    """Without parameters: their names may come from what is changed."""
    return nodeid.partition("[")[0]


def _file(test: str) -> str:
    return test.partition("::")[0]


def touched(root: Path, sources: Sequence[str], tests: Sequence[str]) -> Touched:
    """Run the tests, in a process of its own: nothing of ours is imported in this one.

    Raises:
        RuntimeError: a test failed.
    """
    ours, theirs = _FORK.Pipe()
    process = _FORK.Process(target=_run, args=(theirs, root, sources, tests))
    process.start()
    theirs.close()
    told: Touched | None = ours.recv()
    process.join()
    if told is None:
        raise RuntimeError("the tests fail without any change")
    return told


def _run(
    caller: Connection[Touched | None, None],
    root: Path,
    sources: Sequence[str],
    tests: Sequence[str],
) -> None:
    measure = coverage.Coverage(data_file=None, source=[str(root / each) for each in sources])
    contexts = _Contexts(measure)
    measure.start()
    status = pytest.main([*QUIETLY, *tests], plugins=[contexts])
    measure.stop()
    data = measure.get_data()
    lines = {
        str(Path(file).relative_to(root)): data.contexts_by_lineno(file)
        for file in data.measured_files()
    }
    # What all packages share imports none of them, so none of a core elsewhere.
    shared = () if any(each.startswith("common/") for each in sources) else ("mediafleet_common",)
    others = [
        name for name in sys.modules if name.startswith(shared) or not _NOT_LOADED.match(name)
    ]
    result = Touched(lines, dict(contexts.seconds), others)
    caller.send(result if status == pytest.ExitCode.OK else None)
